import { NetOperation } from "@virtio/deno/classes/network";
import * as wire from "./wire.ts";

/** One command of the control queue, as a client's operation stands for it. */
export interface CommandRule {
  /** Class and command. */
  readonly command: number;
  /** The feature that it needs. */
  readonly needs: bigint;
  /**
   * Writes its data.
   *
   * @returns The bytes of each part of them: legacy devices want some in descriptors of their own (5.1.9.8).
   */
  readonly encode: (
    into: Writer,
    numbers: readonly number[],
    data: Uint8Array,
  ) => readonly number[];
  /** Bytes that the device writes before its acknowledgement, or behind it. */
  readonly before?: number;
  readonly behind?: number;
}

/** Writes little-endian numbers one behind the other. */
export class Writer {
  /** Bytes written. */
  length = 0;
  readonly #bytes: Uint8Array;

  /** @param bytes Where to; writing more than fits is an error. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** A number of so many bits. */
  number(value: number, bits: 8 | 16 | 32): this {
    return this.bytes(Array.from({ length: bits / 8 }, (_, i) => value >>> 8 * i & 0xff));
  }

  /** A number of 64 bits. */
  long(value: bigint): this {
    return this.number(Number(value & 0xffffffffn), 32).number(Number(value >> 32n), 32);
  }

  /** Bytes. */
  bytes(bytes: ArrayLike<number>): this {
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }
}

/** The parts of what was written: all of it is one. */
function whole(into: Writer): readonly number[] {
  return [into.length];
}

const onOff: CommandRule["encode"] = (into, [on = 0]) => whole(into.number(on & 1, 8));

const vlan: CommandRule["encode"] = (into, [id = 0]) => whole(into.number(id, 16));

/** Two tables: addresses of one station, addresses of many. */
const macTable: CommandRule["encode"] = (into, _, data) => {
  const addresses = Array.from(
    { length: Math.floor(data.length / 6) },
    (_, i) => data.subarray(6 * i, 6 * i + 6),
  );
  return [0, 1].map((many) => {
    const before = into.length;
    const table = addresses.filter((address) => (address[0]! & 1) === many)
      .slice(0, wire.MAC_TABLE_ENTRIES);
    into.number(table.length, 32);
    for (const address of table) into.bytes(address);
    return into.length - before;
  });
};

/** 5.1.9.5.7.1. A receive queue is named by its index over two, which is its pair. */
const rss: CommandRule["encode"] = (
  into,
  [types = 0, unclassified = 0, pairs = 1, key = 0],
  data,
) => {
  const table = data.subarray(key + key % 2);
  into.number(types, 32).number(Math.max(table.length / 2 - 1, 0), 16).number(unclassified, 16);
  return whole(
    into.bytes(table).number(pairs, 16).number(key, 8).bytes(data.subarray(0, key)),
  );
};

/** 5.1.9.5.6.4: as above, with nothing in place of the table. */
const hash: CommandRule["encode"] = (into, [types = 0, key = 0], data) =>
  whole(
    into.number(types, 32).long(0n).number(key, 8).bytes(data.subarray(0, key)),
  );

/** The numbers of the features, in the order of `RECEIVE_OFFLOADS`. */
const OFFLOADS = [
  wire.F_GUEST_CSUM,
  wire.F_GUEST_TSO4,
  wire.F_GUEST_TSO6,
  wire.F_GUEST_ECN,
  wire.F_GUEST_UFO,
  wire.F_GUEST_USO4,
  wire.F_GUEST_USO6,
];

const offloads: CommandRule["encode"] = (into, [bits = 0]) =>
  whole(into.long(OFFLOADS.reduce((set, each, i) => bits >> i & 1 ? set | each : set, 0n)));

const coalescing: CommandRule["encode"] = (into, [frames = 0, microseconds = 0]) =>
  whole(into.number(frames, 32).number(microseconds, 32));

const queueIndex = (pair: number, transmit: number) => 2 * pair + (transmit & 1);

