import { cannotTell } from "./check.ts";
import { type Exercise, exerciseOf } from "./exercise.ts";
import type { Rig, Start } from "./rig.ts";
import type { Part, RawRing } from "./ring.ts";

/** What a device did wrong with a ring, by rules; the first of each kind, as a sentence. */
export interface Observed {
  /** It gave back what it did not have. */
  id?: string;
  /** It moved its index by more than it had, or back. */
  index?: string;
  /** It says that it wrote more than there was room for. */
  overlong?: string;
  /** It says that it wrote something else than it did. */
  written?: string;
  /** It wrote into what it may only read. */
  readable?: string;
  /** It wrote into descriptors or the available ring. */
  owned?: string;
  /** It wrote into used elements that it had shown. */
  elements?: string;
  /** It wrote into buffers that it had given back. */
  late?: string;
  /** It answered wrongly. */
  answer?: string;
}

/** How it is made. */
export interface Manner extends Start {
  /** How often. */
  readonly rounds?: number;
  /** Requests at a time. */
  readonly batch?: number;
  /** Makes a chain out of the parts of a request; as it is if left out. */
  readonly shape?: (rig: Rig, ring: RawRing, head: number, parts: readonly Part[]) => void;
}

/** The exercise of a device. */
export function exercise(rig: Rig): Exercise {
  const found = exerciseOf(rig);
  if (found) return found;
  throw cannotTell(`no request is known that a device of type ${rig.type} must answer`);
}

interface Flight {
  readonly parts: readonly Part[];
  readonly sent: Uint8Array;
  /** What it wrote, once it is done. */
  answer?: Uint8Array;
}

/** Starts a device, has it do requests, and watches everything that it may and may not touch. */
export async function observe(rig: Rig, manner: Manner = {}): Promise<Observed> {
  const { rounds = 7, batch = 2, shape, ...start } = manner;
  const request = exercise(rig);
  const ring = rig.startQueue(request.queue, {
    ...start,
    features: request.features | (start.features ?? 0n),
  });
  return await watch(rig, ring, request, { rounds, batch, ...(shape && { shape }) });
}

/** The same, on a ring that is there already. */
export async function watch(
  rig: Rig,
  ring: RawRing,
  request: Exercise,
  { rounds, batch: wanted, shape = plain }: Required<Pick<Manner, "rounds" | "batch">> & Manner,
): Promise<Observed> {
  const seen: Observed = {};
  // A small ring has room for few chains.
  const batch = Math.max(1, Math.min(wanted, ring.size >> 2));
  const stride = Math.floor(ring.size / batch);
  let earlier: { readonly flights: readonly Flight[]; readonly elements: string } | undefined;
  for (let round = 0; round < rounds; round++) {
    const first = ring.next;
    const flights = new Map<number, Flight>();
    for (let i = 0; i < batch; i++) {
      // Not always in the order of the table.
      const head = stride * (round % 2 === 0 ? i : batch - 1 - i);
      const parts = request.make(rig);
      shape(rig, ring, head, parts);
      ring.offer(head);
      ring.forget(first + i);
      flights.set(head, { parts, sent: readables(rig, parts) });
    }
    ring.publish();
    const owned = ring.owned();
    rig.notify(ring.queue);
    const moved = () => ring.used - first & 0xffff;
    await rig.used(ring, first + batch).catch((finding: Error) => {
      // More than there were is seen below.
      if (moved() <= batch) throw finding;
    });
    if (moved() !== batch) {
      seen.index ??= `it moved the used index by ${moved()} with ${batch} requests in flight`;
    }
    const done = new Set<number>();
    for (let i = 0; i < batch; i++) {
      const { id, written } = ring.element(first + i);
      const flight = flights.get(id);
      if (!flight || done.has(id)) {
        seen.id ??= `it gave descriptor ${id} back, ${flight ? "twice" : "which it did not have"}`;
        continue;
      }
      done.add(id);
      look(rig, seen, request, flight, written);
    }
    if (!same(owned, ring.owned())) {
      seen.owned ??= "descriptors or the available ring are not what the driver wrote";
    }
    if (earlier) {
      const { flights, elements } = earlier;
      // As long as the lap before last has not been written over.
      if (2 * batch <= ring.size && elementsOf(ring, first - batch, batch) !== elements) {
        seen.elements ??= "used elements changed after they were shown";
      }
      if (flights.some(({ parts, answer }) => answer && !same(rig.read(parts), answer))) {
        seen.late ??= "a buffer changed after it was given back";
      }
    }
    earlier = { flights: [...flights.values()], elements: elementsOf(ring, first, batch) };
    if (seen.index || seen.id) break;
  }
  return seen;
}

function look(
  rig: Rig,
  seen: Observed,
  { written: [least, most], wrong }: Exercise,
  flight: Flight,
  written: number,
): void {
  const { parts, sent } = flight;
  const bytes = flight.answer = rig.read(parts);
  if (written > bytes.length) {
    seen.overlong ??= `it says that it wrote ${written} bytes into ${bytes.length}`;
  } else if (written < least || written > most) {
    const wanted = least === most ? `${least}` : `${least} to ${most}`;
    seen.written ??= `it says that it wrote ${written} bytes, and not ${wanted}`;
  }
  if (!same(sent, readables(rig, parts))) {
    seen.readable ??= "a buffer changed that it may only read";
  }
  const why = wrong?.(bytes);
  if (why !== undefined) seen.answer ??= why;
}

function plain(_rig: Rig, ring: RawRing, head: number, parts: readonly Part[]): void {
  ring.chain(head, parts);
}

function readables(rig: Rig, parts: readonly Part[]): Uint8Array {
  return rig.read(parts.filter(({ write }) => !write).map((part) => ({ ...part, write: true })));
}

function elementsOf(ring: RawRing, first: number, count: number): string {
  return JSON.stringify(Array.from({ length: count }, (_, i) => ring.element(first + i & 0xffff)));
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}
