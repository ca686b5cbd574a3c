/**
 * The ring benchmark: the driver side of a split virtqueue against a device in the same process that answers at
 * once, as `ring.c` does it.
 *
 * @module
 */

import { addressTable } from "../core/dma/address_table.ts";
import { layoutSplit } from "../core/virtqueue/layout.ts";
import { SplitDriver } from "../core/virtqueue/split_driver.ts";

/** One figure. */
export interface RingFigure {
  readonly descriptors: number;
  readonly batch: number;
  /** Nanoseconds for a request: add, device, drain. Median of the rounds. */
  readonly ns: number;
}

const SIZE = 256;
const BUFFER_BYTES = 512;
const ROUNDS = 7;
const REQUESTS = 2_000_000;
const ARENA = 1 << 20;

/** Measures all modes. */
export function benchRing(): RingFigure[] {
  return [1, 3].flatMap((descriptors) =>
    [1, 32].map((batch) => ({ descriptors, batch, ns: measure(descriptors, batch) }))
  );
}

function measure(descriptors: number, batch: number): number {
  const pages = ARENA / 65536;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    .buffer as unknown as SharedArrayBuffer;
  const layout = layoutSplit(0, SIZE, 0);
  const halves = new Uint16Array(memory);
  const words = new Uint32Array(memory);
  const queue = new SplitDriver({
    memory,
    layout,
    addresses: addressTable([{ address: 0x1_0000_0000, length: ARENA }]),
    eventIndex: false,
    notify: () => {},
  });

  // The device: takes each head and gives it back.
  const availableIndex = layout.driver / 2 + 1;
  const availableRing = layout.driver / 2 + 2;
  const usedIndex = layout.device / 2 + 1;
  const usedRing = layout.device / 4 + 1;
  let seen = 0;
  let used = 0;
  function device(): void {
    const end = Atomics.load(halves, availableIndex);
    while (seen !== end) {
      const head = halves[availableRing + seen % SIZE]!;
      seen = seen + 1 & 0xffff;
      const at = usedRing + used % SIZE * 2;
      words[at] = head;
      words[at + 1] = BUFFER_BYTES;
      used = used + 1 & 0xffff;
    }
    Atomics.store(halves, usedIndex, used);
  }

  let bytes = 0;
  const collect = (_cookie: number, written: number) => {
    bytes += written;
  };
  function run(requests: number): number {
    bytes = 0;
    let done = 0;
    const begin = performance.now();
    while (done < requests) {
      for (let i = 0; i < batch; i++) {
        const offset = layout.end + i * 4096;
        queue.begin(i);
        for (let d = 1; d < descriptors; d++) {
          queue.readable(offset + (d - 1) * BUFFER_BYTES, BUFFER_BYTES);
        }
        queue.writable(offset + (descriptors - 1) * BUFFER_BYTES, BUFFER_BYTES);
        queue.commit();
      }
      queue.publish();
      device();
      done += queue.drain(collect);
    }
    const ns = (performance.now() - begin) * 1e6 / done;
    if (bytes !== done * BUFFER_BYTES || queue.inFlight !== 0) {
      throw new Error("The ring lost requests");
    }
    return ns;
  }

  run(REQUESTS / 2);
  return median(Array.from({ length: ROUNDS }, () => run(REQUESTS)));
}

/** The middle of an odd number of figures. */
export function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[figures.length >> 1]!;
}

if (import.meta.main) console.log(JSON.stringify({ unit: "ns/request", results: benchRing() }));
