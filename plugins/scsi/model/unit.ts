import { SparseMemory } from "@virtio/deno/simulation";
import {
  CHECK_CONDITION,
  fixedSense,
  GOOD,
  Op,
  READ_CAPACITY_16,
  Sense,
  type SenseCode,
} from "./commands.ts";

/** What a logical unit is like. */
export interface UnitOptions {
  /** Its target; 0 if absent. */
  readonly target?: number;
  /** Its LUN; 0 if absent. */
  readonly lun?: number;
  /** What it is; a disk if absent. */
  readonly type?: "disk" | "cdrom";
  /** Bytes that it holds, a multiple of its block size. */
  readonly capacity: number;
  /** Bytes of a block; 512 if absent, 2048 for a CD-ROM. */
  readonly blockSize?: number;
  /** Its serial number; none if absent. */
  readonly serial?: string;
  /** Whether it refuses all writes; a CD-ROM always does. */
  readonly readOnly?: boolean;
  /** Whether it has a write cache; true if absent. */
  readonly writeCache?: boolean;
  /** Whether its blocks carry protection information of type 1 (SBC-3, 4.22). */
  readonly protection?: boolean;
}

/** A command as it reached a unit. */
export interface UnitCommand {
  /** Its CDB. */
  readonly cdb: Uint8Array;
  /** Data from the initiator. */
  readonly out: Uint8Array;
  /** Protection information from the initiator. */
  readonly outProtection: Uint8Array;
  /** Room for data to the initiator. */
  readonly inBytes: number;
  /** Room for protection information to the initiator. */
  readonly inProtection: number;
}

/** How a unit answers. */
export interface UnitAnswer {
  /** SCSI status. */
  readonly status: number;
  /** Data for the initiator. */
  readonly data?: Uint8Array;
  /** Protection information for the initiator. */
  readonly protection?: Uint8Array;
  /** Sense data. */
  readonly sense?: Uint8Array;
  /** Bytes of data from the initiator that were used; all if absent. */
  readonly used?: number;
  /** The command needs more data than there is room for. */
  readonly overrun?: boolean;
}

/** Bytes of protection information of a block. */
const PROTECTION_BYTES = 8;
/** Limits of UNMAP and WRITE SAME that it states. */
const MOST_UNMAP_BLOCKS = 65536;
const MOST_UNMAP_RANGES = 8;
const MOST_SAME_BLOCKS = 65536;

/** A logical unit in memory, of which only what was written takes space. */
export class UnitModel {
  /** The target that it belongs to, 0 to 255. */
  readonly target: number;
  /** Its number in the target, 0 to 16383. */
  readonly lun: number;
  /** Unit attentions that the initiator has not heard of yet. */
  readonly attentions: SenseCode[] = [Sense.powerOn];
  /** How often each operation code was carried out. */
  readonly served: Map<number, number> = new Map();
  readonly #options: UnitOptions;
  readonly #blockSize: number;
  readonly #store = new SparseMemory();
  readonly #protection = new SparseMemory();
  #blocks = 0;
  #loaded = true;
  #protected: boolean;

  /**
   * Makes a unit with nothing but zeroes on it.
   *
   * @throws {RangeError} If the capacity is not a multiple of the block size.
   */
  constructor(options: UnitOptions) {
    this.#options = options;
    this.#protected = options.readOnly === true;
    this.target = options.target ?? 0;
    this.lun = options.lun ?? 0;
    this.#blockSize = options.blockSize ?? (options.type === "cdrom" ? 2048 : 512);
    this.resize(options.capacity);
  }

  /** Changes the capacity, in bytes. What is cut off is lost. */
  resize(capacity: number): void {
    const blocks = capacity / this.#blockSize;
    if (!Number.isSafeInteger(capacity) || blocks < 0 || !Number.isInteger(blocks)) {
      throw new RangeError(
        `Cannot make a unit of ${capacity} bytes: not a multiple of ${this.#blockSize}`,
      );
    }
    const before = this.#blocks * this.#blockSize;
    if (capacity < before) this.#store.clear(capacity, before - capacity);
    this.#blocks = blocks;
  }

  /** Takes the medium out, or puts one in: it may be another one, of a capacity in bytes, protected or not. */
  load(
    loaded: boolean,
    medium: { readonly capacity?: number; readonly readOnly?: boolean } = {},
  ): void {
    this.#loaded = loaded;
    if (medium.capacity !== undefined) this.resize(medium.capacity);
    this.#protected = medium.readOnly ?? this.#protected;
    if (loaded) this.attentions.push(Sense.mediumChanged);
  }

