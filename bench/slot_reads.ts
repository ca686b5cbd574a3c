import { BlockOperation } from "../classes/block/protocol.ts";
import type { BlockSlots } from "../classes/block/slots.ts";

const BYTES = 4096;
/** How long a read may take, in milliseconds. */
const PATIENCE = 5000;

/** Reads of 4 KiB by slots, one after the other and so many at a time. Returns how often a millisecond. */
export function slotReads(
  { slots, capacity }: { readonly slots: BlockSlots; readonly capacity: number },
  milliseconds: number,
  depth: number,
): number {
  using _polling = slots.busyPoll();
  const sectors = capacity / 512;
  const sector = { next: 0, ended: 0, wrong: 0 };
  const done = (slot: number, status: number, length: number) => {
    if (status !== 0 || length !== BYTES) sector.wrong++;
    sector.ended++;
    slots.release(slot);
  };
  const begin = performance.now();
  const end = begin + milliseconds;
  do {
    fill(slots, depth, sectors, sector, done);
    slots.wait(PATIENCE);
  } while (performance.now() < end);
  const perMillisecond = sector.ended / (performance.now() - begin);
  while (slots.inFlight > 0) {
    if (slots.wait(PATIENCE) === 0) throw new Error("a read did not end");
  }
  if (sector.wrong > 0) throw new Error(`${sector.wrong} reads failed`);
  return perMillisecond;
}

function fill(
  slots: BlockSlots,
  depth: number,
  sectors: number,
  at: { next: number },
  done: (slot: number, status: number, length: number) => void,
): void {
  while (slots.inFlight < depth) {
    const slot = slots.take();
    if (slot < 0) break;
    slots.submit(slot, BlockOperation.read, at.next, BYTES, done);
    at.next = (at.next + BYTES / 512) % sectors;
  }
  slots.publish();
}
