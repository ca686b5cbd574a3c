import { be16, be32, concat, equal, read32 } from "./bytes.ts";

/** Ports of both sides (RFC 2131). */
export const DHCP_SERVER = 67;
/** The client's. */
export const DHCP_CLIENT = 68;

/** Types of messages (RFC 2132, 9.6). */
export const DhcpType = { discover: 1, offer: 2, request: 3, ack: 5, nak: 6, release: 7 } as const;

/** Options (RFC 2132). */
export const DhcpOption = {
  mask: 1,
  router: 3,
  address: 50,
  lease: 51,
  type: 53,
  server: 54,
  wanted: 55,
  end: 255,
} as const;

const COOKIE = Uint8Array.of(0x63, 0x82, 0x53, 0x63);
const BOOT_REQUEST = 1;
const BOOT_REPLY = 2;
/** Where the options begin. */
const OPTIONS = 240;

/** A message, as far as a client cares. */
export interface Dhcp {
  /** Which conversation it belongs to. */
  readonly transaction: number;
  /** The address that the client has. */
  readonly client: Uint8Array;
  /** The address that it may have. */
  readonly yours: Uint8Array;
  readonly mac: Uint8Array;
  readonly options: ReadonlyMap<number, Uint8Array>;
}

/** Makes a client's message. */
export function dhcpRequest(
  { transaction, client, mac, options }: Omit<Dhcp, "yours">,
): Uint8Array<ArrayBuffer> {
  const all = [...options].flatMap(([code, value]) => [code, value.length, ...value]);
  return concat(
    [BOOT_REQUEST, 1, 6, 0, ...be32(transaction), 0, 0, ...be16(0)],
    client,
    new Uint8Array(12),
    mac,
    // The rest of the hardware address, a server's name and a file's.
    new Uint8Array(10 + 64 + 128),
    COOKIE,
    all,
    [DhcpOption.end],
    // Some servers drop what is shorter than a BOOTP message, 300 bytes.
    new Uint8Array(Math.max(0, 59 - all.length)),
  );
}

/** A server's message; undefined if these bytes are none. */
export function readDhcpReply(bytes: Uint8Array): Dhcp | undefined {
  if (bytes.length < OPTIONS || bytes[0] !== BOOT_REPLY) return undefined;
  if (!equal(bytes.subarray(OPTIONS - 4, OPTIONS), COOKIE)) return undefined;
  const options = new Map<number, Uint8Array>();
  for (let at = OPTIONS; at + 1 < bytes.length && bytes[at] !== DhcpOption.end;) {
    if (bytes[at] === 0) {
      at++;
      continue;
    }
    const value = bytes.subarray(at + 2, at + 2 + bytes[at + 1]!);
    if (value.length < bytes[at + 1]!) return undefined;
    options.set(bytes[at]!, value);
    at += 2 + value.length;
  }
  return {
    transaction: read32(bytes, 4),
    client: bytes.subarray(12, 16),
    yours: bytes.subarray(16, 20),
    mac: bytes.subarray(28, 34),
    options,
  };
}
