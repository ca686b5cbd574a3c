import { VhostFault } from "../core/vhost/fault.ts";

/** An address or a size that a message says, as a number that is exact. */
export function exact(value: bigint, message: string): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw new VhostFault(`${message} says 0x${value.toString(16)}, which no machine has`);
}
