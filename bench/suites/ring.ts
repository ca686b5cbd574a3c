/**
 * The driver's side of a virtqueue against a device in the same thread that answers at once, in TypeScript as in C.
 *
 * Each subject has a process of its own, started as a driver's is: what the compiler learns from one of them would slow
 * the next.
 *
 * @module
 */

import { addressTable } from "../../core/dma/address_table.ts";
import { V8_FLAGS } from "../../core/kernel/v8_flags.ts";
import { AVAILABLE, NEXT, USED, WRITE } from "../../core/virtqueue/descriptor.ts";
import { makeDriverQueue } from "../../core/virtqueue/driver_queue.ts";
import { layoutPacked, layoutSplit } from "../../core/virtqueue/layout.ts";
import { contend } from "../contend.ts";
import { compile } from "../compile.ts";
import { deno, DRIVER, pinned } from "../programs.ts";
import type { Suite } from "../suite.ts";

type Kind = "split" | "packed";

/** Beside its C reference. */
export const ring: Suite = {
  name: "ring",
  what: "a virtqueue's driver against a device in the same thread, beside C",
  async *subjects(folder, missing) {
    for (const kind of ["split", "packed"] as const) {
      const source = kind === "split" ? "ring.c" : "packed.c";
      const program = await compile(source, folder, missing);
      for (const descriptors of [1, 3]) {
        const c = { name: "C", command: pinned(DRIVER, [program ?? "", `${descriptors}`]) };
        const args = [import.meta.filename!, kind, `${descriptors}`];
        yield {
          subject: `${kind}, ${descriptors} ${descriptors === 1 ? "descriptor" : "descriptors"}`,
          axis: "batch",
          points: [1, 32],
          unit: "ns a request",
          better: "less",
          yardstick: "C",
          contenders: [
            ...program ? [c] : [],
            { name: "TypeScript", command: pinned(DRIVER, deno(args, V8_FLAGS)) },
          ],
        };
      }
    }
  },
};

const SIZE = 256;
const BUFFER_BYTES = 512;
const REQUESTS = 2_000_000;
const ARENA = 1 << 20;

const pages = ARENA / 65536;
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  .buffer as unknown as SharedArrayBuffer;
const halves = new Uint16Array(memory);
const words = new Uint32Array(memory);

/** What measures nanoseconds for a request: add, device, drain. */
function measure(kind: Kind, descriptors: number): (batch: number) => number {
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
  function burst(batch: number): number {
    for (let i = 0; i < batch; i++) add(i);
    queue.publish();
    device();
    return queue.drain(collect);
  }
  return (batch) => {
    bytes = 0;
    let done = 0;
    const begin = performance.now();
    while (done < REQUESTS) done += burst(batch);
    const ns = (performance.now() - begin) * 1e6 / done;
    if (bytes !== done * BUFFER_BYTES || queue.inFlight !== 0) {
      throw new Error("The ring lost requests");
    }
    return ns;
  };
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
  const [kind, descriptors] = Deno.args;
  await contend(measure(kind as Kind, Number(descriptors)));
}
