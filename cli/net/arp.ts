import { be16, concat, equal, read16 } from "./bytes.ts";
import { type Ethernet, EtherType } from "./ethernet.ts";

/** What an ARP message is for. */
export const ArpOperation = { request: 1, reply: 2 } as const;

/** A message between neighbours: which station has which address (RFC 826). */
export interface Arp {
  /** An {@linkcode ArpOperation}. */
  readonly operation: number;
  readonly senderMac: Uint8Array;
  readonly sender: Uint8Array;
  readonly targetMac: Uint8Array;
  readonly target: Uint8Array;
}

/** Ethernet, IPv4, and the lengths of their addresses. */
const KINDS = [...be16(1), ...be16(EtherType.ipv4), 6, 4];

/** The message in a frame; undefined if there is none about Ethernet and IPv4. */
export function readArp({ type, payload }: Ethernet): Arp | undefined {
  if (type !== EtherType.arp || payload.length < 28) return undefined;
  if (!equal(payload.subarray(0, 6), Uint8Array.from(KINDS))) return undefined;
  return {
    operation: read16(payload, 6),
    senderMac: payload.subarray(8, 14),
    sender: payload.subarray(14, 18),
    targetMac: payload.subarray(18, 24),
    target: payload.subarray(24, 28),
  };
}

/** Makes a message. */
export function arpMessage(
  { operation, senderMac, sender, targetMac, target }: Arp,
): Uint8Array<ArrayBuffer> {
  return concat(KINDS, be16(operation), senderMac, sender, targetMac, target);
}
