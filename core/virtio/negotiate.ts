// Agrees on features (virtio 1.4, 2.2).

import { DeviceFault } from "../pci/device_fault.ts";
import {
  bit,
  Feature,
  featureName,
  featureNumbers,
  type FeatureRule,
  featureText,
  has,
} from "./features.ts";
import { DeviceStatus } from "./status.ts";
import type { Transport } from "./transport.ts";

/** What became of one feature, for people. */
export interface FeatureReport {
  /** Number of the bit. */
  readonly bit: number;
  /** Its name in the specification, as far as the core or the driver knows it. */
  readonly name: string;
  /** Whether it was agreed. */
  readonly accepted: boolean;
  /** Why not, if it was not. */
  readonly because?: string;
}

/**
 * Takes features out of an offer that lack what they need (virtio 1.4, 2.2.1), until all that is left can stand.
 *
 * @returns The features that can be had.
 */
export function dropUnmet(offered: bigint, rules: readonly FeatureRule[]): bigint {
  let left = offered;
  for (;;) {
    const unmet = rules.filter((rule) => has(left, rule.bit) && !met(rule, left));
    if (unmet.length === 0) return left;
    for (const rule of unmet) left &= ~bit(rule.bit);
  }
}

function met({ needs }: FeatureRule, features: bigint): boolean {
  return needs.every((any) => any.some((need) => has(features, need)));
}

/** Rungs of the ladder: what is given up together, first what a device is likeliest to have got wrong. */
const GIVE_UP: readonly (readonly number[])[] = [
  [],
  [Feature.NOTIFICATION_DATA, Feature.NOTIF_CONFIG_DATA, Feature.IN_ORDER, Feature.ORDER_PLATFORM],
  [Feature.RING_PACKED],
  [Feature.EVENT_IDX, Feature.INDIRECT_DESC],
  [Feature.RING_RESET],
];

/**
 * The sets of features to try one after the other, each a part of the one before.
 *
 * Apple's devices refuse every set without RING_RESET, so that goes last.
 */
export function fallbacks(wanted: bigint): readonly bigint[] {
  const sets: bigint[] = [];
  let set = wanted;
  for (const rung of GIVE_UP) {
    for (const feature of rung) set &= ~bit(feature);
    if (!sets.includes(set)) sets.push(set);
  }
  return sets;
}

/**
 * Agrees on features with a device (virtio 1.4, 3.1.1, steps 4 to 6). A device that refuses a set is reset and asked
 * for the next one.
 *
 * @param greet Resets the device and sets ACKNOWLEDGE and DRIVER.
 * @returns The set that was agreed.
 * @throws DeviceFault If it refuses all; it names them.
 */
export async function agree(
  transport: Transport,
  wanted: bigint,
  greet: () => Promise<void>,
): Promise<bigint> {
  if (transport.kind === "legacy") {
    // There was no such step then: what is written counts (3.1.2).
    transport.acceptFeatures(wanted);
    return wanted;
  }
  const sets = fallbacks(wanted);
  for (const [i, features] of sets.entries()) {
    if (i > 0) await greet();
    transport.acceptFeatures(features);
    transport.addStatus(DeviceStatus.FEATURES_OK);
    if (transport.status() & DeviceStatus.FEATURES_OK) return features;
  }
  throw new DeviceFault(
    "D-20",
    `The device refuses every set of features, it clears FEATURES_OK (virtio 1.4, 3.1.1); tried: ` +
      sets.map(featureText).join(", "),
  );
}

/** What became of each offered feature. */
export function featureReport(
  offered: bigint,
  usable: bigint,
  accepted: bigint,
  without: bigint,
  rules: readonly FeatureRule[],
): FeatureReport[] {
  return featureNumbers(offered).map((i) => {
    const rule = rules.find((candidate) => candidate.bit === i);
    const name = rule?.name ?? featureName(i);
    if (has(accepted, i)) return { bit: i, name, accepted: true };
    const because = has(without, i)
      ? "switched off"
      : !has(usable, i)
      ? `it needs ${needNames(rule!, rules)}, which is not offered`
      : rule || i >= 24
      ? "not used"
      : "unknown";
    return { bit: i, name, accepted: false, because };
  });
}

function needNames({ needs }: FeatureRule, rules: readonly FeatureRule[]): string {
  const name = (number: number) =>
    rules.find((rule) => rule.bit === number)?.name ?? `bit ${number}`;
  return needs.map((any) => any.map(name).join(" or ")).join(" and ");
}
