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

/** What a disk is like. */
export interface DiskOptions {
  /** Length in bytes, a multiple of 512. */
  readonly capacity: number;
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
  /**
   * For tests: the status to answer a request with instead of serving it, for example {@linkcode wire.S_IOERR} for
   * a bad sector, or 0xff, which no device may answer (D-85). Undefined to serve it.
   */
  readonly fail?: (type: number, sector: number) => number | undefined;
}

/** Most sectors in one segment of a discard or write-zeroes, and most segments in one. */
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
  readonly #store = new SparseMemory();
  readonly #view = new DataView(this.config.buffer);
  readonly #name = new Uint8Array(wire.ID_BYTES);
  readonly #header = new Uint8Array(wire.HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #segment = new Uint8Array(wire.SEGMENT_BYTES);
  readonly #segmentView = new DataView(this.#segment.buffer);
  readonly #status = new Uint8Array(wire.STATUS_BYTES);
  #sectors = 0;
  #device: DeviceHandle | undefined;

  /**
   * Makes an empty disk.
   *
   * @throws {RangeError} If the capacity is not a multiple of 512.
   */
  constructor(options: DiskOptions) {
    this.#options = options;
    const { serial = "", readOnly, blockSize = 512, requestQueues = 1, queueSize = 128 } = options;
    this.features = wire.F_SEG_MAX | wire.F_BLK_SIZE | wire.F_FLUSH | wire.F_TOPOLOGY |
      wire.F_CONFIG_WCE | wire.F_DISCARD | wire.F_WRITE_ZEROES |
      (readOnly ? wire.F_RO : 0n) | (requestQueues > 1 ? wire.F_MQ : 0n);
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
  }

  /** How much memory its contents take now, in bytes. */
  get allocated(): number {
    return this.#store.allocated;
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

  /** Called by the machine: the cache is back in its first mode. */
  reset(): void {
    this.config[wire.CONFIG_WRITEBACK] = 1;
  }

  /** Answers a request. */
  handle(_queue: number, request: Request): number {
    const headed = request.read(this.#header) === wire.HEADER_BYTES;
    if (!headed || request.writable < wire.STATUS_BYTES) {
      throw new DriverFault("A block request has no room for its header or its status");
    }
    const type = this.#headerView.getUint32(wire.HEADER_TYPE, true);
    const sector = sectorAt(this.#headerView, wire.HEADER_SECTOR);
    const status = this.#options.fail?.(type, sector) ?? this.#serve(type, sector, request);
    // The status is the last byte, and the bytes before it count as written.
    while (request.writable > wire.STATUS_BYTES) nextData(request).fill(0);
    this.#status[0] = status;
    request.write(this.#status);
    return request.written;
  }

  #serve(type: number, sector: number, request: Request): number {
    switch (type) {
      case wire.T_IN:
        return this.#read(sector, request);
      case wire.T_OUT:
        return this.#write(sector, request);
      case wire.T_FLUSH:
        return wire.S_OK; // memory is as stable as it will ever be
      case wire.T_GET_ID:
        request.write(this.#name.subarray(0, request.writable - wire.STATUS_BYTES));
        return wire.S_OK;
      case wire.T_DISCARD:
      case wire.T_WRITE_ZEROES:
        return this.#clear(type, request);
      default:
        return wire.S_UNSUPP;
    }
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
    let position = sector * wire.SECTOR_BYTES;
    while (request.readable > 0) {
      const piece = request.nextReadable();
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
      this.#store.clear(sector * wire.SECTOR_BYTES, sectors * wire.SECTOR_BYTES);
    }
    return wire.S_OK;
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

/** A 64-bit sector number. Those that a number cannot hold exactly lie behind the end of any disk. */
function sectorAt(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
}
