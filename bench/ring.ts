/**
 * The ring benchmark: the driver side of a virtqueue against a device in the same process that answers at once, as
 * `ring.c` and `packed.c` do it.
 *
 *     deno run -A bench/ring.ts [split|packed descriptors batch]
 *
 * Each figure is measured in a process of its own, started as a driver's is: what the compiler learns from one of them
 * would slow the next.
 *
 * @module
 */

import { addressTable } from "../core/dma/address_table.ts";
import { AVAILABLE, NEXT, USED, WRITE } from "../core/virtqueue/descriptor.ts";
import { V8_FLAGS } from "../core/kernel/v8_flags.ts";
import { makeDriverQueue } from "../core/virtqueue/driver_queue.ts";
import { layoutPacked, layoutSplit } from "../core/virtqueue/layout.ts";
import type { Figure } from "./figure.ts";
import { median } from "./median.ts";

const SIZE = 256;
const BUFFER_BYTES = 512;
const ROUNDS = 7;
const REQUESTS = 2_000_000;
const ARENA = 1 << 20;

const pages = ARENA / 65536;
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  .buffer as unknown as SharedArrayBuffer;
const halves = new Uint16Array(memory);
const words = new Uint32Array(memory);

/** Measures all modes. */
export async function benchRing(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const kind of ["split", "packed"] as const) {
    for (const descriptors of [1, 3]) {
      for (const batch of [1, 32]) {
        const mode = [kind, `${descriptors}`, `${batch}`];
        const args = ["run", "-A", `--v8-flags=${V8_FLAGS.join()}`, import.meta.filename!, ...mode];
        const { stdout } = await new Deno.Command(Deno.execPath(), { args, stderr: "inherit" })
          .output();
        figures.push(JSON.parse(new TextDecoder().decode(stdout)));
      }
    }
  }
  return figures;
}

/** Measures one mode. */
function measure(kind: Figure["kind"], descriptors: number, batch: number): Figure {
  const layout = (kind === "split" ? layoutSplit : layoutPacked)(0, SIZE, 0);
  const queue = makeDriverQueue({
    memory,
    layout,
    addresses: addressTable([{ address: 0x1_0000_0000, length: ARENA }]),
    eventIndex: false,
    notify: () => {},
  });
  const { descriptors: ring, driver, device: used, end } = layout;
  const device = kind === "split" ? splitDevice(driver, used) : packedDevice(ring);

  let bytes = 0;
  const collect = (_cookie: number, written: number) => {
    bytes += written;
  };
  function add(i: number): void {
    const offset = end + i * 4096;
    queue.begin(i);
    for (let d = 1; d < descriptors; d++) {
      queue.readable(offset + (d - 1) * BUFFER_BYTES, BUFFER_BYTES);
    }
    queue.writable(offset + (descriptors - 1) * BUFFER_BYTES, BUFFER_BYTES);
    queue.commit();
  }
  function burst(): number {
    for (let i = 0; i < batch; i++) add(i);
    queue.publish();
    device();
    return queue.drain(collect);
  }
  function run(requests: number): number {
    bytes = 0;
    let done = 0;
    const begin = performance.now();
    while (done < requests) done += burst();
    const ns = (performance.now() - begin) * 1e6 / done;
    if (bytes !== done * BUFFER_BYTES || queue.inFlight !== 0) {
      throw new Error("The ring lost requests");
    }
    return ns;
  }

  run(REQUESTS / 2);
  const ns = median(Array.from({ length: ROUNDS }, () => run(REQUESTS)));
  return { kind, descriptors, batch, ns };
}

// The devices run in the driver's thread, so the accesses that would have to be atomic are plain ones, as they are in C
// on this processor.

/** A device that takes each head and gives it back. */
function splitDevice(driver: number, device: number): () => void {
  const availableIndex = driver / 2 + 1;
  const availableRing = driver / 2 + 2;
  const usedIndex = device / 2 + 1;
  const usedRing = device / 4 + 1;
  let seen = 0;
  return () => {
    const end = halves[availableIndex]!;
    while (seen !== end) {
      const entry = seen & SIZE - 1;
      words[usedRing + entry * 2] = halves[availableRing + entry]!;
      words[usedRing + entry * 2 + 1] = BUFFER_BYTES;
      seen = seen + 1 & 0xffff;
    }
    halves[usedIndex] = end;
  };
}

/**
 * A device that goes through each request and writes a used descriptor over its first one.
 */
function packedDevice(ring: number): () => void {
  const STATE = AVAILABLE | USED;
  let slot = 0;
  let available = AVAILABLE;
  return () => {
    for (;;) {
      const first = ring / 2 + slot * 8;
      const used = available === AVAILABLE ? STATE : 0;
      let flags = halves[first + 7]!;
      if ((flags & STATE) !== available) return;
      let at = first;
      for (;;) {
        if (++slot === SIZE) {
          slot = 0;
          available ^= STATE;
        }
        if (!(flags & NEXT)) break;
        at = ring / 2 + slot * 8;
        flags = halves[at + 7]!;
      }
      halves[first + 6] = halves[at + 6]!;
      words[first / 2 + 2] = BUFFER_BYTES;
      halves[first + 7] = used | WRITE;
    }
  };
}

if (import.meta.main) {
  const [kind, descriptors, batch] = Deno.args;
  if (kind === "split" || kind === "packed") {
    console.log(JSON.stringify(measure(kind, Number(descriptors), Number(batch))));
  } else console.log(JSON.stringify({ unit: "ns/request", results: await benchRing() }));
}
