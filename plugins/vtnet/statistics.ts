import { NET_STATISTICS } from "@virtio/deno/classes/network";
import type { CommandRule } from "./commands.ts";
import * as wire from "./wire.ts";

/** What there is to ask for: what the device counts. */
export const STATS_QUERY: CommandRule = {
  command: wire.CTRL_STATS_QUERY,
  needs: wire.F_DEVICE_STATS,
  encode: () => [],
  behind: 8,
};

/** Asks for the counts of queues: numbers are the types that the device counts, low and high, and the pairs. */
export function statsGet(control: number, features: bigint, room: number): CommandRule {
  return {
    command: wire.CTRL_STATS_GET,
    needs: wire.F_DEVICE_STATS,
    behind: room,
    encode(into, [low = 0, high = 0, pairs = 1]) {
      const counted = BigInt(low) | BigInt(high) << 32n;
      const ask = (index: number, types: bigint) => {
        // What was not agreed on must not be asked for.
        const wanted = types & counted & allowed(features);
        if (wanted !== 0n) into.number(index, 16).number(0, 16).number(0, 32).long(wanted);
      };
      for (let pair = 0; pair < pairs; pair++) {
        ask(2 * pair, set(wire.STATS_TYPES_RX));
        ask(2 * pair + 1, set(wire.STATS_TYPES_TX));
      }
      ask(control, 1n << BigInt(wire.STATS_TYPE_CVQ));
      return [into.length];
    },
  };
}

function set(types: readonly number[]): bigint {
  return types.reduce((all, type) => all | 1n << BigInt(type), 0n);
}

/** Counts that need a feature (5.1.9.5.11). */
function allowed(features: bigint): bigint {
  const cut = wire.F_HOST_TSO4 | wire.F_HOST_TSO6 | wire.F_HOST_USO;
  const joined = wire.F_GUEST_TSO4 | wire.F_GUEST_TSO6;
  const needs: readonly (readonly [number, bigint])[] = [
    [1, wire.F_GUEST_CSUM],
    [2, joined],
    [3, wire.F_SPEED_DUPLEX],
    [17, wire.F_CSUM],
    [18, cut],
    [19, wire.F_SPEED_DUPLEX],
  ];
  return needs.reduce(
    (all, [type, feature]) => features & feature ? all : all & ~(1n << BigInt(type)),
    ~0n,
  );
}

/** The first count of each type in `NET_STATISTICS`, and how many there are. */
const PLACES: ReadonlyMap<number, readonly [first: number, count: number]> = new Map([
  [32, [0, 2]],
  [0, [2, 6]],
  [1, [8, 4]],
  [2, [12, 4]],
  [3, [16, 2]],
  [16, [18, 6]],
  [17, [24, 2]],
  [18, [26, 6]],
  [19, [32, 2]],
]);

/**
 * Takes a device's counts apart.
 *
 * @param reply What it wrote, read once.
 * @returns For each count four words: its index in `NET_STATISTICS`, its pair, low and high 32 bits; at most `most`.
 */
export function readStatistics(reply: Uint8Array<ArrayBuffer>, most: number): Uint32Array {
  const view = new DataView(reply.buffer, reply.byteOffset, reply.length);
  const found: number[] = [];
  for (let at = 0; at + wire.STATS_HEADER_BYTES <= reply.length;) {
    const type = view.getUint8(at);
    const queue = view.getUint16(at + 2, true);
    const size = view.getUint16(at + 6, true);
    // A count that ends before it begins would never end.
    if (size < wire.STATS_HEADER_BYTES || at + size > reply.length) break;
    const [first, count] = PLACES.get(type) ?? [0, 0];
    const fields = Math.min(count, (size - wire.STATS_HEADER_BYTES) >> 3);
    for (let i = 0; i < fields && found.length < 4 * most; i++) {
      const field = at + wire.STATS_HEADER_BYTES + 8 * i;
      found.push(
        Math.min(first + i, NET_STATISTICS.length - 1),
        queue >> 1,
        view.getUint32(field, true),
        view.getUint32(field + 4, true),
      );
    }
    at += size;
  }
  return Uint32Array.from(found);
}
