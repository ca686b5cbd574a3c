// Device-specific configuration, whatever it holds (virtio 1.4, 2.5 and 4.1.4.6).

import type { Registers } from "../../core/pci/registers.ts";
import { type Check, must, needs } from "../check.ts";
import { COMMON } from "../common.ts";
import type { Rig } from "../rig.ts";

/** Bytes that a configuration has at least, by type: what each device of the type has (5). */
const LEAST: Readonly<Record<number, number>> = { 1: 8, 2: 24, 3: 8, 5: 8, 8: 36 };
/** Of a type that is not known, so many are looked at. */
const FEW = 8;

function specific(rig: Rig): Registers {
  needs(rig.specific !== undefined, "it has no device-specific configuration");
  return rig.specific;
}

/** The whole of it, by registers of a width. */
function contents(rig: Rig, width: 1 | 2 | 4 = 1): string {
  const from = specific(rig);
  const bytes = Math.min(from.size, LEAST[rig.type] ?? FEW) & ~3;
  const read = (at: number) =>
    width === 1 ? from.read8(at) : width === 2 ? from.read16(at) : from.read32(at);
  return Array.from(
    { length: bytes / width },
    (_, i) =>
      Array.from(
        { length: width },
        (_, byte) => (read(i * width) >>> 8 * byte & 0xff).toString(16).padStart(2, "0"),
      ).join(""),
  ).join("");
}

const generation = (rig: Rig) => rig.common.read8(COMMON.configGeneration);

/** What changed, unless the device says that it has. */
async function same(rig: Rig, act: () => unknown, when: string): Promise<void> {
  const [before, was] = [contents(rig), generation(rig)];
  await act();
  const now = contents(rig);
  must(now === before || generation(rig) !== was, `it is another ${when}, of the same generation`);
}

export const CONFIGURATION: readonly Check[] = [
  {
    name: "configuration.generation",
    section: "2.5",
    does: "has a generation that does not change while the configuration does not",
    async run(rig) {
      rig.start();
      const before = generation(rig);
      for (let i = 0; i < 8; i++) {
        const now = generation(rig);
        must(now === before, `it was ${before} and is ${now}`);
      }
      await rig.settle();
      must(generation(rig) === before, "it changed with nothing done");
    },
  },
  {
    name: "configuration.widths",
    section: "4.1.3.1",
    does: "has the same bytes whether 8, 16 or 32 bits are read",
    should: true,
    run(rig) {
      const bytes = contents(rig);
      for (const width of [2, 4] as const) {
        must(contents(rig, width) === bytes, `by ${8 * width} bits it reads otherwise than by 8`);
      }
    },
  },
  {
    name: "configuration.early",
    section: "2.5.2",
    does: "can be read before FEATURES_OK, and reads the same after it",
    run: (rig) => same(rig, () => rig.negotiate(rig.offered), "after FEATURES_OK"),
  },
  {
    name: "configuration.in_use",
    section: "2.5",
    does: "stays what it is when the device is put to use, unless its generation says otherwise",
    async run(rig) {
      rig.negotiate(rig.offered);
      await same(rig, async () => {
        rig.go();
        await rig.settle();
      }, "after DRIVER_OK");
    },
  },
  {
    name: "configuration.after_reset",
    section: "2.4",
    does: "is after a reset what it was at first",
    async run(rig) {
      const before = contents(rig);
      rig.start();
      await rig.reset();
      must(contents(rig) === before, "it is another");
    },
  },
];