  /** Puts bytes on it behind the initiator's back. */
  fill(position: number, bytes: Uint8Array): void {
    this.#store.write(position, bytes);
  }

  /** Whether it refuses writes. */
  get #readOnly(): boolean {
    return this.#protected || this.#options.type === "cdrom";
  }

  /** Carries a command out; `luns` are those of its target. */
  serve(command: UnitCommand, luns: readonly number[]): UnitAnswer {
    const op = command.cdb[0]!;
    const quiet = op === Op.INQUIRY || op === Op.REPORT_LUNS || op === Op.REQUEST_SENSE;
    if (!quiet) {
      const attention = this.attentions.shift();
      if (attention) return fail(attention);
    }
    this.served.set(op, (this.served.get(op) ?? 0) + 1);
    switch (op) {
      case Op.INQUIRY:
        return this.#inquiry(command);
      case Op.REPORT_LUNS:
        return cut(reportLuns(luns), uint32(command.cdb, 6), command);
      case Op.REQUEST_SENSE:
        return cut(
          fixedSense(this.attentions.shift() ?? [0, 0, 0]),
          command.cdb[4]!,
          command,
        );
      case Op.START_STOP_UNIT:
        return this.#startStop(command.cdb[4]!);
      case Op.MODE_SENSE_6:
      case Op.MODE_SENSE_10:
        return this.#modeSense(command);
    }
    return this.#loaded ? this.#serveMedium(op, command) : fail(Sense.notPresent);
  }

  /** What needs a medium. */
  #serveMedium(op: number, command: UnitCommand): UnitAnswer {
    const { cdb } = command;
    switch (op) {
      case Op.TEST_UNIT_READY:
      case Op.PREVENT_ALLOW_MEDIUM_REMOVAL:
        return DONE;
      case Op.READ_CAPACITY_10:
        return this.#readCapacity10(command);
      case Op.SERVICE_ACTION_IN_16:
        if ((cdb[1]! & 0x1f) !== READ_CAPACITY_16) return fail(Sense.invalidField);
        return this.#readCapacity16(command);
      case Op.READ_10:
        return this.#read(uint32(cdb, 2), uint16(cdb, 7), command);
      case Op.READ_16:
        return this.#read(uint64(cdb, 2), uint32(cdb, 10), command);
      case Op.WRITE_10:
        return this.#write(uint32(cdb, 2), uint16(cdb, 7), command);
      case Op.WRITE_16:
        return this.#write(uint64(cdb, 2), uint32(cdb, 10), command);
      case Op.XDWRITEREAD_10:
        return this.#exchange(uint32(cdb, 2), uint16(cdb, 7), command);
      case Op.SYNCHRONIZE_CACHE_10:
      case Op.SYNCHRONIZE_CACHE_16:
        return DONE; // memory is as stable as it will ever be
      case Op.WRITE_SAME_10:
        return this.#writeSame(uint32(cdb, 2), uint16(cdb, 7), command);
      case Op.WRITE_SAME_16:
        return this.#writeSame(uint64(cdb, 2), uint32(cdb, 10), command);
      case Op.UNMAP:
        return this.#unmap(command);
      default:
        return fail(Sense.invalidOpcode);
    }
  }

  #inquiry(command: UnitCommand): UnitAnswer {
    const { cdb } = command;
    const length = uint16(cdb, 3);
    if (cdb[1]! & 1) {
      const page = this.#page(cdb[2]!);
      if (!page) return fail(Sense.invalidField);
      const bytes = new Uint8Array(4 + page.length);
      bytes[0] = this.#type;
      bytes[1] = cdb[2]!;
      bytes[3] = page.length;
      bytes.set(page, 4);
      return cut(bytes, length, command);
    }
    if (cdb[2] !== 0) return fail(Sense.invalidField);
    const bytes = new Uint8Array(36);
    bytes[0] = this.#type;
    bytes[1] = this.#options.type === "cdrom" ? 0x80 : 0;
    bytes[2] = 6; // SPC-4
    bytes[3] = 2;
    bytes[4] = bytes.length - 5;
    bytes[5] = this.#options.protection ? 1 : 0;
    bytes[7] = 2;
    ascii("VIRTIO", bytes.subarray(8, 16));
    const product = this.#options.type === "cdrom" ? "Simulated CD-ROM" : "Simulated disk";
    ascii(product, bytes.subarray(16, 32));
    ascii("1", bytes.subarray(32, 36));
    return cut(bytes, length, command);
  }

  get #type(): number {
    return this.#options.type === "cdrom" ? 5 : 0;
  }

  /** A page of vital product data, without its head. */
  #page(page: number): Uint8Array | undefined {
    const { serial = "", type } = this.#options;
    const text = new TextEncoder().encode(serial);
    const pages = [
      0x00,
      ...(serial ? [0x80] : []),
      0x83,
      ...(type === "cdrom" ? [] : [0xb0, 0xb1, 0xb2]),
    ];
    if (!pages.includes(page)) return undefined;
    switch (page) {
      case 0x00:
        return Uint8Array.from(pages);
      case 0x80:
        return text;
      case 0x83: {
        const name = new TextEncoder().encode(`VIRTIO  ${serial}${this.target}.${this.lun}`);
        return Uint8Array.of(2, 1, 0, name.length, ...name);
      }
      case 0xb0: {
        const bytes = new Uint8Array(60);
        const view = new DataView(bytes.buffer);
        bytes[0] = 1; // WSNZ
        view.setUint32(16, MOST_UNMAP_BLOCKS);
        view.setUint32(20, MOST_UNMAP_RANGES);
        view.setUint32(24, 4096 / this.#blockSize);
        view.setBigUint64(32, BigInt(MOST_SAME_BLOCKS));
        return bytes;
      }
      case 0xb1: {
        const bytes = new Uint8Array(60);
        bytes[1] = 1; // does not turn
        return bytes;
      }
      default:
        // Unmapped by UNMAP and WRITE SAME; reads as zeroes then.
        return Uint8Array.of(0, 0xe4, 2, 0);
    }
  }

  #modeSense(command: UnitCommand): UnitAnswer {
    const { cdb } = command;
    const long = cdb[0] === Op.MODE_SENSE_10;
    const page = cdb[2]! & 0x3f;
    if (page !== 0x08 && page !== 0x3f) return fail(Sense.invalidField);
    const caching = new Uint8Array(20);
    caching[0] = 0x08;
    caching[1] = caching.length - 2;
    caching[2] = this.#options.writeCache === false ? 0 : 4;
    const header = new Uint8Array(long ? 8 : 4);
    const length = header.length + caching.length - (long ? 2 : 1);
    if (long) header[1] = length;
    else header[0] = length;
    header[long ? 3 : 2] = this.#readOnly ? 0x80 : 0;
    return cut(concat(header, caching), long ? uint16(cdb, 7) : cdb[4]!, command);
  }

  #startStop(how: number): UnitAnswer {
    if (how & 2) this.load((how & 1) !== 0);
    return DONE;
  }

  #readCapacity10(command: UnitCommand): UnitAnswer {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, Math.min(this.#blocks - 1, 0xffffffff));
    view.setUint32(4, this.#blockSize);
    return cut(bytes, bytes.length, command);
  }

  #readCapacity16(command: UnitCommand): UnitAnswer {
    const bytes = new Uint8Array(32);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(this.#blocks - 1));
    view.setUint32(8, this.#blockSize);
    bytes[12] = this.#options.protection ? 1 : 0;
    bytes[13] = Math.log2(Math.max(1, 4096 / this.#blockSize));
    // Thin, and what is unmapped reads as zeroes.
    bytes[14] = this.#options.type === "cdrom" ? 0 : 0xc0;
    return cut(bytes, uint32(command.cdb, 10), command);
  }

  #read(first: number, blocks: number, { cdb, inBytes, inProtection }: UnitCommand): UnitAnswer {
    if (!this.#covers(first, blocks)) return fail(Sense.outOfRange);
    const bytes = blocks * this.#blockSize;
    if (bytes > inBytes) return { status: GOOD, overrun: true };
    const data = new Uint8Array(bytes);
    this.#store.read(first * this.#blockSize, data);
    if (!this.#checks(cdb, inProtection, blocks)) return { status: GOOD, data };
    const protection = new Uint8Array(blocks * PROTECTION_BYTES);
    this.#protection.read(first * PROTECTION_BYTES, protection);
    return { status: GOOD, data, protection };
  }

  #write(first: number, blocks: number, command: UnitCommand): UnitAnswer {
    const { cdb, out, outProtection } = command;
    if (this.#readOnly) return fail(Sense.writeProtected);
    if (!this.#covers(first, blocks)) return fail(Sense.outOfRange);
    const bytes = blocks * this.#blockSize;
    if (bytes > out.length) return { status: GOOD, overrun: true };
    if (this.#checks(cdb, outProtection.length, blocks)) {
      for (let i = 0; i < blocks; i++) {
        const block = out.subarray(i * this.#blockSize, (i + 1) * this.#blockSize);
        if (uint16(outProtection, i * PROTECTION_BYTES) !== guard(block)) {
          return { ...fail(Sense.guardCheck), used: 0 };
        }
      }
      this.#protection.write(first * PROTECTION_BYTES, outProtection);
    }
    this.#store.write(first * this.#blockSize, out.subarray(0, bytes));
    return { status: GOOD, used: bytes };
  }

  /** Whether a command comes with protection information for so many blocks. */
  #checks(cdb: Uint8Array, bytes: number, blocks: number): boolean {
    const asked = cdb[1]! >>> 5 !== 0;
    return this.#options.protection === true && asked && bytes === blocks * PROTECTION_BYTES;
  }

  /** Writes blocks, and answers with the difference to what stood there. */
  #exchange(first: number, blocks: number, command: UnitCommand): UnitAnswer {
    const before = this.#read(first, blocks, { ...command, inProtection: 0 });
    if (!before.data) return before;
    const written = this.#write(first, blocks, { ...command, outProtection: new Uint8Array() });
    if (written.status !== GOOD || written.overrun) return written;
    return { status: GOOD, data: before.data.map((byte, i) => byte ^ command.out[i]!) };
  }

  #writeSame(first: number, blocks: number, { cdb, out }: UnitCommand): UnitAnswer {
    if (this.#readOnly) return fail(Sense.writeProtected);
    if (blocks === 0 || blocks > MOST_SAME_BLOCKS) return fail(Sense.invalidField);
    if (!this.#covers(first, blocks)) return fail(Sense.outOfRange);
    if (out.length < this.#blockSize) return { status: GOOD, overrun: true };
    const unmap = (cdb[1]! & 8) !== 0;
    const block = out.subarray(0, this.#blockSize);
    if (unmap && block.some((byte) => byte !== 0)) return fail(Sense.invalidField);
    if (unmap || block.every((byte) => byte === 0)) this.#clear(first, blocks);
    else {
      for (let i = 0; i < blocks; i++) this.#store.write((first + i) * this.#blockSize, block);
    }
    return { status: GOOD, used: this.#blockSize };
  }

  #unmap({ out }: UnitCommand): UnitAnswer {
    if (this.#readOnly) return fail(Sense.writeProtected);
    const bytes = out.length < 8 ? -1 : uint16(out, 2);
    if (bytes < 0 || bytes % 16 !== 0 || 8 + bytes > out.length || bytes / 16 > MOST_UNMAP_RANGES) {
      return fail(Sense.invalidParameter);
    }
    for (let at = 8; at < 8 + bytes; at += 16) {
      const [first, blocks] = [uint64(out, at), uint32(out, at + 8)];
      if (blocks > MOST_UNMAP_BLOCKS) return fail(Sense.invalidParameter);
      if (!this.#covers(first, blocks)) return fail(Sense.outOfRange);
      this.#clear(first, blocks);
    }
    return { status: GOOD, used: 8 + bytes };
  }

  #clear(first: number, blocks: number): void {
    this.#store.clear(first * this.#blockSize, blocks * this.#blockSize);
  }

  #covers(first: number, blocks: number): boolean {
    return first + blocks <= this.#blocks;
  }
}

const DONE: UnitAnswer = { status: GOOD };

function fail(code: SenseCode): UnitAnswer {
  return { status: CHECK_CONDITION, sense: fixedSense(code) };
}

/** As much of an answer as was asked for and has room. */
function cut(data: Uint8Array, allocated: number, { inBytes }: UnitCommand): UnitAnswer {
  return { status: GOOD, data: data.subarray(0, Math.min(allocated, inBytes)) };
}

/** The data of REPORT LUNS. */
export function reportLuns(luns: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8 + 8 * luns.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 8 * luns.length);
  luns.forEach((lun, i) => view.setUint16(8 + 8 * i, lun < 256 ? lun : 0x4000 | lun));
  return bytes;
}

/** The guard of a block: CRC-16 by the polynomial 0x8BB7 (SBC-3, 4.22.4). */
export function guard(block: Uint8Array): number {
  let crc = 0;
  for (const byte of block) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? crc << 1 ^ 0x8bb7 : crc << 1;
    crc &= 0xffff;
  }
  return crc;
}

function ascii(text: string, into: Uint8Array): void {
  into.fill(0x20);
  new TextEncoder().encodeInto(text, into);
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}

function uint16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function uint32(bytes: Uint8Array, at: number): number {
  return (uint16(bytes, at) << 16 | uint16(bytes, at + 2)) >>> 0;
}

/** Those that a number cannot hold exactly lie behind the end of any unit. */
function uint64(bytes: Uint8Array, at: number): number {
  return uint32(bytes, at) * 2 ** 32 + uint32(bytes, at + 4);
}
