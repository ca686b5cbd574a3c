import { argument, RequestError, Status } from "../../core/class/mod.ts";
import type { BlockDevice } from "../block/protocol.ts";
import { SECTOR } from "../block/protocol.ts";
import type { BlockSlots } from "../block/slots.ts";
import { checkRange, readWhole } from "../block/blocks.ts";
import { MAY_BE_LOST, Unflushed } from "../block/unflushed.ts";
import { addressWord, formatScsiAddress, type ScsiAddress } from "./address.ts";
import type { ScsiAnswer } from "./answer.ts";
import { asciiText } from "./big_endian.ts";
import {
  CAPACITY_10_BYTES,
  CAPACITY_16_BYTES,
  needsCapacity16,
  parseCapacity,
  type ScsiCapacity,
} from "./capacity.ts";
import {
  loadOrEject,
  modeSense6,
  readCapacity10,
  readCapacity16,
  readOrWrite,
  synchronizeCache,
  unmap,
  unmapRanges,
  writeSame16,
} from "./cdb.ts";
import { type CommandOptions, exchangedError, type ScsiCommands } from "./commands.ts";
import { ScsiError } from "./error.ts";
import type { ScsiInquiry } from "./inquiry.ts";
import { isWithoutMedium } from "./media.ts";
import { CACHING_PAGE, MODE_BYTES, parseModes, type ScsiModes } from "./mode.ts";
import { protect, PROTECTION_BYTES, unprotected } from "./protection.ts";
import { ScsiTail } from "./protocol.ts";
import type { ScsiRequests } from "./requests.ts";
import { SenseKey } from "./sense.ts";
import {
  type BlockLimits,
  parseIdentifiers,
  parseLimits,
  parseProvisioning,
  type Provisioning,
  VpdPage,
} from "./vpd.ts";

/** What a disk needs of its adapter. */
export interface DiskPort {
  /** Its commands. */
  readonly commands: ScsiCommands;
  /** A page of vital product data; undefined if the unit has none. */
  readonly vpd: (page: number) => Promise<Uint8Array | undefined>;
}

/** Commands of one call that are under way at the same time. */
const AT_ONCE = 32;
/** How often a unit is asked anew that changes while it is asked. */
const MOST_PASSES = 8;
/** Blocks that one command may have, if the unit does not say. */
const MOST_UNMAP = 2 ** 32 - 1, MOST_SAME = 65535;
const DIRECT_ACCESS = 0, CD_ROM = 5;
const NO_LIMITS: BlockLimits = {
  mostTransfer: 0,
  bestTransfer: 0,
  mostUnmap: 0,
  mostUnmapRanges: 0,
  unmapGranularity: 0,
  mostSame: 0,
};
const NOT_THIN: Provisioning = { unmap: false, same: false, zeroes: false };
const NO_CAPACITY: ScsiCapacity = {
  blocks: 0,
  blockSize: SECTOR,
  physicalBlockSize: SECTOR,
  protectionType: 0,
  thin: false,
  unmappedZeroes: false,
};

/**
 * A disk or a CD-ROM of a SCSI adapter. Positions and lengths are bytes; reads in multiples of 512, all else in blocks.
 *
 * It stands for the medium that was in the unit when it was opened, or when {@linkcode ScsiDisk.refresh} was called
 * last. From the moment on when an exchange shows, all that is asked for fails, and so does what is under way.
 */
export class ScsiDisk implements BlockDevice {
  /** Where it is. */
  readonly address: ScsiAddress;
  /** What it says that it is. */
  readonly inquiry: ScsiInquiry;
  /** Requests as slots, without a copy; all disks of an adapter share them. */
  readonly slots: BlockSlots;
  readonly #requests: ScsiRequests;
  readonly #port: DiskPort;
  #capacity: ScsiCapacity = NO_CAPACITY;
  #modes: ScsiModes = { writeProtected: false, writeCache: true };
  #limits: BlockLimits = NO_LIMITS;
  #provisioning: Provisioning = NOT_THIN;
  #sameRefused = false;
  readonly #unflushed = new Unflushed();
  /** The medium that it stands for: how many were before it. */
  #generation = 0;
  /** The medium of which all that is kept was learnt. */
  #learnt = 0;
  #stale = false;
  #learning: Promise<void> | undefined;

  /** Made by the client; {@linkcode open} first. */
  constructor(address: ScsiAddress, inquiry: ScsiInquiry, port: DiskPort) {
    this.address = address;
    this.inquiry = inquiry;
    this.#port = port;
    const { slots, requests } = port.commands.slots(address);
    this.slots = slots;
    this.#requests = requests;
  }

