import type { Rig } from "./rig.ts";
import type { Part } from "./ring.ts";

/** A request that each device of a type must answer: what the checks of rings are made with. */
export interface Exercise {
  /** The queue that it goes to. */
  readonly queue: number;
  /** Features that it needs, as far as they are offered. */
  readonly features: bigint;
  /** How much the device writes, least and most. */
  readonly written: readonly [least: number, most: number];
  /** Whether it may not be made again as it is before a reset. */
  readonly once?: boolean;
  /** Makes one in the arena. */
  make(rig: Rig): readonly Part[];
  /** What is wrong with an answer, given what the device wrote; undefined if nothing is. */
  wrong?(bytes: Uint8Array): string | undefined;
}

const NET_F_CTRL_VQ = 1n << 17n;
const NET_F_CTRL_RX = 1n << 18n;
const PAGE = 4096;

/** Those of each type (5). */
const EXERCISES: Readonly<Record<number, (rig: Rig) => Exercise>> = {
  // A frame to all of an experimental type; or, where something is to be written, a command.
  1: (rig) =>
    (rig.offered & NET_F_CTRL_RX) && (rig.offered & NET_F_CTRL_VQ)
      ? {
        queue: 2,
        features: NET_F_CTRL_VQ | NET_F_CTRL_RX,
        written: [1, 1],
        make: (rig) => [rig.give(Uint8Array.of(0, 0)), rig.give(Uint8Array.of(1)), rig.room(1)],
        wrong: ([ack]) => ack === 0 ? undefined : `it acknowledges a command by ${ack}`,
      }
      : {
        queue: 1,
        features: 0n,
        written: [0, 0],
        make: (rig) => [rig.give(new Uint8Array(12)), rig.give(frame())],
      },
  // The first sector.
  2: () => ({
    queue: 0,
    features: 0n,
    written: [513, 513],
    make: (rig) => [rig.give(new Uint8Array(16)), rig.room(512), rig.room(1)],
    wrong: (bytes) =>
      bytes[512] === 0 ? undefined : `it reads the first sector with status ${bytes[512]}`,
  }),
  // Some text to the first port, which is lost if there is none.
  3: () => ({
    queue: 1,
    features: 0n,
    written: [0, 0],
    make: (rig) => [rig.give(new TextEncoder().encode("conform\r\n"))],
  }),
  4: () => ({
    queue: 0,
    features: 0n,
    written: [1, 64],
    make: (rig) => [rig.room(64)],
  }),
  // A page of the arena, which is used for nothing else and is back with the next reset.
  5: () => ({
    queue: 0,
    features: 0n,
    written: [0, 0],
    once: true,
    make(rig) {
      const frame = Uint32Array.of(rig.frame(rig.take(PAGE, PAGE)));
      return [rig.give(new Uint8Array(frame.buffer))];
    },
  }),
  // INQUIRY to the first target, which may not be there.
  8: () => ({
    queue: 2,
    features: 0n,
    written: [108, 144],
    make: (rig) => [rig.give(inquiry()), rig.room(108), rig.room(36)],
    wrong: (bytes) =>
      [0, 3].includes(bytes[11]!) ? undefined : `it answers INQUIRY by response ${bytes[11]}`,
  }),
};

/** That of a device; undefined if none is known for its type. */
export function exerciseOf(rig: Rig): Exercise | undefined {
  return EXERCISES[rig.type]?.(rig);
}

function frame(): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes.fill(0xff, 0, 6);
  bytes.set([2, 0, 0, 0, 0, 1, 0x88, 0xb5], 6);
  return bytes;
}

function inquiry(): Uint8Array {
  const bytes = new Uint8Array(51);
  bytes.set([1, 0, 0x40, 0]);
  bytes.set([0x12, 0, 0, 0, 36, 0], 19);
  return bytes;
}
