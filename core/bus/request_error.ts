import { Status } from "./lane.ts";

/** A request that did not succeed. */
export class RequestError extends Error {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "RequestError";
  /** How it ended: a `Status`. */
  readonly status: number;

  /** Makes the error of `action`, for example `"Cannot read 4096 bytes at 0"`; `reason` if more is known of it. */
  constructor(action: string, status: number, reason = REASONS[status]) {
    super(`${action}: ${reason ?? `the driver ended it with status ${status}`}`);
    this.status = status;
  }
}

const REASONS: Readonly<Record<number, string>> = {
  [Status.failed]: "the device reported an error",
  [Status.unsupported]: "the device does not support it",
  [Status.invalid]: "the device's answer was invalid",
  [Status.gone]: "the driver is gone; whether it was done is not known",
  [Status.refused]: "it does not fit the device as it is now",
  [Status.unknown]: "the device was started anew; whether it was done is not known",
};
