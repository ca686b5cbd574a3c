/**
 * What must be known of the devices that other programs serve by vhost-user, since the protocol does not tell it.
 *
 * @module
 */

import type { BackEndFacts, ControlQueue } from "./simulation/vhost_user/platform.ts";

/** A device that another program serves by vhost-user. */
export interface VhostUserDevice {
  /** What it is. */
  readonly kind: BackEndKind;
  /** The path of its Unix socket. */
  readonly socket: string;
  /** Whether the other program connects to us, and we listen; false if left out. */
  readonly listen?: boolean;
  /** The address of a network card whose program tells none: six bytes in hexadecimal with colons between. */
  readonly mac?: string;
  /** Pairs of queues of a network card, as far as its program has so many; 1 if left out. */
  readonly pairs?: number;
  /** Entries that its queues may have, a power of two up to 32768; 128 if left out. */
  readonly queueSize?: number;
}

/** What it can be. */
export type BackEndKind = "blk" | "net" | "scsi" | "rng" | "console" | "balloon" | "fs";

type Kind = Omit<BackEndFacts, "name" | "socket" | "queueSize">;

const bits = (...numbers: readonly number[]) =>
  numbers.reduce((set, number) => set | 1n << BigInt(number), 0n);
const range = (from: number, to: number) =>
  bits(...Array.from({ length: to - from + 1 }, (_, i) => from + i));

/** Of a network card, what it needs a control queue for, and what needs more than one frame's room. */
const NET_HIDDEN = bits(2, 3, 7, 8, 9, 10, 16, 17, 18, 19, 20, 21, 22, 23) | range(50, 63);
const F_MAC = bits(5);
const LARGEST_PAIRS = 32;

/** What a driver says by the control queue of a card with several pairs of queues (virtio 1.4, 5.1.9.5.5). */
const CONTROL: ControlQueue = {
  size: 64,
  feature: bits(17),
  several: bits(22),
  answer([kind, command, low = 0, high = 0], use) {
    return kind === CTRL_MQ && command === VQ_PAIRS_SET && use(low | high << 8) ? OK : ERR;
  },
};
const CTRL_MQ = 4, VQ_PAIRS_SET = 0, OK = 0, ERR = 1;

const FS_TAG_BYTES = 36, FS_CONFIG_BYTES = 44;

/** The configuration of a file system (virtio 1.4, 5.11.4): its tag, and one queue for requests. */
function fsConfig(): Uint8Array<ArrayBuffer> {
  const config = new Uint8Array(FS_CONFIG_BYTES);
  config.set(new TextEncoder().encode("fs"));
  config[FS_TAG_BYTES] = 1;
  return config;
}

/** The kinds (virtio 1.4, 5). */
const KINDS: Readonly<Record<BackEndKind, Kind>> = {
  blk: {
    type: 2,
    known: range(0, 17),
    oneOf: bits(1, 2, 4, 6, 9),
    queues: 1,
    configBytes: 60,
  },
  net: {
    type: 1,
    known: range(0, 23) | range(50, 63),
    hidden: NET_HIDDEN,
    oneOf: bits(5, 15, 16, 17),
    queues: 2,
    unit: 2,
    control: CONTROL,
    configBytes: 12,
  },
  scsi: { type: 8, known: range(0, 3), queues: 3, configBytes: 36 },
  rng: { type: 4, known: 0n, queues: 1, configBytes: 0 },
  console: { type: 3, known: range(0, 2), queues: 2, configBytes: 12 },
  balloon: { type: 5, known: range(0, 5), queues: 2, configBytes: 16 },
  // Whatever tag it has in the end is the front-end's choice, as with QEMU: here that of its kind.
  fs: {
    type: 26,
    known: bits(0),
    queues: 2,
    configBytes: FS_CONFIG_BYTES,
    invented: { config: fsConfig, features: 0n },
  },
};

/** Their names. */
export const BACK_END_KINDS: readonly BackEndKind[] = Object.keys(KINDS) as BackEndKind[];

const QUEUE_SIZE = 128;
const LARGEST_QUEUE = 32768;

/**
 * What is known of a device.
 *
 * @throws {RangeError} If it cannot be as it is described.
 */
export function backEndFacts(device: VhostUserDevice): BackEndFacts {
  const { kind, socket, listen = false, mac, pairs, queueSize = QUEUE_SIZE } = device;
  const name = `${kind}=${socket}`;
  if (!(queueSize >= 2 && queueSize <= LARGEST_QUEUE && Number.isInteger(Math.log2(queueSize)))) {
    throw new RangeError(
      `Cannot use ${name}: the size of its queues is ${queueSize}, wanted a power of two from 2 to ${LARGEST_QUEUE}`,
    );
  }
  for (const [what, value] of Object.entries({ mac, pairs })) {
    if (value === undefined || kind === "net") continue;
    throw new RangeError(`Cannot use ${name}: only a network card has ${what}`);
  }
  if (!(Number.isInteger(pairs ?? 1) && (pairs ?? 1) >= 1 && (pairs ?? 1) <= LARGEST_PAIRS)) {
    throw new RangeError(
      `Cannot use ${name}: pairs is ${pairs}, wanted a number from 1 to ${LARGEST_PAIRS}`,
    );
  }
  const facts = { ...KINDS[kind], name, socket, listen, queueSize };
  if (kind !== "net") return facts;
  const address = mac === undefined ? anyMac() : parseMac(mac, name);
  const config = (units: number) => {
    const config = new Uint8Array(facts.configBytes);
    config.set(address);
    config[MOST_PAIRS] = units;
    return config;
  };
  return { ...facts, mostUnits: pairs ?? 1, invented: { config, features: F_MAC } };
}

/** Where `max_virtqueue_pairs` is. */
const MOST_PAIRS = 8;

/** One that is in use nowhere: administered locally, and of one station. */
function anyMac(): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  bytes[0] = bytes[0]! & ~1 | 2;
  return bytes;
}

function parseMac(text: string, name: string): Uint8Array {
  const bytes = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)
    ? Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16))
    : undefined;
  if (bytes && !(bytes[0]! & 1)) return bytes;
  throw new RangeError(
    `Cannot use ${name}: mac is ${
      JSON.stringify(text)
    }, wanted the address of one station, as 52:54:00:12:34:56`,
  );
}
