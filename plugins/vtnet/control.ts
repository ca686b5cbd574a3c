import {
  type Buffer,
  type Device,
  type DriverLane,
  Status,
  type Virtqueue,
  Word,
} from "@virtio/deno/plugin";
import { NetControlWord, NetOperation } from "@virtio/deno/classes/network";
import { type CommandRule, COMMANDS, Writer } from "./commands.ts";
import { COMMAND_BYTES, CONTROL_SLOTS, RESULT_BYTES } from "./plan.ts";
import { readStatistics, STATS_QUERY, statsGet } from "./statistics.ts";
import type { TransmitQueues } from "./transmit.ts";
import * as wire from "./wire.ts";

/** A byte that no device writes as an acknowledgement: it shows whether the device wrote one at all. */
const NO_ACK = 0xff;
/** The acknowledgement stands at the end of a slot's results. */
const ACK = RESULT_BYTES - 1;

/** What the control queue stands on. */
export interface ControlOptions {
  /** The queue; undefined if the device has none. */
  readonly queue: Virtqueue | undefined;
  /** Its index on the device. */
  readonly index: number;
  /** The lane of operations. */
  readonly lane: DriverLane;
  /** Where commands stand, and where the device writes results. */
  readonly commands: Buffer;
  readonly results: Buffer;
  /** The device, for what is not done by commands. */
  readonly device: Pick<Device<string, string, string>, "features" | "legacy" | "writeConfig">;
  /** Pairs of queues. */
  readonly pairs: number;
  /** What must know how many of them are used. */
  readonly transmit: TransmitQueues;
  /** Queues to transmit on. */
  readonly transmitting: readonly Virtqueue[];
  /** Called when the device knows that an announcement was made. */
  readonly announced: () => void;
}

/** The control queue. */
export interface Control {
  /** Begins an operation. */
  provide(slot: number): boolean;
  /** Takes the results of those that are done. */
  collect(): void;
  /** Commands that were sent, and those that failed. */
  readonly counts: { commands: number; failed: number };
}

