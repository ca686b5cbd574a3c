// Lies that simulated devices tell.

import type { Lie } from "./lie.ts";
import { DISCOVERY } from "./lies/discovery.ts";
import type { LieId, Lies } from "./lies/lies.ts";
import { NEGOTIATION } from "./lies/negotiation.ts";
import { RINGS } from "./lies/rings.ts";
import { SECTIONS } from "./lies/sections.ts";
import { TIMING } from "./lies/timing.ts";
import type { DeviceModel } from "./model.ts";

export type { LieId } from "./lies/lies.ts";
export { needsResetAt } from "./lies/negotiation.ts";
export { used } from "./lies/relay.ts";
export { during, goneAfter, neverAnswers } from "./lies/timing.ts";

/** The catalogue of hostile devices: for each number, a device that does just this. To add one, add an entry. */
const CATALOGUE: Lies = { ...DISCOVERY, ...NEGOTIATION, ...RINGS, ...TIMING };

/** All numbers in the catalogue, in its order. */
export const LIES: readonly LieId[] = Object.keys(CATALOGUE) as LieId[];

/**
 * A new lie out of the catalogue.
 *
 * @throws {RangeError} If it is not there.
 */
export function lie(id: LieId): Lie {
  const make = CATALOGUE[id];
  if (!make) throw new RangeError(`Cannot lie as ${id}: the catalogue has ${LIES.join(", ")}`);
  return { section: SECTIONS[id]!, ...make(), id };
}

/**
 * Makes a model lie: by number out of the catalogue, or in its own way. Replaces the lies it had.
 *
 * @example
 * ```ts
 * import { type DeviceModel, lying } from "@virtio/deno/simulation";
 *
 * const honest: DeviceModel = { id: 4, queues: [64], handle: () => 0 };
 * const device = lying(honest, "D-41", "D-37");
 * ```
 *
 * @returns The model.
 */
export function lying<Model extends DeviceModel>(
  model: Model,
  ...lies: readonly (LieId | Lie)[]
): Model {
  return Object.assign(model, {
    lies: lies.map((each) => typeof each === "string" ? lie(each) : each),
  });
}
