import { addressTable, type DmaRun, PAGE } from "../dma/address_table.ts";
import { chain, DriverFault } from "./device_queue.ts";
import { layoutSplit, type QueueLayout } from "./layout.ts";
import { SplitDevice } from "./split_device.ts";
import { SplitDriver } from "./split_driver.ts";

/** What a queue for tests is like. */
export interface RigOptions {
  readonly size: number;
  /** Descriptors in each indirect table; 0 for none. */
  readonly segments: number;
  readonly eventIndex: boolean;
  /** Pages in each run of the arena: 1 for the most scattered one; undefined for a single run. */
  readonly runPages?: number;
  /** Pages of the arena behind the ring; 8 if absent. */
  readonly dataPages?: number;
}

/** Both sides of one split virtqueue, and the arena that they share. For the tests beside. */
export class Rig {
  readonly options: RigOptions;
  readonly layout: QueueLayout;
  readonly memory: SharedArrayBuffer;
  readonly runs: readonly DmaRun[];
  readonly driver: SplitDriver;
  readonly device: SplitDevice;
  readonly chain = chain(512);
  readonly halves: Uint16Array<SharedArrayBuffer>;
  readonly words: Uint32Array<SharedArrayBuffer>;
  /** First byte behind the ring. */
  readonly data: number;
  readonly dataBytes: number;
  notified = 0;

  constructor(options: RigOptions) {
    this.options = options;
    const { size, segments, eventIndex, runPages, dataPages = 8 } = options;
    this.layout = layoutSplit(0, size, segments);
    this.data = this.layout.end;
    this.dataBytes = dataPages * PAGE;
    const bytes = this.data + this.dataBytes;
    this.memory = new SharedArrayBuffer(bytes);
    this.halves = new Uint16Array(this.memory);
    this.words = new Uint32Array(this.memory);
    this.runs = scatter(bytes, runPages === undefined ? bytes : runPages * PAGE);
    this.driver = new SplitDriver({
      memory: this.memory,
      layout: this.layout,
      addresses: addressTable(this.runs),
      eventIndex,
      notify: () => this.notified++,
    });
    this.device = new SplitDevice({
      memory: this.memory,
      size,
      descriptors: this.layout.descriptors,
      driver: this.layout.driver,
      device: this.layout.device,
      translate: (address, length) => this.find(address, length),
      indirect: segments > 0,
      eventIndex,
    });
  }

  /** Where in the arena a device finds `length` bytes at `address`. */
  find(address: number, length: number): number {
    let offset = 0;
    for (const run of this.runs) {
      const inside = address - run.address;
      if (inside >= 0 && inside + length <= run.length) return offset + inside;
      offset += run.length;
    }
    throw new DriverFault(`no ${length} bytes at ${address}`);
  }

  /** The pieces in which a device sees a stretch of the arena: address and length of each. */
  pieces(offset: number, length: number): (readonly [number, number])[] {
    const pieces: (readonly [number, number])[] = [];
    let start = 0;
    for (const run of this.runs) {
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, start + run.length);
      if (from < to) pieces.push([run.address + from - start, to - from]);
      start += run.length;
    }
    return pieces;
  }

  /** Lets both sides handle `count` requests, so that their counters stand where it is interesting. */
  advance(count: number): void {
    const { driver, device } = this;
    let cookie = 0;
    const next = (got: number) => {
      if (got !== cookie++) throw new Error(`Cookie ${got} came back instead of ${cookie - 1}`);
    };
    for (let done = 0; done < count;) {
      const batch = Math.min(count - done, this.options.size);
      for (let i = 0; i < batch; i++) {
        driver.begin(done + i);
        driver.writable(this.data, 1);
        if (!driver.commit()) throw new Error("There is no room");
      }
      driver.publish();
      while (device.take(this.chain)) device.put(this.chain.head, 1);
      device.publish();
      driver.drain(next);
      done += batch;
    }
  }
}

/** Runs of `most` bytes with holes between them, the last one at the lowest address, around 4 GiB. */
function scatter(bytes: number, most: number): DmaRun[] {
  const count = Math.ceil(bytes / most);
  const lowest = 2 ** 32 - Math.floor(count / 2) * 2 * most;
  return Array.from({ length: count }, (_, i) => ({
    address: lowest + (count - 1 - i) * 2 * most,
    length: Math.min(most, bytes - i * most),
  }));
}
