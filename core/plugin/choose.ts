// The choice of the driver for a device, with reasons.

import type { PciIdentity } from "../pci/identity.ts";
import { type Match, matches, type Mismatch, specificity } from "../pci/match.ts";
import type { Manifest } from "./manifest.ts";

/** One rule that was tried on a device. */
export interface Tried {
  /** The manifest that has the rule. */
  readonly manifest: Manifest;
  /** The rule. */
  readonly match: Match;
  /** `true` if it fits, else the first field that does not. */
  readonly result: true | Mismatch;
}

/** The driver for a device, and how it came to be that one. */
export interface Choice {
  /** The chosen driver, if any rule fits. */
  readonly manifest?: Manifest;
  /** Every rule, in the order in which they were tried. */
  readonly tried: readonly Tried[];
}

/**
 * Chooses the driver for a device: of the rules that fit, the one that says most; of equal ones, the first.
 *
 * @param manifests The drivers, in order of preference.
 */
export function choose(manifests: readonly Manifest[], identity: PciIdentity): Choice {
  const tried = manifests.flatMap((manifest) =>
    manifest.match.map((match): Tried => ({ manifest, match, result: matches(match, identity) }))
  );
  let best: Tried | undefined;
  for (const rule of tried) {
    if (rule.result !== true) continue;
    if (!best || specificity(rule.match) > specificity(best.match)) best = rule;
  }
  return best ? { manifest: best.manifest, tried } : { tried };
}
