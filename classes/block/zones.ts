import { argument, RequestError, Status } from "../../core/class/mod.ts";
import { BlockOperation, type BlockProperties, SECTOR } from "./protocol.ts";
import type { JobRequest, JobResult } from "./jobs.ts";

/** A zone of a disk (virtio 1.4, 5.2.6). Places and lengths are bytes. */
export interface Zone {
  /** Where it begins. */
  readonly start: number;
  /** How much of it can be written. */
  readonly capacity: number;
  /** Where the next write goes; undefined where that has no meaning. */
  readonly pointer: number | undefined;
  /** How it is written: as any disk, at its write pointer only, or preferably there. */
  readonly type: "conventional" | "sequential" | "preferred";
  /** Its state. */
  readonly state: ZoneState;
}

/** What may be done to a zone, and was. */
export type ZoneState =
  | "not write pointer"
  | "empty"
  | "implicitly open"
  | "explicitly open"
  | "closed"
  | "read-only"
  | "full"
  | "offline";

/** The states, by their number in the specification. */
const STATES: Readonly<Record<number, ZoneState>> = {
  0: "not write pointer",
  1: "empty",
  2: "implicitly open",
  3: "explicitly open",
  4: "closed",
  13: "read-only",
  14: "full",
  15: "offline",
};
const TYPES = [undefined, "conventional", "sequential", "preferred"] as const;

/** Layout of a report: a head with the number of zones, and the zones, of so many bytes each. */
const HEAD_BYTES = 64;
const ZONE_BYTES = 64;
/** The most zones that are asked for: no device can make this program read reports for ever. */
const MOST_ZONES = 1 << 20;

/** What the zones need of their disk. */
export interface ZonedDisk {
  /** Bytes that one request carries. */
  readonly slotBytes: number;
  /** What the disk is like now. */
  readonly properties: BlockProperties;
  /** Does a request. */
  readonly run: (action: string, request: JobRequest) => Promise<JobResult>;
}

/** The zones of a disk that is made of them. */
export class BlockZones {
  readonly #disk: ZonedDisk;

  /** Made by the client of the disk. */
  constructor(disk: ZonedDisk) {
    this.#disk = disk;
  }

  /** Bytes from the beginning of a zone to that of the next. */
  get zoneSize(): number {
    return this.#disk.properties.zoneSectors * SECTOR;
  }

  /** Whether sequential zones take writes at their write pointers only. */
  get hostManaged(): boolean {
    return this.#disk.properties.hostManaged;
  }

  /** Most zones that may be open at a time; 0 for any number. */
  get mostOpen(): number {
    return this.#disk.properties.mostOpenZones;
  }

  /** Most zones that may be open or closed at a time; 0 for any number. */
  get mostActive(): number {
    return this.#disk.properties.mostActiveZones;
  }

  /** Most bytes of one {@linkcode append}. */
  get mostAppend(): number {
    const most = this.#disk.properties.appendSectors * SECTOR;
    return Math.min(most, this.#disk.slotBytes);
  }

  /** Bytes that writes to sequential zones are multiples of. */
  get writeGranularity(): number {
    return this.#disk.properties.writeGranularity;
  }

  /**
   * All zones, or those of a part of the disk.
   *
   * @param offset The first byte to tell about; that of the disk if left out.
   * @param length Bytes; to the end of the disk if left out.
   * @throws RequestError If the device fails, or if what it tells cannot be.
   */
  async report(offset: number = 0, length: number = Infinity): Promise<readonly Zone[]> {
    argument.integer(offset, "BlockZones.report", "offset");
    if (length !== Infinity) argument.integer(length, "BlockZones.report", "length");
    const { sectors } = this.#disk.properties;
    const end = Math.min(sectors * SECTOR, offset + length);
    const zones: Zone[] = [];
    for (let at = offset - offset % this.zoneSize; at < end;) {
      const more = await this.#reportFrom(at, Math.ceil((end - at) / this.zoneSize));
      zones.push(...more);
      at += more.length * this.zoneSize;
      if (zones.length > MOST_ZONES) throw new RangeError(`Cannot report ${zones.length} zones`);
    }
    return zones;
  }

  async #reportFrom(offset: number, wanted: number): Promise<Zone[]> {
    const action = `Cannot report the zones from ${offset} on`;
    const room = Math.floor((this.#disk.slotBytes - HEAD_BYTES) / ZONE_BYTES);
    const bytes = new Uint8Array(HEAD_BYTES + Math.min(wanted, room) * ZONE_BYTES);
    const { moved } = await this.#disk.run(action, {
      operation: BlockOperation.zoneReport,
      sector: offset / SECTOR,
      bytes,
    });
    const view = new DataView(bytes.buffer);
    const there = Math.floor((Math.min(moved, bytes.length) - HEAD_BYTES) / ZONE_BYTES);
    const count = Math.min(there, Number(view.getBigUint64(0, true)));
    if (count < 1) throw new RequestError(action, Status.invalid);
    return Array.from({ length: count }, (_, i) => {
      const zone = this.#decode(view, HEAD_BYTES + i * ZONE_BYTES, offset + i * this.zoneSize);
      if (zone === undefined) throw new RequestError(action, Status.invalid);
      return zone;
    });
  }