/** Makes the control queue. */
export function controlQueue(options: ControlOptions): Control {
  const { queue, index, lane, commands, results, device, pairs, transmit } = options;
  const { features } = device;
  const arena = new Uint8Array(commands.bytes.buffer);
  /** What each slot's command is. */
  const rules: (CommandRule | undefined)[] = new Array(CONTROL_SLOTS).fill(undefined);
  const counts = { commands: 0, failed: 0 };
  const stats = statsGet(index, features, RESULT_BYTES - 8);

  const numbersOf = (slot: number) =>
    [0, 1, 2, 3].map((i) => lane.word(slot, NetControlWord.arguments + i));
  const resultOf = (slot: number) => results.offset + slot * RESULT_BYTES;

  function provide(slot: number): boolean {
    const operation = lane.word(slot, Word.operation);
    if (operation === NetOperation.macAddress && !(features & wire.F_CTRL_MAC_ADDR)) {
      return writeMac(slot);
    }
    const rule = operation === NetOperation.statistics ? STATS_QUERY : COMMANDS[operation];
    if (!rule || !queue || !(features & rule.needs)) {
      lane.complete(slot, Status.unsupported, 0);
      return true;
    }
    const numbers = numbersOf(slot);
    const wanted = pairsOf(operation, numbers);
    if (wanted > pairs) {
      lane.complete(slot, Status.unsupported, 0);
      return true;
    }
    if (wanted > 0 && wanted < transmit.active) transmit.active = wanted;
    // Pairs that are going to be used no more must be empty (5.1.9.5.6.1).
    for (let pair = transmit.active; pair < options.transmitting.length; pair++) {
      if (wanted > 0 && pair >= wanted && options.transmitting[pair]!.inFlight > 0) return false;
    }
    return send(slot, rule, numbers);
  }

  /** How many pairs an operation wants to use; 0 for one that does not care. */
  function pairsOf(operation: number, [first = 0, , third = 0]: readonly number[]): number {
    if (operation === NetOperation.queuePairs) return first;
    return operation === NetOperation.rss ? third : 0;
  }

  function send(slot: number, rule: CommandRule, numbers: readonly number[]): boolean {
    const at = commands.offset + slot * COMMAND_BYTES;
    const into = new Writer(arena.subarray(at, at + COMMAND_BYTES));
    into.number(rule.command >> 8, 8).number(rule.command & 0xff, 8);
    const parts = encode(rule, slot, at, numbers);
    if (!parts) {
      lane.complete(slot, Status.unsupported, 0);
      return true;
    }
    const result = resultOf(slot);
    arena[result + ACK] = NO_ACK;
    queue!.begin(slot);
    queue!.readable(at, into.length);
    let place = at + into.length;
    for (const bytes of parts) {
      queue!.readable(place, bytes);
      place += bytes;
    }
    if (rule.before) queue!.writable(result, rule.before);
    queue!.writable(result + ACK, 1);
    if (rule.behind) queue!.writable(result, rule.behind);
    if (!queue!.commit()) return false;
    rules[slot] = rule;
    counts.commands++;
    return true;
  }

  /** The parts of a command's data; undefined if they do not fit. */
  function encode(
    { encode }: CommandRule,
    slot: number,
    at: number,
    numbers: readonly number[],
  ): readonly number[] | undefined {
    const length = Math.min(lane.word(slot, Word.length), lane.slotBytes);
    const data = arena.slice(lane.offset(slot), lane.offset(slot) + length);
    const into = new Writer(arena.subarray(at + 2, at + COMMAND_BYTES));
    try {
      return encode(into, numbers, data).filter((bytes) => bytes > 0);
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }

  /** Before version 1, and without a command for it, the address was a part of the configuration (5.1.4.3). */
  function writeMac(slot: number): true {
    if (!device.legacy) {
      lane.complete(slot, Status.unsupported, 0);
      return true;
    }
    const at = lane.offset(slot);
    for (let i = 0; i < 6; i++) device.writeConfig(`mac_${i}`, arena[at + i]!);
    lane.complete(slot, Status.ok, 0);
    return true;
  }

  function done(slot: number, written: number): void {
    const rule = rules[slot]!;
    const ack = arena[resultOf(slot) + ACK]!;
    const status = ack === wire.OK ? Status.ok : ack === wire.ERR ? Status.failed : Status.invalid;
    if (status !== Status.ok) counts.failed++;
    if (status !== Status.ok || !rule.before && !rule.behind) return end(slot, status, 0);
    const from = resultOf(slot);
    const length = Math.min(Math.max(0, written - 1), (rule.before ?? 0) + (rule.behind ?? 0));
    const result = arena.slice(from, from + length);
    if (rule === STATS_QUERY) return askForCounts(slot, result);
    const answer = rule === stats
      ? new Uint8Array(readStatistics(result, lane.slotBytes >> 4).buffer)
      : result;
    arena.set(answer, lane.offset(slot));
    end(slot, Status.ok, answer.length);
  }

  function askForCounts(slot: number, types: Uint8Array<ArrayBuffer>): void {
    const [low, high] = new Uint32Array(types.buffer, 0, types.length >> 2);
    if (low === undefined || high === undefined) return end(slot, Status.invalid, 0);
    if (!send(slot, stats, [low, high, pairs])) end(slot, Status.failed, 0);
  }

  function end(slot: number, status: number, length: number): void {
    const operation = lane.word(slot, Word.operation);
    if (status === Status.ok) {
      const wanted = pairsOf(operation, numbersOf(slot));
      if (wanted > 0) transmit.active = Math.min(wanted, pairs);
      if (operation === NetOperation.announced) options.announced();
    }
    lane.complete(slot, status, length);
  }

  return {
    provide,
    counts,
    collect() {
      queue?.drain(done);
    },
  };
}
