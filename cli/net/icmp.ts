import { internetChecksum } from "../../classes/network/mod.ts";
import { be16, concat, read16 } from "./bytes.ts";

/** Bytes of an echo message before its data, for IPv4 and IPv6 alike. */
export const ECHO_HEADER = 8;

/** Types of ICMP messages. */
export const IcmpType = {
  echoReply: 0,
  unreachable: 3,
  redirect: 5,
  echoRequest: 8,
  timeExceeded: 11,
} as const;

/** A message that says: send this back. */
export interface Echo {
  /** A number of the program that sends it. */
  readonly identifier: number;
  /** Which of that program's it is. */
  readonly sequence: number;
  readonly data: Uint8Array;
}

/** Makes an echo request or reply (RFC 792). */
export function icmpEcho(
  type: number,
  { identifier, sequence, data }: Echo,
): Uint8Array<ArrayBuffer> {
  const message = concat([type, 0, 0, 0], be16(identifier), be16(sequence), data);
  message.set(be16(internetChecksum(message)), 2);
  return message;
}

/** The echo in a message; undefined if it is not of this type, or damaged. */
export function readIcmpEcho(message: Uint8Array, type: number): Echo | undefined {
  if (message.length < ECHO_HEADER || message[0] !== type || message[1] !== 0) return undefined;
  return internetChecksum(message) === 0 ? echoOf(message) : undefined;
}

/** The echo in a message that was checked, or that an error quotes. */
export function echoOf(message: Uint8Array): Echo {
  return {
    identifier: read16(message, 4),
    sequence: read16(message, 6),
    data: message.subarray(ECHO_HEADER),
  };
}

const UNREACHABLE = [
  "Destination Net Unreachable",
  "Destination Host Unreachable",
  "Destination Protocol Unreachable",
  "Destination Port Unreachable",
  "Frag needed and DF set",
];

/** What an error message says, as ping(8) says it. */
export function icmpError(type: number, code: number): string | undefined {
  if (type === IcmpType.timeExceeded) return "Time to live exceeded";
  if (type !== IcmpType.unreachable) return undefined;
  return UNREACHABLE[code] ?? `Destination unreachable, code ${code}`;
}
