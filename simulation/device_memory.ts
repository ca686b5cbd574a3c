// Memory as a device model reaches it.

import type { DmaRun } from "../core/dma/address_table.ts";
import { DriverFault } from "../core/virtqueue/device_queue.ts";

/** A place in memory that the device can reach. */
export interface Place {
  /** The memory. */
  readonly memory: SharedArrayBuffer;
  /** Offset in it. */
  readonly offset: number;
}

/**
 * Memory as a device reaches it: by the addresses that its driver writes into descriptors. Each access throws a
 * {@linkcode DriverFault} if the device may not master the bus, if the driver has no memory there, or none to write.
 * What is reached may change at any time; code that remembers a place looks whether {@linkcode version} is still the same.
 */
export interface BusMemory {
  /** Differs whenever something was taken away. */
  readonly version: number;
  /** Copies the bytes from `address` on into `into`. */
  read(address: number, into: Uint8Array): void;
  /** Copies `bytes` to where `address` begins. */
  write(address: number, bytes: Uint8Array): void;
  /**
   * Where `length` bytes are, which have to be in one piece.
   *
   * @param write Whether they are to be written; false if left out.
   */
  find(address: number, length: number, write?: boolean): Place;
  /** Those bytes themselves, likewise: the driver may change them at any time. */
  view(address: number, length: number, write?: boolean): Uint8Array<SharedArrayBuffer>;
  /** Adds them to `pieces`: several where their addresses continue each other and their places do not. */
  pieces(
    address: number,
    length: number,
    write: boolean,
    pieces: Uint8Array<SharedArrayBuffer>[],
  ): void;
}

interface Region extends DmaRun, Place {
  /** Whether the device may write there. */
  readonly writable: boolean;
}

const SAMPLE = 4096;

/** The memory that a simulated device can reach, by the addresses that it knows: what an IOMMU does. */
export class DeviceMemory implements BusMemory {
  readonly #mayMaster: () => boolean;
  /** In the order of their addresses; none overlaps another. */
  readonly #regions: Region[] = [];
  #version = 0;

  /** Makes one that is empty. */
  constructor(mayMaster: () => boolean = () => true) {
    this.#mayMaster = mayMaster;
  }

  get version(): number {
    return this.#version;
  }

  /** How many stretches of addresses there are that do not continue each other. */
  get count(): number {
    return this.#regions.length;
  }

  /** How many bytes the device can reach. */
  get bytes(): number {
    return this.#regions.reduce((sum, { length }) => sum + length, 0);
  }

  /** Lets the device reach `memory`, all of which lies at `runs`, in order. */
  add(memory: SharedArrayBuffer, runs: readonly DmaRun[]): void {
    let offset = 0;
    for (const run of runs) {
      this.map(run, { memory, offset }, true);
      offset += run.length;
    }
  }

  /**
   * Lets the device reach a run, which lies at a place.
   *
   * @throws {RangeError} If it reaches something there already; then nothing has changed.
   */
  map({ address, length }: DmaRun, { memory, offset }: Place, writable: boolean): void {
    const regions = this.#regions;
    const at = this.#firstBehind(address);
    const before = regions[at - 1];
    const after = regions[at];
    const overlaps = (before && before.address + before.length > address) ||
      (after && after.address < address + length);
    if (overlaps) {
      throw new RangeError(
        `Cannot map ${length} bytes at address 0x${address.toString(16)}: some are mapped already`,
      );
    }
    const region = { address, length, memory, offset, writable };
    // What was mapped in parts is found in one piece.
    const first = before && continues(before, region) ? before : region;
    const last = after && continues(region, after) ? after : region;
    regions.splice(
      at - (first === before ? 1 : 0),
      (first === before ? 1 : 0) + (last === after ? 1 : 0),
      { ...first, length: last.address + last.length - first.address },
    );
  }