/** All operations of clients that are one command; what is not here takes more. */
export const COMMANDS: Readonly<Record<number, CommandRule>> = {
  [NetOperation.promiscuous]: rule(wire.CTRL_RX_PROMISC, wire.F_CTRL_RX, onOff),
  [NetOperation.allMulticast]: rule(wire.CTRL_RX_ALLMULTI, wire.F_CTRL_RX, onOff),
  [NetOperation.allUnicast]: rule(wire.CTRL_RX_ALLUNI, wire.F_CTRL_RX_EXTRA, onOff),
  [NetOperation.noMulticast]: rule(wire.CTRL_RX_NOMULTI, wire.F_CTRL_RX_EXTRA, onOff),
  [NetOperation.noUnicast]: rule(wire.CTRL_RX_NOUNI, wire.F_CTRL_RX_EXTRA, onOff),
  [NetOperation.noBroadcast]: rule(wire.CTRL_RX_NOBCAST, wire.F_CTRL_RX_EXTRA, onOff),
  [NetOperation.macTable]: rule(wire.CTRL_MAC_TABLE_SET, wire.F_CTRL_RX, macTable),
  [NetOperation.macAddress]: rule(
    wire.CTRL_MAC_ADDR_SET,
    wire.F_CTRL_MAC_ADDR,
    (into, _, data) => whole(into.bytes(data.subarray(0, 6))),
  ),
  [NetOperation.addVlan]: rule(wire.CTRL_VLAN_ADD, wire.F_CTRL_VLAN, vlan),
  [NetOperation.removeVlan]: rule(wire.CTRL_VLAN_DEL, wire.F_CTRL_VLAN, vlan),
  [NetOperation.announced]: rule(wire.CTRL_ANNOUNCE_ACK, wire.F_GUEST_ANNOUNCE, () => []),
  [NetOperation.queuePairs]: rule(
    wire.CTRL_MQ_VQ_PAIRS_SET,
    wire.F_MQ,
    (into, [pairs = 1]) => whole(into.number(pairs, 16)),
  ),
  [NetOperation.rss]: rule(wire.CTRL_MQ_RSS_CONFIG, wire.F_RSS, rss),
  [NetOperation.hash]: rule(wire.CTRL_MQ_HASH_CONFIG, wire.F_HASH_REPORT, hash),
  [NetOperation.offloads]: rule(
    wire.CTRL_GUEST_OFFLOADS_SET,
    wire.F_CTRL_GUEST_OFFLOADS,
    offloads,
  ),
  [NetOperation.transmitCoalescing]: rule(
    wire.CTRL_NOTF_COAL_TX_SET,
    wire.F_NOTF_COAL,
    coalescing,
  ),
  [NetOperation.receiveCoalescing]: rule(wire.CTRL_NOTF_COAL_RX_SET, wire.F_NOTF_COAL, coalescing),
  [NetOperation.queueCoalescing]: rule(
    wire.CTRL_NOTF_COAL_VQ_SET,
    wire.F_VQ_NOTF_COAL,
    (into, [frames = 0, microseconds = 0, pair = 0, transmit = 0]) =>
      whole(
        into.number(queueIndex(pair, transmit), 16).number(0, 16)
          .number(frames, 32).number(microseconds, 32),
      ),
  ),
  [NetOperation.getQueueCoalescing]: {
    ...rule(
      wire.CTRL_NOTF_COAL_VQ_GET,
      wire.F_VQ_NOTF_COAL,
      (into, [pair = 0, transmit = 0]) =>
        whole(into.number(queueIndex(pair, transmit), 16).number(0, 16)),
    ),
    // It is a part of the command's data that the device fills in, and those stand before the acknowledgement.
    before: 8,
  },
  [NetOperation.hashTunnels]: rule(
    wire.CTRL_HASH_TUNNEL_SET,
    wire.F_HASH_TUNNEL,
    (into, [types = 0]) => whole(into.number(types, 32)),
  ),
};

function rule(command: number, needs: bigint, encode: CommandRule["encode"]): CommandRule {
  return { command, needs, encode };
}
