import type { Format } from "./file.ts";
/** x */
export const perfettoFormat = (): Format => ({ begin: () => "", event: () => "", end: () => "" });
