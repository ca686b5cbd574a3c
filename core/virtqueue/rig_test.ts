import { assertEquals } from "@std/assert";
import { addressTable, type DmaRun, PAGE } from "../dma/address_table.ts";
import { chain, type DeviceQueue, DriverFault } from "./device_queue.ts";
import { makeDriverQueue } from "./driver_queue.ts";
import { layoutPacked, layoutSplit, type QueueKind, type QueueLayout } from "./layout.ts";
import { makeDeviceQueue } from "./make_device_queue.ts";
import type { DriverQueue } from "./virtqueue.ts";

/** What a queue for tests is like. */
export interface RigOptions {
  /** Its ring; split if absent. */
  readonly kind?: QueueKind;
  readonly size: number;
  /** Descriptors in each indirect table; 0 for none. */
  readonly segments: number;
  readonly eventIndex: boolean;
  readonly inOrder?: boolean;
  /** Pages in each run of the arena: 1 for the most scattered one; a single run if absent. */
  readonly runPages?: number;
  /** Pages of the arena behind the ring; {@linkcode DATA_PAGES} if absent. */
  readonly dataPages?: number;
}

export const DATA_PAGES = 8;

/** Both sides of one virtqueue of any kind, and the arena that they share. For the tests beside. */
export class Rig {
  readonly options: Required<Omit<RigOptions, "runPages">>;
  readonly layout: QueueLayout;
  readonly memory: SharedArrayBuffer;
  readonly runs: readonly DmaRun[];
  readonly driver: DriverQueue;
  device: DeviceQueue;
  readonly chain = chain(512);
  readonly halves: Uint16Array<SharedArrayBuffer>;
  readonly words: Uint32Array<SharedArrayBuffer>;
  /** First byte behind the ring. */
  readonly data: number;
  readonly dataBytes: number;
  /** What each notification said. */
  readonly notified: number[] = [];
  /** Requests that {@linkcode advance} handled. */
  advanced = 0;

  constructor({ runPages, ...given }: RigOptions) {
    this.options = { kind: "split", inOrder: false, dataPages: DATA_PAGES, ...given };
    const { kind, size, segments, eventIndex, inOrder, dataPages } = this.options;
    this.layout = (kind === "split" ? layoutSplit : layoutPacked)(PAGE, size, segments);
    this.data = this.layout.end;
    this.dataBytes = dataPages * PAGE;
    const bytes = this.data + this.dataBytes;
    this.memory = new SharedArrayBuffer(bytes);
    this.halves = new Uint16Array(this.memory);
    this.words = new Uint32Array(this.memory);
    this.runs = scatter(bytes, runPages === undefined ? bytes : runPages * PAGE);
    this.driver = makeDriverQueue({
      memory: this.memory,
      layout: this.layout,
      addresses: addressTable(this.runs),
      eventIndex,
      inOrder,
      notify: (data) => this.notified.push(data),
    });
    this.device = this.newDevice();
  }

  newDevice(): DeviceQueue {
    const { kind, size, segments, eventIndex, inOrder } = this.options;
    const { descriptors, driver, device } = this.layout;
    const translate = (address: number, length: number) => this.find(address, length);
    const { memory } = this;
    const areas = { memory, size, descriptors, driver, device };
    return makeDeviceQueue(kind, {
      ...areas,
      translate,
      indirect: segments > 0,
      eventIndex,
      inOrder,
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
    let start = 0;
    return this.runs.flatMap((run) => {
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, start + run.length);
      const address = run.address + from - start;
      start += run.length;
      return from < to ? [[address, to - from] as const] : [];
    });
  }

  /** Begins and commits a request of some bytes for the device to write. */
  submit(cookie: number, buffers = 1, bytes = 16): boolean {
    this.driver.begin(cookie);
    for (let i = 0; i < buffers; i++) this.driver.writable(this.data + i * bytes, bytes);
    return this.driver.commit();
  }

  /** Takes all that the driver made available: what names each request. */
  takeAll(): number[] {
    const heads: number[] = [];
    while (this.device.take(this.chain)) heads.push(this.chain.head);
    return heads;
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
        if (!this.submit(done + i, 1, 1)) throw new Error("There is no room");
      }
      driver.publish();
      while (device.take(this.chain)) device.put(this.chain.head, 1);
      device.publish();
      driver.drain(next);
      done += batch;
    }
    this.advanced += count;
  }

  /** Drains: the cookie of each request and what was written. */
  drain(): (readonly [number, number])[] {
    const got: (readonly [number, number])[] = [];
    const count = this.driver.drain((cookie, written) => got.push([cookie, written]));
    assertEquals(count, got.length);
    return got;
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
