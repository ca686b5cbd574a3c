/**
 * The block device as a model (virtio 1.4, 5.2): a disk in memory.
 *
 * @module
 */
import {
  type DeviceHandle,
  type DeviceModel,
  DriverFault,
  type Request,
  SparseMemory,
} from "@virtio/deno/simulation";
import * as wire from "./wire.ts";
import { type ZoneOptions, ZoneTable } from "./zone_table.ts";

export type { ZoneOptions };

/** Where the bytes of a disk are. What it throws is an I/O error of the disk. */
export interface Store {
  /** Fills `into` with what stands from `position` on. */
  read(position: number, into: Uint8Array): void;
  /** Puts bytes at a position. */
  write(position: number, bytes: Uint8Array): void;
  /** Makes bytes from a position on zero. */
  clear(position: number, bytes: number): void;
  /** Makes durable what was written. */
  flush?(): void;
}

/** What a disk is like. */
export interface DiskOptions {
  /** Length in bytes, a multiple of 512. */
  readonly capacity: number;
  /** Where its bytes are; in memory if absent, all zero at first. */
  readonly store?: Store;
  /** Its name: up to 20 ASCII characters; none if absent. */
  readonly serial?: string;
  /** Whether it refuses all writes. */
  readonly readOnly?: boolean;
  /** The block size that it is best used with: a power of two from 512 on; 512 if absent. */
  readonly blockSize?: number;
  /** Number of request queues; 1 if absent. */
  readonly requestQueues?: number;
  /** Entries of each queue; 128 if absent. */
  readonly queueSize?: number;
  /** Sectors by which it erases beyond recovery; it does not if absent. */
  readonly eraseAlignment?: number;
  /** The wear that it tells: state before the end of life, estimates for types A and B; it tells none if absent. */
  readonly lifetime?: readonly [number, number, number];
  /** The zones that it is made of; none if absent. */
  readonly zones?: ZoneOptions;
  /** Whether a reset loses what was written to the cache and not flushed; false if absent. */
  readonly forgetful?: boolean;
  /** Features that it does not offer, of those that any disk has. */
  readonly lacks?: bigint;
  /**
   * For tests: the status to answer a request with instead of serving it, for example {@linkcode wire.S_IOERR} for
   * a bad sector, or 0xff, which no device may answer (D-85). Undefined to serve it.
   */
  readonly fail?: (type: number, sector: number) => number | undefined;
  /** For tests: how many bytes to say were written, instead of the truth (D-86). */
  readonly claim?: (type: number, written: number) => number;
}

/** Most sectors in one segment of a discard and its like, and most segments in one. */
const MOST_SECTORS = 1 << 22;
const MOST_SEGMENTS = 16;

/** A disk in memory, of which only what was written takes space. */
export class DiskModel implements DeviceModel {
  readonly id: number = wire.DEVICE_ID;
  readonly classCode = 0x010000;
  readonly features: bigint;
  readonly queues: readonly number[];
  /** Its configuration structure. */
  readonly config: Uint8Array<ArrayBuffer> = new Uint8Array(wire.CONFIG_BYTES);

  readonly #options: DiskOptions;
  readonly #memory = new SparseMemory();
  readonly #store: Store;
  readonly #view = new DataView(this.config.buffer);
  readonly #name = new Uint8Array(wire.ID_BYTES);
  readonly #header = new Uint8Array(wire.HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #segment = new Uint8Array(wire.SEGMENT_BYTES);
  readonly #segmentView = new DataView(this.#segment.buffer);
  readonly #status = new Uint8Array(wire.STATUS_BYTES);
  readonly #append = new Uint8Array(wire.APPEND_BYTES);
  readonly #zones: ZoneTable | undefined;
  /** What stood where something was written that a reset would lose, the latest last. */
  readonly #before: { readonly position: number; readonly bytes: Uint8Array }[] = [];
  #sectors = 0;
  #device: DeviceHandle | undefined;

