import type { Format } from "./file.ts";
/** x */
export const pageFormat = (): Format => ({ begin: () => "", event: () => "", end: () => "" });