  /** Takes a range of addresses away from the device: whatever of it, it could reach. */
  unmap(address: number, length: number): void {
    const end = address + length;
    const regions = this.#regions;
    const inside = (at: number) => at < regions.length && regions[at]!.address < end;
    let from = this.#firstBehind(address);
    if (from > 0 && regions[from - 1]!.address + regions[from - 1]!.length > address) from--;
    let to = from;
    while (inside(to)) to++;
    if (from === to) return;
    const rests = [
      part(regions[from]!, regions[from]!.address, address),
      part(regions[to - 1]!, end, regions[to - 1]!.address + regions[to - 1]!.length),
    ];
    regions.splice(from, to - from, ...rests.filter(({ length }) => length > 0));
    this.#version++;
  }

  /** Whether there is nothing but zeroes in some 4096 bytes at each `step` of it, and in the last. */
  isBlank(step: number): boolean {
    const sample = ({ memory, offset }: Place, at: number, length: number) =>
      new Uint8Array(memory, offset + at, Math.min(SAMPLE, length - at));
    return this.#regions.every((region) => {
      const { length } = region;
      for (let at = 0; at < length; at += step) {
        if (sample(region, at, length).some((byte) => byte !== 0)) return false;
      }
      return sample(region, Math.max(0, length - SAMPLE), length).every((byte) => byte === 0);
    });
  }

  /** Takes everything away from the device. */
  clear(): void {
    this.#regions.length = 0;
    this.#version++;
  }

  find(address: number, length: number, write = false): Place {
    const [place, room] = this.#at(address, write);
    if (place && length <= room) return place;
    throw unreachable(address, length);
  }

  view(address: number, length: number, write = false): Uint8Array<SharedArrayBuffer> {
    const { memory, offset } = this.find(address, length, write);
    return new Uint8Array(memory, offset, length);
  }

  pieces(
    address: number,
    length: number,
    write: boolean,
    pieces: Uint8Array<SharedArrayBuffer>[],
  ): void {
    for (let done = 0; done < length;) {
      const [place, room] = this.#at(address + done, write);
      if (!place) throw unreachable(address, length);
      const piece = new Uint8Array(place.memory, place.offset, Math.min(room, length - done));
      pieces.push(piece);
      done += piece.length;
    }
  }

  read(address: number, into: Uint8Array): void {
    const pieces: Uint8Array<SharedArrayBuffer>[] = [];
    this.pieces(address, into.length, false, pieces);
    let done = 0;
    for (const piece of pieces) {
      into.set(piece, done);
      done += piece.length;
    }
  }

  write(address: number, bytes: Uint8Array): void {
    const pieces: Uint8Array<SharedArrayBuffer>[] = [];
    this.pieces(address, bytes.length, true, pieces);
    let done = 0;
    for (const piece of pieces) {
      piece.set(bytes.subarray(done, done + piece.length));
      done += piece.length;
    }
  }

  /** What begins at `address`, and how many bytes there are in one piece. */
  #at(address: number, write: boolean): [place: Place | undefined, room: number] {
    if (!this.#mayMaster()) throw new DriverFault("The device may not master the bus");
    const region = this.#regions[this.#firstBehind(address) - 1];
    const inside = region ? address - region.address : 0;
    if (!region || inside >= region.length) return [undefined, 0];
    if (write && !region.writable) {
      throw new DriverFault(`The device may not write at address 0x${address.toString(16)}`);
    }
    return [{ memory: region.memory, offset: region.offset + inside }, region.length - inside];
  }

  /** Index of the first region that begins behind `address`. */
  #firstBehind(address: number): number {
    const regions = this.#regions;
    let low = 0;
    let high = regions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (regions[middle]!.address <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Whether the second region is at once behind the first, in addresses and in place. */
function continues(first: Region, second: Region): boolean {
  return first.address + first.length === second.address && first.memory === second.memory &&
    first.offset + first.length === second.offset && first.writable === second.writable;
}

/** What of a region lies from `from` to `to`; empty if that is nothing. */
function part(region: Region, from: number, to: number): Region {
  const offset = region.offset + from - region.address;
  return { ...region, address: from, length: Math.max(0, to - from), offset };
}

function unreachable(address: number, length: number): DriverFault {
  return new DriverFault(
    `The device cannot reach ${length} bytes at address 0x${address.toString(16)}`,
  );
}
