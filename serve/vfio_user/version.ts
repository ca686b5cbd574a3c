// What the sides of a vfio-user connection tell each other first.

import { Malformed } from "./message.ts";
import { MOST_DATA, MOST_DESCRIPTORS, MOST_MAPS } from "./protocol.ts";

/** What one side of a connection tells of itself by VERSION, as far as this server uses it. */
export interface Capabilities {
  /** The most descriptors that it takes with a message. */
  readonly maxMsgFds: number;
  /** The most bytes of a region that a message may read or write. */
  readonly maxDataXferSize: number;
}

/** What it is where a side does not tell. */
const DEFAULTS: Capabilities = { maxMsgFds: 1, maxDataXferSize: 2 ** 20 };

/** What this server tells of itself. */
export const OWN_CAPABILITIES = {
  max_msg_fds: MOST_DESCRIPTORS,
  max_data_xfer_size: MOST_DATA,
  max_dma_maps: MOST_MAPS,
  pgsizes: 4096,
  write_multiple: true,
} as const;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** The data of VERSION: JSON that ends with a NUL. */
export function encodeCapabilities(capabilities: Readonly<Record<string, unknown>>): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ capabilities })}\0`);
}

/**
 * Reads them. No data at all are the defaults.
 *
 * @throws {Malformed} If it is not what the protocol says.
 */
export function decodeCapabilities(data: Uint8Array): Capabilities {
  if (data.length === 0) return DEFAULTS;
  const capabilities = objectIn(parse(data), "capabilities") ?? {};
  return {
    maxMsgFds: countIn(capabilities, "max_msg_fds") ?? DEFAULTS.maxMsgFds,
    maxDataXferSize: countIn(capabilities, "max_data_xfer_size") ?? DEFAULTS.maxDataXferSize,
  };
}

function parse(data: Uint8Array): object {
  if (data.at(-1) !== 0) throw new Malformed("The capabilities of VERSION do not end with a NUL");
  try {
    const value: unknown = JSON.parse(decoder.decode(data.subarray(0, -1)));
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Said below.
  }
  throw new Malformed("The capabilities of VERSION are no JSON object");
}

function objectIn(object: object, name: string): object | undefined {
  const value = (object as Readonly<Record<string, unknown>>)[name];
  if (value === undefined) return undefined;
  if (typeof value === "object" && value !== null) return value;
  throw new Malformed(`The ${name} of VERSION are no object`);
}

function countIn(object: object, name: string): number | undefined {
  const value = (object as Readonly<Record<string, unknown>>)[name];
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Malformed(`${name} of VERSION is no count`);
}