  /**
   * Makes an empty disk.
   *
   * @throws {RangeError} If the capacity is not a multiple of 512, or of a zone.
   */
  constructor(options: DiskOptions) {
    this.#options = options;
    this.#store = options.store ?? this.#memory;
    const { serial = "", blockSize = 512, requestQueues = 1, queueSize = 128 } = options;
    this.#zones = options.zones && new ZoneTable(options.capacity, options.zones);
    this.features = this.#offer();
    this.queues = Array.from({ length: requestQueues }, () => queueSize);
    new TextEncoder().encodeInto(serial, this.#name);

    this.#setCapacity(options.capacity);
    const view = this.#view;
    // Header and status take an entry each.
    view.setUint32(wire.CONFIG_SEG_MAX, queueSize - 2, true);
    view.setUint32(wire.CONFIG_BLK_SIZE, blockSize, true);
    view.setUint8(wire.CONFIG_PHYSICAL_BLOCK_EXP, Math.max(0, Math.log2(4096 / blockSize)));
    view.setUint16(wire.CONFIG_MIN_IO_SIZE, Math.max(1, 4096 / blockSize), true);
    view.setUint32(wire.CONFIG_OPT_IO_SIZE, Math.max(1, 65536 / blockSize), true);
    view.setUint8(wire.CONFIG_WRITEBACK, 1);
    view.setUint16(wire.CONFIG_NUM_QUEUES, requestQueues, true);
    view.setUint32(wire.CONFIG_MAX_DISCARD_SECTORS, MOST_SECTORS, true);
    view.setUint32(wire.CONFIG_MAX_DISCARD_SEG, MOST_SEGMENTS, true);
    view.setUint32(wire.CONFIG_DISCARD_SECTOR_ALIGNMENT, blockSize / wire.SECTOR_BYTES, true);
    view.setUint32(wire.CONFIG_MAX_WRITE_ZEROES_SECTORS, MOST_SECTORS, true);
    view.setUint32(wire.CONFIG_MAX_WRITE_ZEROES_SEG, MOST_SEGMENTS, true);
    view.setUint8(wire.CONFIG_WRITE_ZEROES_MAY_UNMAP, 1);
    if (options.eraseAlignment !== undefined) {
      view.setUint32(wire.CONFIG_MAX_SECURE_ERASE_SECTORS, MOST_SECTORS, true);
      view.setUint32(wire.CONFIG_MAX_SECURE_ERASE_SEG, MOST_SEGMENTS, true);
      view.setUint32(wire.CONFIG_SECURE_ERASE_SECTOR_ALIGNMENT, options.eraseAlignment, true);
    }
    this.#zones?.configure(view);
  }

  #offer(): bigint {
    const { readOnly, requestQueues = 1, eraseAlignment, lifetime, lacks = 0n } = this.#options;
    const { hostManaged = true } = this.#options.zones ?? { hostManaged: false };
    const usual = wire.F_SEG_MAX | wire.F_BLK_SIZE | wire.F_FLUSH | wire.F_TOPOLOGY |
      wire.F_CONFIG_WCE | wire.F_DISCARD | wire.F_WRITE_ZEROES;
    return usual & ~lacks & ~(hostManaged ? wire.F_DISCARD : 0n) |
      (readOnly ? wire.F_RO : 0n) | (requestQueues > 1 ? wire.F_MQ : 0n) |
      (eraseAlignment === undefined ? 0n : wire.F_SECURE_ERASE) |
      (lifetime ? wire.F_LIFETIME : 0n) | (this.#zones ? wire.F_ZONED : 0n);
  }

  /** How much memory its contents take now, in bytes. */
  get allocated(): number {
    return this.#memory.allocated;
  }

  /**
   * Changes the capacity, in bytes, and tells the driver. What is cut off is lost.
   *
   * @throws {RangeError} If it is not a multiple of 512.
   */
  resize(capacity: number): void {
    const before = this.#sectors * wire.SECTOR_BYTES;
    this.#setCapacity(capacity);
    if (capacity < before) this.#store.clear(capacity, before - capacity);
    this.#device?.configChanged();
  }

  /** Called by the machine. */
  attach(device: DeviceHandle): void {
    this.#device = device;
  }

  /** Called by the machine when the driver writes into the configuration: it may switch the cache. */
  configWrite(offset: number, value: number, width: 1 | 2 | 4): void {
    if (offset === wire.CONFIG_WRITEBACK && width === 1) this.config[offset] = value & 1;
  }

  /** Called by the machine: the cache is back in its first mode, and empty. */
  reset(): void {
    this.config[wire.CONFIG_WRITEBACK] = 1;
    for (let lost; (lost = this.#before.pop());) this.#store.write(lost.position, lost.bytes);
  }

  /** Answers a request. */
  handle(_queue: number, request: Request): number {
    const headed = request.read(this.#header) === wire.HEADER_BYTES;
    if (!headed || request.writable < wire.STATUS_BYTES) {
      throw new DriverFault("A block request has no room for its header or its status");
    }
    const type = this.#headerView.getUint32(wire.HEADER_TYPE, true);
    const sector = sectorAt(this.#headerView, wire.HEADER_SECTOR);
    const status = this.#options.fail?.(type, sector) ?? this.#tryTo(type, sector, request);
    // The status is the last byte, and the bytes before it count as written.
    while (request.writable > wire.STATUS_BYTES) nextData(request).fill(0);
    this.#status[0] = status;
    request.write(this.#status);
    return this.#options.claim?.(type, request.written) ?? request.written;
  }

  #tryTo(type: number, sector: number, request: Request): number {
    try {
      return this.#serve(type, sector, request);
    } catch (error) {
      if (!this.#options.store || error instanceof DriverFault) throw error;
      return wire.S_IOERR;
    }
  }

  #serve(type: number, sector: number, request: Request): number {
    switch (type) {
      case wire.T_IN:
        return this.#read(sector, request);
      case wire.T_OUT:
        return this.#write(sector, request);
      case wire.T_FLUSH:
        this.#before.length = 0;
        this.#store.flush?.();
        return wire.S_OK;
      case wire.T_GET_ID:
        return putData(request, this.#name);
      case wire.T_DISCARD:
      case wire.T_WRITE_ZEROES:
      case wire.T_SECURE_ERASE:
        return this.#offers(type) ? this.#clear(type, request) : wire.S_UNSUPP;
      case wire.T_GET_LIFETIME: {
        const { lifetime } = this.#options;
        if (!lifetime) return wire.S_UNSUPP;
        return putData(request, new Uint8Array(Uint16Array.from(lifetime).buffer));
      }
      default:
        return this.#zones ? this.#serveZones(this.#zones, type, sector, request) : wire.S_UNSUPP;
    }
  }

  #offers(type: number): boolean {
    if (type === wire.T_DISCARD) return (this.features & wire.F_DISCARD) !== 0n;
    if (type === wire.T_WRITE_ZEROES) return (this.features & wire.F_WRITE_ZEROES) !== 0n;
    return (this.features & wire.F_SECURE_ERASE) !== 0n;
  }

  #serveZones(zones: ZoneTable, type: number, sector: number, request: Request): number {
    if (type === wire.T_ZONE_REPORT) {
      if (!this.#covers(sector, 0)) return wire.S_ZONE_INVALID_CMD;
      return putData(request, zones.report(sector, request.writable - wire.STATUS_BYTES));
    }
    if (this.#options.readOnly) return wire.S_IOERR;
    if (type === wire.T_ZONE_APPEND) {
      const place = zones.pointer(sector, request.readable / wire.SECTOR_BYTES);
      if (place === undefined) return wire.S_ZONE_INVALID_CMD;
      const status = this.#write(place, request);
      new DataView(this.#append.buffer).setBigUint64(0, BigInt(place), true);
      request.write(this.#append);
      return status;
    }
    const all = type === wire.T_ZONE_RESET_ALL;
    for (const start of all ? zones.used : [sector]) {
      const status = zones.manage(all ? wire.T_ZONE_RESET : type, start);
      if (status !== wire.S_OK) return status;
      if (all || type === wire.T_ZONE_RESET) this.#erase(start, zones.sectors);
    }
    return wire.S_OK;
  }

  #read(sector: number, request: Request): number {
    const bytes = request.writable - wire.STATUS_BYTES;
    if (!this.#covers(sector, bytes / wire.SECTOR_BYTES)) return wire.S_IOERR;
    let position = sector * wire.SECTOR_BYTES;
    while (request.writable > wire.STATUS_BYTES) {
      const piece = nextData(request);
      this.#store.read(position, piece);
      position += piece.length;
    }
    return wire.S_OK;
  }

  #write(sector: number, request: Request): number {
    const sectors = request.readable / wire.SECTOR_BYTES;
    if (this.#options.readOnly || !this.#covers(sector, sectors)) return wire.S_IOERR;
    const refused = this.#zones?.write(sector, sectors) ?? wire.S_OK;
    if (refused !== wire.S_OK) return refused;
    let position = sector * wire.SECTOR_BYTES;
    while (request.readable > 0) {
      const piece = request.nextReadable();
      this.#remember(position, piece.length);
      this.#store.write(position, piece);
      position += piece.length;
    }
    return wire.S_OK;
  }

  #clear(type: number, request: Request): number {
    const segments = request.readable / wire.SEGMENT_BYTES;
    if (this.#options.readOnly || !Number.isInteger(segments) || segments > MOST_SEGMENTS) {
      return wire.S_IOERR;
    }
    const known = type === wire.T_WRITE_ZEROES ? wire.UNMAP : 0;
    while (request.read(this.#segment) > 0) {
      const sector = sectorAt(this.#segmentView, wire.SEGMENT_SECTOR);
      const sectors = this.#segmentView.getUint32(wire.SEGMENT_NUM_SECTORS, true);
      const flags = this.#segmentView.getUint32(wire.SEGMENT_FLAGS, true);
      if ((flags & ~known) !== 0) return wire.S_UNSUPP;
      if (sectors > MOST_SECTORS || !this.#covers(sector, sectors)) return wire.S_IOERR;
      const { eraseAlignment = 1 } = this.#options;
      const aligned = sector % eraseAlignment === 0 && sectors % eraseAlignment === 0;
      if (type === wire.T_SECURE_ERASE && !aligned) return wire.S_IOERR;
      this.#erase(sector, sectors);
    }
    return wire.S_OK;
  }

  #erase(sector: number, sectors: number): void {
    this.#store.clear(sector * wire.SECTOR_BYTES, sectors * wire.SECTOR_BYTES);
  }

  /** Keeps what a reset would bring back. */
  #remember(position: number, length: number): void {
    if (!this.#options.forgetful || this.config[wire.CONFIG_WRITEBACK] === 0) return;
    const bytes = new Uint8Array(length);
    this.#store.read(position, bytes);
    this.#before.push({ position, bytes });
  }

  #covers(sector: number, sectors: number): boolean {
    return Number.isInteger(sectors) && sector + sectors <= this.#sectors;
  }

  #setCapacity(bytes: number): void {
    const sectors = bytes / wire.SECTOR_BYTES;
    if (!Number.isSafeInteger(bytes) || bytes < 0 || !Number.isInteger(sectors)) {
      throw new RangeError(`Cannot make a disk of ${bytes} bytes: not a multiple of 512`);
    }
    this.#sectors = sectors;
    this.#view.setBigUint64(wire.CONFIG_CAPACITY, BigInt(sectors), true);
  }
}

/** The next room for data: all but the status. */
function nextData(request: Request): Uint8Array {
  return request.nextWritable(request.writable - wire.STATUS_BYTES);
}

/** Puts data where there is room for it, which may be less. */
function putData(request: Request, bytes: Uint8Array): number {
  request.write(bytes.subarray(0, request.writable - wire.STATUS_BYTES));
  return wire.S_OK;
}

/** A 64-bit sector number. Those that a number cannot hold exactly lie behind the end of any disk. */
function sectorAt(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
}

/** A disk as tests take it. */
export default (): DeviceModel => new DiskModel({ capacity: 2 ** 22 });
