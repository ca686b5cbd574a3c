// How a group of lies is written.

import type { Lie } from "../lie.ts";

/** Number of a lie in the catalogue, for example `"D-41"`. */
export type LieId = `D-${number}`;

/** What a lie does, without its number. */
export type Hooks = Omit<Lie, "id">;

/** A part of the catalogue. Each entry makes a new lie, since some remember what they said. */
export type Lies = Readonly<Record<LieId, () => Hooks>>;
