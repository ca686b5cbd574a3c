import { argument, type Settings } from "../../core/class/mod.ts";
import { NetOperation, type NetProperties } from "./protocol.ts";
import { numbers } from "./numbers.ts";

/** What can be hashed (virtio 1.4, 5.1.9.4.3). */
export interface HashSupport {
  /** The hashes that the device can make, a bit each. */
  readonly types: number;
  /** Bytes of the longest key. */
  readonly keyBytes: number;
  /** Entries of the largest table of queue pairs; 0 if the device does not choose pairs by a hash. */
  readonly entries: number;
  /** Whether hashes come with the frames. */
  readonly reports: boolean;
}

/** How a device chooses a queue pair by a hash (virtio 1.4, 5.1.9.5.7). */
export interface RssOptions {
  /** Hashes to make, a bit each, out of {@linkcode HashSupport.types}. */
  readonly types: number;
  /** Queue pairs, of which the low bits of a hash choose one: as many as a power of two. */
  readonly table: readonly number[];
  /** Key of the hash; 40 random bytes if left out. */
  readonly key?: Uint8Array;
  /** Pair for frames without a hash; 0 if left out. */
  readonly unclassified?: number;
  /** Pairs to send on; those in the table if left out. */
  readonly transmitPairs?: number;
}

/** The greatest number in a word of a record. */
const MOST = 2 ** 32 - 1;
/** Bytes of the usual Toeplitz key. */
const KEY_BYTES = 40;
/** What sets how frames are spread over queue pairs: the last of them counts (5.1.9.5.5). */
const STEERING = "steering";

/** How a card spreads frames over its pairs of queues. It stays so when the device is started anew. */
export class NetSteering {
  readonly #settings: Settings;
  readonly #properties: NetProperties;

  /** Made by the client of the card. */
  constructor(settings: Settings, properties: NetProperties) {
    this.#settings = settings;
    this.#properties = properties;
  }

  /** Pairs of queues, of which one is used until {@linkcode setQueuePairs} or {@linkcode setRss} say otherwise. */
  get queuePairs(): number {
    return this.#properties.pairs;
  }

  /** What can be hashed. */
  get hashes(): HashSupport {
    const { hashTypes, hashKeyBytes, rssEntries, hashReports } = this.#properties;
    return { types: hashTypes, keyBytes: hashKeyBytes, entries: rssEntries, reports: hashReports };
  }

  /** Uses so many pairs of queues; the device chooses by itself by which of them a frame comes. */
  async setQueuePairs(pairs: number): Promise<void> {
    argument.integer(pairs, "NetSteering.setQueuePairs", "pairs", 1, this.queuePairs);
    const what = `use ${pairs} queue pairs`;
    const words = numbers(pairs);
    await this.#settings.apply({ what, operation: NetOperation.queuePairs, words, key: STEERING });
  }

  /** Has the device choose queue pairs by a hash of each frame. */
  async setRss(options: RssOptions): Promise<void> {
    const where = "NetSteering.setRss";
    const last = this.queuePairs - 1;
    const { types, unclassified = 0, ...given } = argument.record(options, where, "options");
    const table = argument.list(given.table, where, "options.table").map((pair, i) =>
      argument.integer(pair, where, `options.table[${i}]`, 0, last)
    );
    const { transmitPairs = Math.max(...table, 0) + 1 } = given;
    const entries = "options.table.length";
    argument.integer(table.length, where, entries, 1, Math.max(this.hashes.entries, 1));
    if ((table.length & table.length - 1) !== 0) {
      throw new RangeError(
        `Cannot use ${table.length} entries of a table: a power of two is wanted`,
      );
    }
    argument.integer(unclassified, where, "options.unclassified", 0, last);
    argument.integer(transmitPairs, where, "options.transmitPairs", 1, this.queuePairs);
    this.#checkTypes(types, where, "options.types");
    const key = this.#key(given.key, where, "options.key");
    const start = key.length + key.length % 2;
    const data = new Uint8Array(start + 2 * table.length);
    data.set(key);
    table.forEach((pair, i) => data.set([pair & 0xff, pair >> 8], start + 2 * i));
    await this.#settings.apply({
      what: "choose queue pairs by a hash",
      operation: NetOperation.rss,
      words: numbers(types, unclassified, transmitPairs, key.length),
      data,
      key: STEERING,
    });
  }

  /** Has the device report a hash of each frame; see {@linkcode Frame.hash}. */
  async setHash(types: number, key?: Uint8Array): Promise<void> {
    this.#checkTypes(types, "NetSteering.setHash", "types");
    const data = this.#key(key, "NetSteering.setHash", "key");
    await this.#settings.apply({
      what: "have hashes reported",
      operation: NetOperation.hash,
      words: numbers(types, data.length),
      data,
      key: "hash",
    });
  }

  /** Has hashes look into tunnels: a bit each (virtio 1.4, 5.1.9.4.3.6). */
  async setHashTunnels(types: number): Promise<void> {
    argument.integer(types, "NetSteering.setHashTunnels", "types", 0, MOST);
    await this.#settings.apply({
      what: "hash within tunnels",
      operation: NetOperation.hashTunnels,
      words: numbers(types),
      key: "hashTunnels",
    });
  }

  /** The key for a hash: a copy, or a random one. */
  #key(given: unknown, where: string, name: string): Uint8Array<ArrayBuffer> {
    const { keyBytes } = this.hashes;
    if (given !== undefined) return argument.copied(given, where, name, 0, keyBytes);
    return crypto.getRandomValues(new Uint8Array(Math.min(KEY_BYTES, keyBytes)));
  }

  #checkTypes(types: number, where: string, name: string): void {
    argument.integer(types, where, name, 0, MOST);
    const unknown = (types & ~this.hashes.types) >>> 0;
    if (unknown !== 0) {
      throw new RangeError(
        `Cannot use hashes 0x${types.toString(16)}: the device does not make 0x${
          unknown.toString(16)
        }`,
      );
    }
  }
}
