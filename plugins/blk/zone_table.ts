import * as wire from "./wire.ts";

/** How a disk is made of zones. */
export interface ZoneOptions {
  /** Whether sequential zones take writes at their write pointers only; true if absent. */
  readonly hostManaged?: boolean;
  /** Length of a zone in bytes: 512 times a power of two. */
  readonly size: number;
  /** How many zones at the beginning are written as any disk; none if absent. */
  readonly conventional?: number;
  /** Most open zones; any number if absent. */
  readonly mostOpen?: number;
  /** Most open or closed zones; any number if absent. */
  readonly mostActive?: number;
  /** Most bytes of an append; a zone if absent. */
  readonly mostAppend?: number;
}

interface Zone {
  readonly start: number;
  readonly sequential: boolean;
  state: number;
  /** In sectors. */
  pointer: number;
}

/** The zones of a disk model: their states and write pointers, in sectors (virtio 1.4, 5.2.6). */
export class ZoneTable {
  /** Sectors of a zone. */
  readonly sectors: number;
  readonly #options: ZoneOptions;
  readonly #zones: readonly Zone[];

  /** @throws {RangeError} If zones of this size cannot be. */
  constructor(capacity: number, options: ZoneOptions) {
    const { size, conventional = 0 } = options;
    this.sectors = size / wire.SECTOR_BYTES;
    this.#options = options;
    if (!Number.isInteger(Math.log2(this.sectors)) || capacity % size !== 0) {
      throw new RangeError(`Cannot make zones of ${size} bytes on a disk of ${capacity}`);
    }
    this.#zones = Array.from({ length: capacity / size }, (_, i) => ({
      start: i * this.sectors,
      sequential: i >= conventional,
      state: i < conventional ? wire.ZONE_NO_POINTER : wire.ZONE_EMPTY,
      pointer: i * this.sectors,
    }));
  }

  /** Describes them in the device's configuration. */
  configure(view: DataView): void {
    const { hostManaged = true, mostOpen = 0, mostActive = 0, mostAppend } = this.#options;
    view.setUint32(wire.CONFIG_ZONE_SECTORS, this.sectors, true);
    view.setUint32(wire.CONFIG_MAX_OPEN_ZONES, mostOpen, true);
    view.setUint32(wire.CONFIG_MAX_ACTIVE_ZONES, mostActive, true);
    const append = (mostAppend ?? this.#options.size) / wire.SECTOR_BYTES;
    view.setUint32(wire.CONFIG_MAX_APPEND_SECTORS, append, true);
    view.setUint32(wire.CONFIG_WRITE_GRANULARITY, wire.SECTOR_BYTES, true);
    view.setUint8(wire.CONFIG_ZONE_MODEL, hostManaged ? wire.ZONED_HM : wire.ZONED_HA);
  }

  /** Whether a stretch may be written; its zone is open then, and its pointer behind it. Returns a status. */
  write(sector: number, sectors: number): number {
    const zone = this.#zones[Math.floor(sector / this.sectors)];
    if (!zone?.sequential || sectors === 0) return wire.S_OK;
    if (sector + sectors > zone.start + this.sectors || zone.state >= wire.ZONE_READ_ONLY) {
      return wire.S_ZONE_INVALID_CMD;
    }
    const { hostManaged = true } = this.#options;
    if (hostManaged && sector !== zone.pointer) return wire.S_ZONE_UNALIGNED_WP;
    if (!isOpen(zone)) {
      const status = this.#open(zone, wire.ZONE_IMPLICITLY_OPEN);
      if (status !== wire.S_OK) return status;
    }
    zone.pointer = Math.max(zone.pointer, sector + sectors);
    if (zone.pointer === zone.start + this.sectors) zone.state = wire.ZONE_FULL;
    return wire.S_OK;
  }

  /** Where an append to the zone that begins at `start` goes; undefined if none does. */
  pointer(start: number, sectors: number): number | undefined {
    const zone = this.#at(start);
    const { mostAppend = Infinity } = this.#options;
    const fits = sectors > 0 && sectors * wire.SECTOR_BYTES <= mostAppend;
    if (!zone?.sequential || !fits) return undefined;
    return zone.pointer + sectors <= start + this.sectors ? zone.pointer : undefined;
  }

  /** Does what a request of this type says to the zone that begins at `start`. Returns a status. */
  manage(type: number, start: number): number {
    const zone = this.#at(start);
    if (!zone?.sequential || [wire.ZONE_READ_ONLY, wire.ZONE_OFFLINE].includes(zone.state)) {
      return wire.S_ZONE_INVALID_CMD;
    }
    switch (type) {
      case wire.T_ZONE_OPEN:
        if (zone.state === wire.ZONE_FULL) return wire.S_ZONE_INVALID_CMD;
        return this.#open(zone, wire.ZONE_EXPLICITLY_OPEN);
      case wire.T_ZONE_CLOSE:
        if (!isOpen(zone) && zone.state !== wire.ZONE_CLOSED) return wire.S_ZONE_INVALID_CMD;
        close(zone);
        return wire.S_OK;
      case wire.T_ZONE_FINISH:
        zone.state = wire.ZONE_FULL;
        zone.pointer = zone.start + this.sectors;
        return wire.S_OK;
      case wire.T_ZONE_RESET:
        zone.state = wire.ZONE_EMPTY;
        zone.pointer = zone.start;
        return wire.S_OK;
      default:
        return wire.S_UNSUPP;
    }
  }

  /** Where the zones that can be reset begin, but for those that are empty. */
  get used(): readonly number[] {
    return this.#zones
      .filter(({ sequential, state }) => sequential && state !== wire.ZONE_EMPTY)
      .map(({ start }) => start);
  }

  /** A report of as many zones as there is room for, from that with `sector` on. */
  report(sector: number, room: number): Uint8Array {
    const first = Math.floor(sector / this.sectors);
    const most = Math.max(0, Math.floor((room - wire.REPORT_BYTES) / wire.ZONE_BYTES));
    const zones = this.#zones.slice(first, first + most);
    const bytes = new Uint8Array(wire.REPORT_BYTES + zones.length * wire.ZONE_BYTES);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(zones.length), true);
    for (const [i, { start, state, pointer, sequential }] of zones.entries()) {
      const at = wire.REPORT_BYTES + i * wire.ZONE_BYTES;
      view.setBigUint64(at + wire.ZONE_CAPACITY, BigInt(this.sectors), true);
      view.setBigUint64(at + wire.ZONE_START, BigInt(start), true);
      view.setBigUint64(at + wire.ZONE_POINTER, BigInt(pointer), true);
      view.setUint8(at + wire.ZONE_TYPE, this.#type(sequential));
      view.setUint8(at + wire.ZONE_STATE, state);
    }
    return bytes;
  }

  #type(sequential: boolean): number {
    if (!sequential) return wire.ZONE_CONVENTIONAL;
    return this.#options.hostManaged ?? true ? wire.ZONE_SEQUENTIAL : wire.ZONE_PREFERRED;
  }

  #at(start: number): Zone | undefined {
    return start % this.sectors === 0 ? this.#zones[start / this.sectors] : undefined;
  }

  /** Opens a zone, if so many may be; another that a write opened makes room for it. */
  #open(zone: Zone, state: number): number {
    const { mostOpen = Infinity, mostActive = Infinity } = this.#options;
    const open = this.#zones.filter(isOpen);
    const closed = this.#zones.filter(({ state }) => state === wire.ZONE_CLOSED);
    if (zone.state === wire.ZONE_EMPTY && open.length + closed.length >= mostActive) {
      return wire.S_ZONE_ACTIVE_RESOURCE;
    }
    if (!isOpen(zone) && open.length >= mostOpen) {
      const other = open.find(({ state }) => state === wire.ZONE_IMPLICITLY_OPEN);
      if (!other) return wire.S_ZONE_OPEN_RESOURCE;
      close(other);
    }
    zone.state = state;
    return wire.S_OK;
  }
}

function isOpen({ state }: Zone): boolean {
  return state === wire.ZONE_IMPLICITLY_OPEN || state === wire.ZONE_EXPLICITLY_OPEN;
}

function close(zone: Zone): void {
  zone.state = zone.pointer === zone.start ? wire.ZONE_EMPTY : wire.ZONE_CLOSED;
}