  /** One zone of a report; undefined if it cannot be. */
  #decode(view: DataView, at: number, start: number): Zone | undefined {
    const [capacity, begin, pointer] = [0, 8, 16].map((field) =>
      Number(view.getBigUint64(at + field, true)) * SECTOR
    );
    const type = TYPES[view.getUint8(at + 24)];
    const state = STATES[view.getUint8(at + 25)];
    if (begin !== start || !type || !state || capacity! > this.zoneSize) return undefined;
    const points = type !== "conventional" && pointer! >= start &&
      pointer! <= start + this.zoneSize;
    return { start, capacity: capacity!, pointer: points ? pointer : undefined, type, state };
  }

  /** Opens the zone that begins at `start`, so that it keeps its place among the open ones. */
  open(start: number): Promise<void> {
    return this.#manage("open", BlockOperation.zoneOpen, start);
  }

  /** Closes it: it stays active, and others may be open. */
  close(start: number): Promise<void> {
    return this.#manage("close", BlockOperation.zoneClose, start);
  }

  /** Makes it full. */
  finish(start: number): Promise<void> {
    return this.#manage("finish", BlockOperation.zoneFinish, start);
  }

  /** Makes it empty: what it holds is lost. */
  reset(start: number): Promise<void> {
    return this.#manage("reset", BlockOperation.zoneReset, start);
  }

  /** Makes all zones empty: what the disk holds is lost. */
  async resetAll(): Promise<void> {
    this.#checkWritable("Cannot reset all zones");
    await this.#disk.run("Cannot reset all zones", {
      operation: BlockOperation.zoneResetAll,
      sector: 0,
    });
  }

  /**
   * Writes bytes where the zone that begins at `start` ends, wherever that is.
   *
   * @param bytes At most {@linkcode mostAppend}, a multiple of {@linkcode writeGranularity}. It must not change until
   * the promise settles.
   * @returns Where they were put.
   * @throws RequestError If the device fails. If it had to be started anew meanwhile, whether they were written is not
   * known, and they are not written again.
   */
  async append(start: number, bytes: Uint8Array): Promise<number> {
    argument.integer(start, "BlockZones.append", "start");
    const own = argument.bytes(bytes, "BlockZones.append", "bytes");
    const { length } = own;
    const action = `Cannot append ${length} bytes to the zone at ${start}`;
    this.#checkWritable(action);
    this.#checkStart(action, start);
    const { mostAppend, writeGranularity, zoneSize } = this;
    if (length === 0 || length > mostAppend || length % writeGranularity !== 0) {
      throw new RangeError(
        `${action}: it takes up to ${mostAppend} bytes in multiples of ${writeGranularity}`,
      );
    }
    const { sector } = await this.#disk.run(action, {
      operation: BlockOperation.zoneAppend,
      sector: start / SECTOR,
      bytes: own,
      once: true,
    });
    const place = sector * SECTOR;
    if (place < start || place + length > start + zoneSize) {
      throw new RequestError(action, Status.invalid);
    }
    return place;
  }

  async #manage(verb: string, operation: number, start: number): Promise<void> {
    argument.integer(start, `BlockZones.${verb}`, "start");
    const action = `Cannot ${verb} the zone at ${start}`;
    this.#checkWritable(action);
    this.#checkStart(action, start);
    await this.#disk.run(action, { operation, sector: start / SECTOR });
  }

  #checkWritable(action: string): void {
    if (this.#disk.properties.readOnly) throw new TypeError(`${action}: the device is read-only`);
  }

  #checkStart(action: string, start: number): void {
    const end = this.#disk.properties.sectors * SECTOR;
    if (start < end && start % this.zoneSize === 0) return;
    throw new RangeError(
      `${action}: zones begin at multiples of ${this.zoneSize}, and the device ends at ${end}`,
    );
  }
}