  /** Whether units of that type are disks to us. */
  static fits({ type }: ScsiInquiry): boolean {
    return type === DIRECT_ACCESS || type === CD_ROM;
  }

  /** Learns what the unit is like. */
  async open(): Promise<void> {
    if (this.inquiry.type === DIRECT_ACCESS) {
      const limits = await this.#port.vpd(VpdPage.limits);
      const provisioning = await this.#port.vpd(VpdPage.provisioning);
      if (limits) this.#limits = parseLimits(limits);
      if (provisioning) this.#provisioning = parseProvisioning(provisioning);
    }
    await this.refresh();
  }

  /** Asks the unit anew how large it is and whether it may be written, and takes the medium that is in it now for its own. */
  async refresh(): Promise<void> {
    await this.learn();
    const isOther = this.#generation !== this.#learnt;
    this.#generation = this.#learnt;
    this.#requests.learn({
      blockSize: this.blockSize,
      bytes: this.#mostBytes(),
      unmapsBySame: this.#provisioning.same && !this.#provisioning.unmap,
      zeroesUnmap: this.#provisioning.same && this.#capacity.unmappedZeroes,
    }, this.#generation);
    if (isOther) this.#unflushed.flush();
  }

  /** Asks the unit anew how large it is and whether it may be written; for the client. */
  learn(): Promise<void> {
    this.#stale = true;
    return this.#learning ??= this.#learnAll().finally(() => this.#learning = undefined);
  }

  /** What changes while the unit is asked is asked for again. */
  async #learnAll(): Promise<void> {
    for (let passes = 0; this.#stale && passes < MOST_PASSES; passes++) {
      this.#stale = false;
      const now = this.#now;
      await this.#learn();
      this.#learnt = now;
      if (this.#now !== now) this.#stale = true;
    }
  }

  async #learn(): Promise<void> {
    const { media } = this.#port.commands;
    const word = addressWord(this.address);
    const before = this.#capacity;
    const generation = this.#now;
    try {
      const { blocks, blockSize } = this.#capacity = await this.#readCapacity();
      media.present(word);
      // That its medium is another one may have been said no more after a reset of the unit.
      const other = blocks !== before.blocks || blockSize !== before.blockSize;
      const unnoticed = generation === this.#now && before !== NO_CAPACITY;
      if (this.inquiry.removable && other && unnoticed) media.exchanged(word, false);
    } catch (error) {
      if (!(error instanceof ScsiError) || !isWithoutMedium(error.sense)) throw error;
      this.#capacity = { ...this.#capacity, blocks: 0 };
    }
    this.#modes = await this.#readModes();
  }

  /** The generation of the medium that is in the unit, as far as is known. */
  get #now(): number {
    return this.#port.commands.media.generation(addressWord(this.address));
  }

  /** Whether the medium that it stands for is not in the unit any more. */
  get exchanged(): boolean {
    return this.#now !== this.#generation;
  }

  /** Which medium is in the unit, counted; 0 while there is none. */
  get medium(): number {
    return this.#port.commands.media.isAbsent(addressWord(this.address)) ? 0 : this.#now + 1;
  }

  /** Bytes that it holds; 0 without a medium. */
  get capacity(): number {
    return this.#capacity.blocks * this.#capacity.blockSize;
  }

  /** Bytes of its blocks. */
  get blockSize(): number {
    return this.#capacity.blockSize;
  }

  /** More about its size. */
  get geometry(): ScsiCapacity {
    return this.#capacity;
  }

  /** Whether writes are refused. */
  get readOnly(): boolean {
    return this.inquiry.type === CD_ROM || this.#modes.writeProtected;
  }

  /** Whether finished writes are durable only after {@linkcode flush}. */
  get writeCache(): boolean {
    return !this.readOnly && this.#modes.writeCache;
  }

  /** Whether it knows {@linkcode discard}. */
  get canDiscard(): boolean {
    return !this.readOnly && (this.#provisioning.unmap || this.#provisioning.same);
  }

  /** Whether it knows {@linkcode writeZeroes}: where it does not, zeroes are written. */
  get canWriteZeroes(): boolean {
    return !this.readOnly;
  }

  /** Its serial number, else its first name in page 83; up to 20 characters, possibly none. */
  async id(): Promise<string> {
    const serial = await this.#port.vpd(VpdPage.serial);
    const text = serial ? asciiText(serial, 0, serial.length) : "";
    if (text !== "") return text.slice(0, 20);
    const names = await this.#port.vpd(VpdPage.identification);
    return (names ? parseIdentifiers(names)[0]?.name ?? "" : "").slice(0, 20);
  }

  /** Reads `length` bytes. */
  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    argument.integer(offset, "ScsiDisk.read", "offset");
    argument.integer(length, "ScsiDisk.read", "length");
    this.#check("read", offset, length, SECTOR);
    const bytes = argument.room(length, `Cannot read ${length} bytes at ${offset}`);
    await this.readInto(offset, bytes);
    return bytes;
  }

  /**
   * Fills `bytes`.
   *
   * @throws TypeError If the buffer is transferred or resized meanwhile.
   */
  async readInto(offset: number, bytes: Uint8Array): Promise<void> {
    argument.integer(offset, "ScsiDisk.readInto", "offset");
    const own = argument.bytes(bytes, "ScsiDisk.readInto", "bytes");
    const { length } = own;
    const medium = this.#check("read", offset, length, SECTOR);
    if (length === 0) return;
    await readWhole(
      this.blockSize,
      offset,
      own,
      (offset, bytes) => this.#move(false, offset, bytes, medium),
    );
    if (argument.isLost(own, length)) {
      throw argument.lostError(`Cannot read ${length} bytes at ${offset}`);
    }
  }

  /**
   * Writes bytes, which must not change until the promise settles.
   *
   * @throws TypeError If the buffer is transferred or resized meanwhile.
   */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    argument.integer(offset, "ScsiDisk.write", "offset");
    const own = argument.bytes(bytes, "ScsiDisk.write", "bytes");
    const { length } = own;
    const medium = this.#checkWrite("write", offset, length);
    if (length === 0) return;
    await this.#move(true, offset, own, medium);
    if (argument.isLost(own, length)) {
      throw argument.lostError(`Cannot write ${length} bytes at ${offset}`);
    }
  }

  /**
   * Makes all writes that have finished durable.
   *
   * If the device was reset since one of them, by a failure of device or driver, it may have lost its cache: then this
   * fails, once, and what is needed must be written again.
   */
  async flush(): Promise<void> {
    const { commands } = this.#port;
    const action = "Cannot flush";
    if (this.exchanged && this.#unflushed.any) throw exchangedError(action, this.address);
    if (!this.writeCache || this.exchanged || this.medium === 0) return;
    const medium = this.#generation;
    const since = this.#unflushed.flush();
    try {
      await this.#perform(action, synchronizeCache(), { repeatable: true, medium });
    } catch (error) {
      this.#unflushed.failed(since);
      throw error;
    }
    if (this.#unflushed.flushed(since, commands.restarts)) return;
    throw new RequestError(
      `${action} unit ${formatScsiAddress(this.address)}`,
      Status.failed,
      MAY_BE_LOST,
    );
  }

  /** Says that what stands there is not needed any more. What is read there afterwards is undefined. */
  async discard(offset: number, length: number): Promise<void> {
    argument.integer(offset, "ScsiDisk.discard", "offset");
    argument.integer(length, "ScsiDisk.discard", "length");
    const medium = this.#checkWrite("discard", offset, length);
    const action = `Cannot discard ${length} bytes at ${offset}`;
    if (!this.canDiscard) throw new TypeError(`${action}: the unit cannot`);
    if (!this.#provisioning.unmap) {
      return await this.#writeSame(action, offset, length, { unmap: true, medium });
    }
    const most = this.#limits.mostUnmap || MOST_UNMAP;
    await this.#each(offset, length, most * this.blockSize, async (at, bytes) => {
      const out = unmapRanges([[at / this.blockSize, bytes / this.blockSize]]);
      const options = { out, repeatable: true, medium };
      await this.#change(action, unmap(out.length), options);
    });
  }

  /** Makes a stretch read as zeroes; with `unmap`, its storage may be given up. */
  async writeZeroes(
    offset: number,
    length: number,
    options: { readonly unmap?: boolean } = {},
  ): Promise<void> {
    argument.integer(offset, "ScsiDisk.writeZeroes", "offset");
    argument.integer(length, "ScsiDisk.writeZeroes", "length");
    const { unmap = false } = argument.record(options, "ScsiDisk.writeZeroes", "options");
    argument.flag(unmap, "ScsiDisk.writeZeroes", "options.unmap");
    const medium = this.#checkWrite("write zeroes to", offset, length);
    const action = `Cannot write ${length} zeroes at ${offset}`;
    if (!this.#sameRefused) {
      try {
        const giveUp = unmap && this.#provisioning.same && this.#capacity.unmappedZeroes;
        return await this.#writeSame(action, offset, length, { unmap: giveUp, medium });
      } catch (error) {
        const refused = error instanceof ScsiError && error.sense?.key === SenseKey.illegalRequest;
        if (!refused) throw error;
        this.#sameRefused = true;
      }
    }
    const zeroes = new Uint8Array(this.#mostBytes());
    await this.#each(
      offset,
      length,
      zeroes.length,
      (at, bytes) => this.#piece(true, at, zeroes.subarray(0, bytes), medium),
    );
  }

  /** Reads blocks with their protection information, and checks them against it (SBC-3, 4.22). */
  async readProtected(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    argument.integer(offset, "ScsiDisk.readProtected", "offset");
    argument.integer(length, "ScsiDisk.readProtected", "length");
    const { action, medium } = this.#checkProtected("read", offset, length);
    const first = offset / this.blockSize;
    const inProtection = length / this.blockSize * PROTECTION_BYTES;
    const cdb = readOrWrite(false, first, length / this.blockSize, 1);
    const options = { inBytes: length, inProtection, repeatable: true, medium };
    const { data, protection, ...answer } = await this.#perform(action, cdb, options);
    const whole = data.length === length;
    if (whole && unprotected(data, this.blockSize, first, protection) < 0) return data;
    const wrong = { ...answer, data, protection };
    throw new ScsiError(action, this.address, Status.invalid, whole ? undefined : wrong);
  }

  /** Writes blocks with their protection information, which the unit checks. */
  async writeProtected(offset: number, bytes: Uint8Array): Promise<void> {
    argument.integer(offset, "ScsiDisk.writeProtected", "offset");
    const own = argument.bytes(bytes, "ScsiDisk.writeProtected", "bytes");
    const { action, medium } = this.#checkProtected("write", offset, own.length);
    const first = offset / this.blockSize;
    const cdb = readOrWrite(true, first, own.length / this.blockSize, 1);
    const outProtection = protect(own, this.blockSize, first);
    await this.#change(action, cdb, { out: own, outProtection, repeatable: true, medium });
  }

  /** Puts the medium in, or takes it out. */
  async load(load = true): Promise<void> {
    argument.flag(load, "ScsiDisk.load", "load");
    const action = load ? "Cannot load the medium" : "Cannot eject the medium";
    await this.#port.commands.perform(action, this.address, loadOrEject(load));
    await this.refresh();
  }

  async #readCapacity(): Promise<ScsiCapacity> {
    const { commands } = this.#port;
    const action = "Cannot read the capacity";
    const ask = async (cdb: Uint8Array, inBytes: number) =>
      (await commands.perform(action, this.address, cdb, { inBytes, repeatable: true })).data;
    const long = async () => await ask(readCapacity16(CAPACITY_16_BYTES), CAPACITY_16_BYTES);
    let bytes: Uint8Array;
    if (this.inquiry.type === DIRECT_ACCESS) {
      try {
        bytes = await long();
      } catch (error) {
        const refused = error instanceof ScsiError && error.sense?.key === SenseKey.illegalRequest;
        if (!refused) throw error;
        bytes = await ask(readCapacity10(), CAPACITY_10_BYTES);
      }
    } else {
      bytes = await ask(readCapacity10(), CAPACITY_10_BYTES);
      if (needsCapacity16(bytes)) bytes = await long();
    }
    const capacity = parseCapacity(bytes);
    if (capacity) return capacity;
    throw new ScsiError(action, this.address, Status.invalid);
  }

  async #readModes(): Promise<ScsiModes> {
    try {
      const { data } = await this.#port.commands.perform(
        "Cannot read the modes",
        this.address,
        modeSense6(CACHING_PAGE, MODE_BYTES),
        { inBytes: MODE_BYTES, repeatable: true },
      );
      const modes = parseModes(data);
      if (modes) return modes;
    } catch (error) {
      if (!(error instanceof ScsiError) || error.sense === undefined) throw error;
    }
    // Nothing is known of a cache: then there may be one.
    return { writeProtected: false, writeCache: true };
  }

  /** Reads or writes whole blocks, as many commands as that takes. */
  async #move(write: boolean, offset: number, bytes: Uint8Array, medium: number): Promise<void> {
    const all = bytes.length;
    const most = this.#mostBytes();
    if (all <= most) return await this.#piece(write, offset, bytes, medium);
    const action = `Cannot ${write ? "write" : "read"} ${all} bytes at ${offset}`;
    await this.#each(offset, all, most, async (at, length) => {
      if (argument.isLost(bytes, all)) throw argument.lostError(action);
      await this.#piece(write, at, bytes.subarray(at - offset, at - offset + length), medium);
    });
  }

  async #piece(write: boolean, offset: number, bytes: Uint8Array, medium: number): Promise<void> {
    const { blockSize } = this;
    const verb = write ? "write" : "read";
    const action = `Cannot ${verb} ${bytes.length} bytes at ${offset}`;
    const cdb = readOrWrite(write, offset / blockSize, bytes.length / blockSize);
    const answer = write
      ? await this.#change(action, cdb, { out: bytes, repeatable: true, medium })
      : await this.#perform(action, cdb, { into: bytes, repeatable: true, medium });
    // What moved less than it should is nothing, whatever the unit says.
    if (answer.residual > 0) throw new ScsiError(action, this.address, Status.invalid);
  }

  /** Has a command carried out that changes what stands there. */
  async #change(action: string, cdb: Uint8Array, options: CommandOptions): Promise<ScsiAnswer> {
    const { commands } = this.#port;
    try {
      return await this.#perform(action, cdb, options);
    } finally {
      // What failed may have been written in part.
      if (this.writeCache) this.#unflushed.written(commands.restarts);
    }
  }

  /** Has a command carried out; if the medium is another one now, what is known of it is learnt before that is told. */
  async #perform(action: string, cdb: Uint8Array, options: CommandOptions): Promise<ScsiAnswer> {
    try {
      return await this.#port.commands.perform(action, this.address, cdb, options);
    } catch (error) {
      // Why it cannot be asked is not what its user wants to know.
      if (this.#learnt !== this.#now) await (this.#learning ?? this.learn()).catch(() => {});
      throw error;
    }
  }

  async #writeSame(
    action: string,
    offset: number,
    length: number,
    { unmap, medium }: { readonly unmap: boolean; readonly medium: number },
  ): Promise<void> {
    const { blockSize } = this;
    const out = new Uint8Array(blockSize);
    const most = Math.min(this.#limits.mostSame || MOST_SAME, MOST_UNMAP);
    await this.#each(offset, length, most * blockSize, async (at, bytes) => {
      const cdb = writeSame16(at / blockSize, bytes / blockSize, unmap);
      await this.#change(action, cdb, { out, repeatable: true, medium });
    });
  }

  /** Cuts a stretch into pieces, and has some of them done at the same time. The first error ends it. */
  async #each(
    offset: number,
    length: number,
    most: number,
    work: (offset: number, length: number) => Promise<void>,
  ): Promise<void> {
    let next = 0;
    let failed = false;
    const worker = async () => {
      while (next < length && !failed) {
        const at = next;
        next += most;
        try {
          await work(offset + at, Math.min(most, length - at));
        } catch (error) {
          failed = true;
          throw error;
        }
      }
    };
    const workers = Math.min(AT_ONCE, Math.ceil(length / most));
    const ends = await Promise.allSettled(Array.from({ length: workers }, worker));
    const bad = ends.find((end) => end.status === "rejected");
    if (bad) throw bad.reason;
  }

  /** Most bytes of one transfer, in whole blocks. */
  #mostBytes(): number {
    const { blockSize } = this;
    const fits = Math.floor(this.#port.commands.dataBytes / blockSize);
    const { mostTransfer } = this.#limits;
    return Math.max(1, Math.min(fits, mostTransfer || fits)) * blockSize;
  }

  /** Returns the generation of the medium that it is about. */
  #check(verb: string, offset: number, length: number, unit: number): number {
    const action = `Cannot ${verb} ${length} bytes at ${offset}`;
    if (this.exchanged) throw exchangedError(action, this.address);
    if (this.medium === 0) {
      const what = `${action} of unit ${formatScsiAddress(this.address)}`;
      throw new RequestError(what, Status.failed, "there is no medium in it");
    }
    checkRange(action, offset, length, { unit, capacity: this.capacity, what: "unit" });
    return this.#generation;
  }

  #checkWrite(verb: string, offset: number, length: number): number {
    const medium = this.#check(verb, offset, length, this.blockSize);
    if (!this.readOnly) return medium;
    throw new TypeError(`Cannot ${verb} ${length} bytes at ${offset}: the unit is read-only`);
  }

  #checkProtected(
    verb: string,
    offset: number,
    length: number,
  ): { readonly action: string; readonly medium: number } {
    const action = `Cannot ${verb} ${length} protected bytes at ${offset}`;
    const medium = this.#check(verb, offset, length, this.blockSize);
    const most = Math.min(
      this.#port.commands.dataBytes,
      ScsiTail.protectionBytes / PROTECTION_BYTES * this.blockSize,
    );
    if (length > most) throw new RangeError(`${action}: at most ${most} at once`);
    if (this.#capacity.protectionType === 0) {
      throw new TypeError(`${action}: the unit's blocks carry no protection information`);
    }
    return { action, medium };
  }
}
