import {
  argument,
  type ClientLane,
  type Feed,
  type Lanes,
  News,
  type OpenClient,
  RequestError,
  Settings,
  Status,
} from "../../core/class/mod.ts";
import {
  type BlockDevice,
  BlockOperation,
  type BlockProperties,
  BlockWord,
  SECTOR,
  UNMAP,
} from "./protocol.ts";
import { BlockJobs, type JobRequest, type JobResult } from "./jobs.ts";
import { BlockRequests } from "./requests.ts";
import { BlockSlots } from "./slots.ts";
import { BlockZones } from "./zones.ts";
import { checkRange, readWhole } from "./blocks.ts";
import { MAY_BE_LOST, Unflushed } from "./unflushed.ts";

type BlockLanes = Lanes<"requests", "control">;

/** Something about a disk that an application may want to hear of. */
export type BlockChange =
  /** It holds another number of bytes. */
  | {
    readonly type: "resized";
    /** Bytes that it holds now. */
    readonly capacity: number;
  }
  /** Something else about it is not as it was, for example whether it may be written. */
  | { readonly type: "changed" }
  /** It was started anew, and all that was set is set again but for what is lost. */
  | {
    readonly type: "restarted";
    /** What could not be set again, as errors name it (`set the MAC address`); empty where all was. */
    readonly lost: readonly string[];
  };

/** How a disk is best used; lengths are bytes, and 0 where the device says nothing. */
export interface Topology {
  /** Of the disk's own blocks. */
  readonly blockSize: number;
  /** Of the blocks of the medium. */
  readonly physicalBlockSize: number;
  /** Before the first block that is aligned to a physical one. */
  readonly alignmentOffset: number;
  /** The smallest transfer that is advisable. */
  readonly minimumTransfer: number;
  /** The best transfer. */
  readonly bestTransfer: number;
}

/** What a disk would be if it were made of turning platters. */
export interface Geometry {
  /** Cylinders. */
  readonly cylinders: number;
  /** Heads. */
  readonly heads: number;
  /** Sectors of a track. */
  readonly sectors: number;
}

/** The wear of a disk's storage, as in JEDEC eMMC 5.1, 7.4. */
export interface Lifetime {
  /** How many of the reserved blocks are used: 1 normal, 2 four fifths, 3 nine tenths; 0 says nothing. */
  readonly preEndOfLife: number;
  /** Wear of cells that hold few bits, in tenths of its life: 1 up to 10 %, 11 is beyond; 0 says nothing. */
  readonly typeA: number;
  /** Wear of cells that hold many bits, likewise. */
  readonly typeB: number;
}

/** Operations after which a flush has something to do. */
const WRITES: readonly number[] = [
  BlockOperation.write,
  BlockOperation.discard,
  BlockOperation.writeZeroes,
  BlockOperation.zoneAppend,
];

/** What the device's own status says of a request to a zone (5.2.6). */
const ANSWERS: Readonly<Record<number, string>> = {
  3: "the zone is in no state for this",
  4: "it does not begin at the zone's write pointer",
  5: "too many zones are open",
  6: "too many zones are active",
};

/** An application's view of a block device. */
export class BlockClient implements BlockDevice {
  /** Requests as slots, without a copy. */
  readonly slots: BlockSlots;
  readonly #lane: ClientLane;
  readonly #settings: Settings | undefined;
  readonly #jobs: BlockJobs;
  readonly #unflushed = new Unflushed();
  readonly #zones: BlockZones;
  readonly #properties: BlockProperties;
  readonly #news = new News<BlockChange>("BlockClient.changes");
  /** What the driver and, of that, the client told last. */
  #told: string;
  #capacity: number;

  /**
   * Makes the client of a disk; for the class.
   *
   * @throws TypeError If the slots do not hold whole sectors.
   */
  static open(lanes: BlockLanes, properties: BlockProperties): OpenClient<BlockClient> {
    const client = new BlockClient(lanes, properties);
    return {
      client,
      update: () => client.#update(),
      restarted: () => client.#restarted(),
      gone: () => client.#news.end(),
    };
  }

