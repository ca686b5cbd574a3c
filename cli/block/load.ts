import { delay } from "@std/async";
import {
  type BlockDevice,
  BlockOperation,
  type DiskSlots,
  SECTOR,
} from "../../classes/block/mod.ts";
import { Status } from "../../core/class/mod.ts";
import { Latencies } from "./latencies.ts";

/** What a disk is to do. */
export interface Load {
  /** Whether it is written to, and not read from. */
  readonly writes: boolean;
  /** Whether the places follow no order. */
  readonly random: boolean;
  /** Bytes of a request, a multiple of 512. */
  readonly blockSize: number;
  /** Requests that are under way at a time. */
  readonly depth: number;
  /** How long, in milliseconds. */
  readonly milliseconds: number;
}

/** What it did. */
export interface LoadResult {
  /** Requests that succeeded. */
  readonly requests: number;
  /** Requests that failed. */
  readonly errors: number;
  /** How long it took, in milliseconds. */
  readonly milliseconds: number;
  /** How long each request took. */
  readonly latencies: Latencies;
}

/** How long the thread is kept from everything else, in milliseconds. */
const SLICE_MS = 100;

/** Hears now and then how many milliseconds have passed, and how many requests have succeeded. */
type Told = (milliseconds: number, requests: number) => void;

/** Puts a load on a disk: without a copy where that can be, else by its promises. */
export function runLoad(
  disk: BlockDevice,
  load: Load,
  signal: AbortSignal,
  told: Told = () => {},
): Promise<LoadResult> {
  const { slots, capacity } = disk;
  const direct = slots && load.blockSize <= slots.bytes && load.depth <= slots.count;
  return direct
    ? runSlots({ slots, capacity }, load, signal, told)
    : runPromises(disk, load, signal, told);
}

/** Places of requests, one after the other or anywhere. */
function places(capacity: number, { blockSize, random }: Load): () => number {
  const count = Math.floor(capacity / blockSize);
  let next = -1;
  return () => {
    next = random ? Math.floor(Math.random() * count) : (next + 1) % count;
    return next * blockSize;
  };
}

async function runSlots(
  { slots, capacity }: { readonly slots: DiskSlots; readonly capacity: number },
  load: Load,
  signal: AbortSignal,
  told: Told,
): Promise<LoadResult> {
  const { writes, blockSize, depth, milliseconds } = load;
  const latencies = new Latencies();
  const began = new Float64Array(slots.count);
  const place = places(capacity, load);
  const operation = writes ? BlockOperation.write : BlockOperation.read;
  const count = { errors: 0, requests: 0 };
  let running = true;
  const submit = (slot: number) => {
    began[slot] = performance.now();
    slots.submit(slot, operation, place() / SECTOR, blockSize, done);
  };
  const done = (slot: number, status: number, length: number) => {
    latencies.add((performance.now() - began[slot]!) * 1e6);
    if (status === Status.ok && length === blockSize) count.requests++;
    else count.errors++;
    if (running && status !== Status.gone) submit(slot);
    else slots.release(slot);
  };
  const start = performance.now();
  const end = start + milliseconds;
  for (let i = 0; i < depth; i++) submit(slots.take());
  while (slots.inFlight > 0) {
    {
      using _polling = slots.busyPoll();
      const slice = performance.now() + SLICE_MS;
      slots.publish();
      while (slots.inFlight > 0 && performance.now() < slice) {
        if (performance.now() >= end) running = false;
        slots.wait(SLICE_MS);
        slots.publish();
      }
    }
    // The rest of the program goes on: the user may want it to end.
    await delay(0);
    if (signal.aborted) running = false;
    told(performance.now() - start, count.requests);
  }
  signal.throwIfAborted();
  return { ...count, milliseconds: performance.now() - start, latencies };
}

async function runPromises(
  disk: BlockDevice,
  load: Load,
  signal: AbortSignal,
  told: Told,
): Promise<LoadResult> {
  const { writes, blockSize, depth, milliseconds } = load;
  const latencies = new Latencies();
  const place = places(disk.capacity, load);
  const count = { errors: 0, requests: 0 };
  const start = performance.now();
  const work = async () => {
    const bytes = new Uint8Array(blockSize);
    while (performance.now() - start < milliseconds && !signal.aborted) {
      const began = performance.now();
      try {
        await (writes ? disk.write(place(), bytes) : disk.readInto(place(), bytes));
        count.requests++;
      } catch {
        if (++count.errors > 1000) return;
      }
      latencies.add((performance.now() - began) * 1e6);
      told(performance.now() - start, count.requests);
    }
  };
  await Promise.all(Array.from({ length: depth }, work));
  signal.throwIfAborted();
  return { ...count, milliseconds: performance.now() - start, latencies };
}
