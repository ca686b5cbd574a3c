// Notes about requests in flight that a front-end keeps over the end of its back-end.

import { type ForeignMemory, openForeign, UnfitMemory } from "../core/linux/foreign_memory.ts";
import { memoryFile } from "../core/linux/memory.ts";
import { VhostFault } from "../core/vhost/fault.ts";
import { InFlightNotes, notesBytes } from "../core/vhost/in_flight.ts";
import { PackedInFlightNotes, packedNotesBytes } from "../core/vhost/in_flight_packed.ts";
import type { InFlightMemory } from "../core/vhost/payload.ts";
import type { RingPlace } from "../core/virtqueue/device_queue.ts";
import { LARGEST_QUEUE, type QueueKind } from "../core/virtqueue/layout.ts";
import type { Ring } from "../simulation/ring.ts";
import type { Notes } from "../simulation/virtio_device.ts";
import { exact } from "./exact.ts";

const PAGE = 4096;

/** Bytes of the notes about a ring. */
function bytesOf(kind: QueueKind, entries: number): number {
  return (kind === "packed" ? packedNotesBytes : notesBytes)(entries);
}

/**
 * Makes memory for notes, as a front-end asks for it.
 *
 * @param rings How many the device has.
 * @returns What is to be answered, and the file.
 * @throws {VhostFault} If the device has no such rings.
 */
export function makeNotes(
  { queues, queueSize, padded }: InFlightMemory,
  rings: number,
  kind: QueueKind,
): { readonly described: InFlightMemory; readonly file: number } {
  if (queues < 1 || queues > rings || queueSize < 1 || queueSize > LARGEST_QUEUE) {
    throw new VhostFault(
      `GET_INFLIGHT_FD asks for ${queues} rings of ${queueSize}: the device has ${rings}`,
    );
  }
  const size = Math.ceil(queues * bytesOf(kind, queueSize) / PAGE) * PAGE;
  return {
    described: { size: BigInt(size), offset: 0n, queues, queueSize, padded },
    file: memoryFile("virtio-in-flight", size),
  };
}

/** The memory with the notes, as the front-end hands it in. */
export class KeptNotes implements Disposable {
  readonly #foreign: ForeignMemory;
  readonly #queues: number;
  readonly #queueSize: number;
  readonly #offset: number;
  readonly #size: number;

  /**
   * Finds them.
   *
   * @param fd The file; stays the caller's.
   * @throws {VhostFault | UnfitMemory} If they cannot be there.
   */
  constructor({ queues, queueSize, ...where }: InFlightMemory, fd: number, kind: QueueKind) {
    const [size, offset] = [where.size, where.offset]
      .map((each) => exact(each, "SET_INFLIGHT_FD")) as [number, number];
    if (size < queues * bytesOf(kind, queueSize) || offset + size > 2 ** 32) {
      throw new UnfitMemory(
        `The notes have ${size} bytes at ${offset}, too few for ${queues} rings of ${queueSize}`,
      );
    }
    const foreign = openForeign(fd);
    try {
      foreign.show(offset, Math.ceil(size / PAGE) * PAGE);
    } catch (error) {
      foreign.release();
      throw error;
    }
    this.#foreign = foreign;
    this.#queues = queues;
    this.#queueSize = queueSize;
    this.#offset = offset;
    this.#size = size;
  }

  /**
   * Those about a ring; undefined if it needs none.
   *
   * @param kind Of the rings now: it may have changed since the notes came.
   * @throws {VhostFault} If there is no room for them.
   */
  of(index: number, ring: Ring, place: RingPlace, kind: QueueKind): Notes | undefined {
    // What is between the places of a split ring that is used in order stands in it, and comes again.
    if (ring.kind === "split" && ring.inOrder) return undefined;
    const bytes = bytesOf(kind, this.#queueSize);
    if (
      index >= this.#queues || ring.size > this.#queueSize || (index + 1) * bytes > this.#size
    ) {
      throw new VhostFault(
        `Ring ${index} of ${ring.size} has no room in the notes for ${this.#queues} rings of ${this.#queueSize}`,
      );
    }
    const { memory } = this.#foreign;
    const at = this.#offset + index * bytes;
    if (ring.kind === "split") return new InFlightNotes(memory, at, ring.size, place.used);
    const noted = { ...ring, inOrder: ring.inOrder === true };
    return new PackedInFlightNotes(memory, at, noted, place);
  }

  [Symbol.dispose](): void {
    this.#foreign.release();
  }
}
