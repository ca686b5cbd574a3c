// Feature bits (virtio 1.4, 2.2 and 6).

import { DeviceStatus } from "../../core/virtio/status.ts";
import { bit, Feature, featureNumbers, has } from "../../core/virtio/features.ts";
import { type Check, must, needs } from "../check.ts";
import { COMMON } from "../common.ts";
import type { Rig } from "../rig.ts";

const { ACKNOWLEDGE, DRIVER, FEATURES_OK } = DeviceStatus;

/** Bits of ring and transport that have no meaning (6), and none above them that a type has (2.2). */
const RESERVED = [42, 43, 44, 45, 46, 47, 48, 49];
/** The last that a type may have. */
const LAST = 63;

/** For each type, features and those that each needs: one out of each list (5.1.3.1, 5.2.3, 5.5.3, 5.6.3). */
const NEEDS: Readonly<Record<number, readonly (readonly [number, readonly number[]])[]>> = {
  1: [
    ...[7, 8, 10, 54, 55].map((feature) => [feature, [1]] as const),
    [9, [7, 8]],
    ...[11, 12, 14, 56].map((feature) => [feature, [0]] as const),
    [13, [11, 12]],
    ...[18, 19, 20, 21, 22, 23, 2, 52, 53, 60, 50].map((feature) => [feature, [17]] as const),
    [61, [7, 8]],
  ],
  2: [[11, [9]]],
};

/** Tries a choice of features. Returns whether the device takes it. */
function takes(rig: Rig, features: bigint): boolean {
  rig.status = ACKNOWLEDGE;
  rig.status = ACKNOWLEDGE | DRIVER;
  rig.accept(features);
  rig.status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
  return (rig.status & FEATURES_OK) !== 0;
}

export const FEATURES: readonly Check[] = [
  {
    name: "features.version_1",
    section: "6.2",
    does: "offers VIRTIO_F_VERSION_1",
    run: (rig) => must(has(rig.offered, Feature.VERSION_1), "it does not offer it"),
  },
  {
    name: "features.steady",
    section: "2.2",
    does: "offers the same features whenever they are read",
    run(rig) {
      const before = rig.offered;
      for (let i = 0; i < 4; i++) {
        const now = rig.offered;
        must(
          now === before,
          () => `it offered 0x${before.toString(16)}, then 0x${now.toString(16)}`,
        );
      }
    },
  },
  {
    name: "features.same_after_reset",
    section: "2.2.2",
    does: "offers the same features after a reset",
    async run(rig) {
      const before = rig.offered;
      rig.start();
      await rig.reset();
      must(rig.offered === before, "it offers others after a reset");
    },
  },
  {
    name: "features.select",
    section: "4.1.4.3",
    does: "keeps which features are selected, its own and the driver's",
    run({ common }) {
      for (const select of [COMMON.deviceFeatureSelect, COMMON.driverFeatureSelect]) {
        for (const word of [1, 0]) {
          common.write32(select, word);
          const now = common.read32(select);
          must(now === word, `it has word ${now} selected, and not ${word}`);
        }
      }
    },
  },
  {
    name: "features.reserved",
    section: "2.2.2",
    does: "offers no bit that has no meaning yet",
    run(rig) {
      const odd = featureNumbers(rig.offered).filter((number) =>
        RESERVED.includes(number) || number > LAST
      );
      must(odd.length === 0, `it offers bits ${odd.join(", ")}`);
    },
  },
  {
    name: "features.dependencies",
    section: "2.2.2",
    does: "offers no feature without those that it needs",
    run(rig) {
      const rules = NEEDS[rig.type];
      needs(rules !== undefined, "features of its type need no others");
      const { offered } = rig;
      for (const [feature, wanted] of rules) {
        must(
          !has(offered, feature) || wanted.some((one) => has(offered, one)),
          `it offers feature ${feature}, and not ${wanted.join(" or ")}, which that needs`,
        );
      }
    },
  },
  {
    name: "features.least",
    section: "2.2.2",
    does: "takes VIRTIO_F_VERSION_1 alone",
    should: true,
    run: (rig) => must(takes(rig, rig.needed), "it refuses it"),
  },
  {
    name: "features.all",
    section: "2.2.2",
    does: "takes all that it offers",
    should: true,
    run: (rig) => must(takes(rig, rig.offered), "it refuses them"),
  },
  {
    name: "features.each_alone",
    section: "2.2.2",
    does: "takes each of its features of ring and transport without the others",
    should: true,
    async run(rig) {
      const own = featureNumbers(rig.offered)
        .filter((number) => number >= 28 && number <= 41 && number !== Feature.VERSION_1);
      for (const feature of own) {
        must(takes(rig, rig.needed | bit(feature)), `it refuses feature ${feature}`);
        await rig.reset();
      }
    },
  },
  {
    name: "features.unknown_refused",
    section: "2.2.2",
    does: "does not keep FEATURES_OK where a feature was taken that it does not offer",
    run(rig) {
      const { offered } = rig;
      const free = RESERVED.find((number) => !has(offered, number));
      needs(free !== undefined, "it offers everything");
      must(!takes(rig, rig.needed | bit(free)), `it keeps FEATURES_OK with feature ${free}`);
    },
  },
];