  private constructor({ requests: lane, control }: BlockLanes, properties: BlockProperties) {
    if (lane.slotBytes % SECTOR !== 0) {
      throw new TypeError(
        `The slots of a block driver's lane requests must hold whole sectors of ${SECTOR} bytes, ` +
          `not ${lane.slotBytes} bytes`,
      );
    }
    this.#lane = lane;
    if (control) this.#settings = new Settings(control, (lost) => this.#restored(lost));
    this.#properties = properties;
    this.#told = JSON.stringify(properties);
    this.#capacity = this.capacity;
    this.slots = new BlockSlots(lane, new BlockRequests(lane));
    this.#jobs = new BlockJobs(lane, this.slots, (operation, status) => {
      // What failed may have been written in part.
      if (WRITES.includes(operation) && status !== Status.refused && this.writeCache) {
        this.#unflushed.written(lane.restarts);
      }
    });
    this.#zones = new BlockZones({
      slotBytes: lane.slotBytes,
      properties,
      run: (action, request) => this.#run(action, request),
    });
  }

  /** Bytes that the device holds, in whole blocks. */
  get capacity(): number {
    const bytes = this.#properties.sectors * SECTOR;
    return bytes - bytes % this.blockSize;
  }

  /** The number of its medium: these devices have one for ever. */
  get medium(): number {
    return 1;
  }

  /** Nothing to do: the device tells what changes. */
  refresh(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Bytes of the disk's own blocks: the unit of all that changes it. The specification has it as advice (5.2.5), and
   * devices refuse what is not in whole blocks all the same.
   */
  get blockSize(): number {
    return this.#properties.blockSize;
  }

  /** Whether writes are refused. */
  get readOnly(): boolean {
    return this.#properties.readOnly;
  }

  /** Whether finished writes are durable only after {@linkcode flush}. */
  get writeCache(): boolean {
    return this.#properties.writeCache;
  }

  /** Whether {@linkcode setWriteCache} can be used. */
  get canSwitchCache(): boolean {
    return this.#settings !== undefined && this.#properties.cacheSwitch;
  }

  /** Whether it knows {@linkcode discard}. */
  get canDiscard(): boolean {
    return this.#mostDiscard > 0;
  }

  /** Whether it knows {@linkcode writeZeroes}. */
  get canWriteZeroes(): boolean {
    return this.#mostZeroes > 0;
  }

  /** Whether it knows {@linkcode secureErase}. */
  get canSecureErase(): boolean {
    return this.#mostErase > 0;
  }

  /** Most sectors of one request, in whole blocks. */
  get #mostDiscard(): number {
    const { discardSectors, discardAlignment } = this.#properties;
    return fitting(discardSectors, this.blockSize / SECTOR, discardAlignment);
  }

  get #mostZeroes(): number {
    return fitting(this.#properties.zeroesSectors, this.blockSize / SECTOR);
  }

  get #mostErase(): number {
    const { eraseSectors, eraseAlignment } = this.#properties;
    return fitting(eraseSectors, this.blockSize / SECTOR, eraseAlignment);
  }

  /** Whether it knows {@linkcode lifetime}. */
  get tellsLifetime(): boolean {
    return this.#properties.lifetime;
  }

  /** How it is best used. */
  get topology(): Topology {
    const { blockSize, physicalBlockSize, alignmentOffset, minimumTransfer, bestTransfer } =
      this.#properties;
    return { blockSize, physicalBlockSize, alignmentOffset, minimumTransfer, bestTransfer };
  }

  /** Its geometry, if it tells one. */
  get geometry(): Geometry | undefined {
    const { cylinders, heads, sectorsPerTrack } = this.#properties;
    return cylinders === 0 ? undefined : { cylinders, heads, sectors: sectorsPerTrack };
  }

  /** Its zones, if it is made of any. */
  get zones(): BlockZones | undefined {
    return this.#properties.zoneSectors > 0 ? this.#zones : undefined;
  }

  /** What changes from now on: its capacity, its cache or another of its properties, until the device is gone or `signal` is aborted. */
  changes(signal?: AbortSignal): Feed<BlockChange> {
    return this.#news.feed({ signal });
  }

  #update(): void {
    const now = JSON.stringify(this.#properties);
    if (now === this.#told) return;
    this.#told = now;
    const { capacity } = this;
    const resized = capacity !== this.#capacity;
    this.#capacity = capacity;
    this.#news.tell(resized ? { type: "resized", capacity } : { type: "changed" });
  }

  /** A reset takes the cache back to what the device likes (5.2.5). */
  #restarted(): void {
    if (this.#settings) this.#settings.restarted();
    else this.#restored([]);
  }

  #restored(lost: readonly string[]): void {
    this.#news.tell({ type: "restarted", lost });
  }

  /**
   * Reads bytes.
   *
   * @param offset First byte, a multiple of 512.
   * @param length Bytes, a multiple of 512.
   * @throws RangeError If that is not inside the device.
   * @throws RequestError If the device fails.
   */
  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    argument.integer(offset, "BlockClient.read", "offset");
    argument.integer(length, "BlockClient.read", "length");
    const action = this.#checkRange("read", offset, length, SECTOR);
    const target = argument.room(length, action);
    await this.readInto(offset, target);
    return target;
  }

  /**
   * Fills `bytes`. When the promise rejects, what stands in them is not known.
   *
   * @param offset First byte, a multiple of 512.
   * @param bytes Where to; its length a multiple of 512.
   * @throws RangeError If that is not inside the device.
   * @throws RequestError If the device fails.
   * @throws TypeError If the buffer is transferred or resized meanwhile.
   */
  async readInto(offset: number, bytes: Uint8Array): Promise<void> {
    argument.integer(offset, "BlockClient.readInto", "offset");
    const own = argument.bytes(bytes, "BlockClient.readInto", "bytes");
    const action = this.#checkRange("read", offset, own.length, SECTOR);
    if (own.length === 0) return;
    const { read: operation } = BlockOperation;
    await readWhole(this.blockSize, offset, own, async (offset, bytes) => {
      await this.#run(action, { operation, sector: offset / SECTOR, bytes });
    });
  }

  /**
   * Writes bytes. They are durable after the next {@linkcode flush}, unless the device has no write cache.
   *
   * Requests that are under way at the same time have no order; if they overlap, either may come last, and after a
   * restart of the device one may be done once more.
   *
   * @param offset First byte, a multiple of {@linkcode blockSize}.
   * @param bytes What to write; its length a multiple of that, too. It must not change until the promise settles.
   * @throws RangeError If that is not inside the device.
   * @throws RequestError If the device fails or is read-only.
   * @throws TypeError If the buffer is transferred or resized meanwhile.
   */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    argument.integer(offset, "BlockClient.write", "offset");
    const own = argument.bytes(bytes, "BlockClient.write", "bytes");
    const action = this.#checkWrite("write", offset, own.length);
    const { length } = own;
    if (length === 0) return;
    const { hostManaged } = this.#properties;
    const operation = BlockOperation.write;
    if (!hostManaged) {
      await this.#run(action, { operation, sector: offset / SECTOR, bytes: own });
      return;
    }
    // Where writes must begin at the write pointer, their order counts, and none can be done twice.
    const { slotBytes } = this.#lane;
    for (let at = 0; at < length; at += slotBytes) {
      if (argument.isLost(own, length)) throw argument.lostError(action);
      const piece = own.subarray(at, at + slotBytes);
      const sector = (offset + at) / SECTOR;
      await this.#run(action, { operation, sector, bytes: piece, once: true });
    }
  }

  /**
   * Makes all writes that have finished durable.
   *
   * If the device was reset since one of them, by a failure of device or driver, it may have lost its cache: then this
   * fails, once, and what is needed must be written again.
   *
   * @throws RequestError If the device fails, or may have lost writes.
   */
  async flush(): Promise<void> {
    const action = "Cannot flush";
    const since = this.#unflushed.flush();
    try {
      await this.#run(action, { operation: BlockOperation.flush, sector: 0 });
    } catch (error) {
      this.#unflushed.failed(since);
      throw error;
    }
    if (this.#unflushed.flushed(since, this.#lane.restarts)) return;
    throw new RequestError(action, Status.failed, MAY_BE_LOST);
  }

  /**
   * Says that what stands there is not needed any more. What is read there afterwards is undefined.
   *
   * @throws RangeError If that is not inside the device.
   * @throws RequestError If the device fails, or does not know this.
   */
  async discard(offset: number, length: number): Promise<void> {
    argument.integer(offset, "BlockClient.discard", "offset");
    argument.integer(length, "BlockClient.discard", "length");
    await this.#change("discard", BlockOperation.discard, { offset, length }, {
      mostSectors: this.#mostDiscard,
    });
  }

  /**
   * Makes a stretch read as zeroes.
   *
   * @param options With `unmap`, its storage may be given up.
   * @throws RangeError If that is not inside the device.
   * @throws RequestError If the device fails, or does not know this.
   */
  async writeZeroes(
    offset: number,
    length: number,
    options: { readonly unmap?: boolean } = {},
  ): Promise<void> {
    argument.integer(offset, "BlockClient.writeZeroes", "offset");
    argument.integer(length, "BlockClient.writeZeroes", "length");
    const { unmap = false } = argument.record(options, "BlockClient.writeZeroes", "options");
    argument.flag(unmap, "BlockClient.writeZeroes", "options.unmap");
    await this.#change("write zeroes to", BlockOperation.writeZeroes, { offset, length }, {
      mostSectors: this.#mostZeroes,
      flags: unmap && this.#properties.zeroesUnmap ? UNMAP : 0,
    });
  }

  /**
   * Erases a stretch beyond recovery.
   *
   * @throws RangeError If that is not inside the device, or not aligned as it needs it.
   * @throws RequestError If the device fails, or does not know this.
   */
  async secureErase(offset: number, length: number): Promise<void> {
    argument.integer(offset, "BlockClient.secureErase", "offset");
    argument.integer(length, "BlockClient.secureErase", "length");
    const { eraseAlignment } = this.#properties;
    const unit = eraseAlignment * SECTOR;
    if (unit > 0 && (offset % unit !== 0 || length % unit !== 0)) {
      throw new RangeError(
        `Cannot erase ${length} bytes at ${offset}: the device erases multiples of ${unit} bytes`,
      );
    }
    await this.#change("erase", BlockOperation.secureErase, { offset, length }, {
      mostSectors: this.#mostErase,
    });
  }

  /**
   * The wear of the storage.
   *
   * @throws RequestError If the device fails, or does not know this.
   */
  async lifetime(): Promise<Lifetime> {
    const action = "Cannot read the lifetime";
    const bytes = new Uint8Array(6);
    const { moved } = await this.#run(action, {
      operation: BlockOperation.lifetime,
      sector: 0,
      bytes,
    });
    if (moved < bytes.length) throw new RequestError(action, Status.invalid);
    const view = new DataView(bytes.buffer);
    const [preEndOfLife, typeA, typeB] = [0, 2, 4].map((at) => view.getUint16(at, true));
    return { preEndOfLife: preEndOfLife!, typeA: typeA!, typeB: typeB! };
  }

  /** The device's identity: up to 20 characters, often a serial number, possibly none. */
  async id(): Promise<string> {
    const bytes = new Uint8Array(20);
    await this.#run("Cannot read the identity", {
      operation: BlockOperation.identify,
      sector: 0,
      bytes,
    });
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  /**
   * Switches the write cache on, or off; then everything is made durable first. It stays so when the device is started
   * anew.
   *
   * @throws RequestError If the device cannot, or fails.
   */
  async setWriteCache(on: boolean): Promise<void> {
    argument.flag(on, "BlockClient.setWriteCache", "on");
    const what = `switch the write cache ${on ? "on" : "off"}`;
    if (!this.#settings) throw new RequestError(`Cannot ${what}`, Status.unsupported);
    await this.#settings.apply({
      what,
      operation: BlockOperation.setWriteCache,
      words: { [BlockWord.sectors]: Number(on) },
      key: "write cache",
    });
    if (!on) await this.flush();
  }

  /** Checks and does what is about a stretch and moves no data. */
  async #change(
    verb: string,
    operation: number,
    { offset, length }: { readonly offset: number; readonly length: number },
    { mostSectors, flags = 0 }: { readonly mostSectors: number; readonly flags?: number },
  ): Promise<void> {
    const action = this.#checkWrite(verb, offset, length);
    if (mostSectors === 0) throw new RequestError(action, Status.unsupported);
    if (length === 0) return;
    const [sector, sectors] = [offset / SECTOR, length / SECTOR];
    await this.#run(action, { operation, sector, sectors, mostSectors, flags });
  }

  #checkWrite(verb: string, offset: number, length: number): string {
    const action = this.#checkRange(verb, offset, length, this.blockSize);
    if (this.readOnly) throw new TypeError(`${action}: the device is read-only`);
    return action;
  }

  /** Returns what errors begin with. */
  #checkRange(verb: string, offset: number, length: number, unit: number): string {
    const action = `Cannot ${verb} ${length} bytes at ${offset}`;
    checkRange(action, offset, length, { unit, capacity: this.capacity, what: "device" });
    return action;
  }

  async #run(action: string, request: JobRequest): Promise<JobResult> {
    const result = await this.#jobs.run(request);
    if (result.lost) throw argument.lostError(action);
    if (result.status === Status.ok) return result;
    const reason = result.status === Status.failed ? ANSWERS[result.answer] : undefined;
    throw new RequestError(action, result.status, reason);
  }
}

/** As many sectors of a limit as are whole blocks, and fit an alignment if that can be. */
function fitting(most: number, block: number, alignment = 0): number {
  const unit = alignment > 0 ? block / commonDivisor(block, alignment) * alignment : block;
  return most >= unit ? most - most % unit : most - most % block;
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
