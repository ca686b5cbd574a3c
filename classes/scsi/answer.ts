import type { ScsiSense } from "./sense.ts";

/** How a command ended. */
export interface ScsiAnswer {
  /** How the request ended: a `Status`. The rest means something if that is `ok` or `failed`. */
  readonly ended: number;
  /** What the device says: a `ScsiResponse`. */
  readonly response: number;
  /** What the unit says: a `ScsiStatus`; of use if the response is `ok`. */
  readonly status: number;
  /** Why, in its bytes; none if empty. */
  readonly senseBytes: Uint8Array<ArrayBuffer>;
  /** Why, if that can be understood. */
  readonly sense?: ScsiSense;
  /** Data from the unit, as many as came. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** Protection information from the unit. */
  readonly protection: Uint8Array<ArrayBuffer>;
  /** Bytes that were not moved. */
  readonly residual: number;
  /** The time in milliseconds that was over when it was aborted for that; undefined if it was not. */
  readonly late?: number;
}
