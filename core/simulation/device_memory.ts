// Memory as a device model reaches it.

import type { DmaRun } from "../dma/address_table.ts";
import { DriverFault } from "../virtqueue/device_queue.ts";

/** A place in memory that the device can reach. */
export interface Place {
  /** The memory. */
  readonly memory: SharedArrayBuffer;
  /** Offset in it. */
  readonly offset: number;
}

interface Region {
  readonly memory: SharedArrayBuffer;
  readonly runs: readonly DmaRun[];
}

/**
 * Memory as a device reaches it: by the addresses that its driver writes into descriptors. Each access throws a
 * {@linkcode DriverFault} if the device may not master the bus, or if the driver has no memory there.
 */
export interface BusMemory {
  /** Copies the bytes from `address` on into `into`. */
  read(address: number, into: Uint8Array): void;
  /** Copies `bytes` to where `address` begins. */
  write(address: number, bytes: Uint8Array): void;
  /** Where `length` bytes are, which have to be in one piece. */
  find(address: number, length: number): Place;
  /** Those bytes themselves, which have to be in one piece: the driver may change them at any time. */
  view(address: number, length: number): Uint8Array<SharedArrayBuffer>;
}

/** The memory that a simulated device can reach, by the addresses that it knows: what an IOMMU does. */
export class DeviceMemory implements BusMemory {
  readonly #mayMaster: () => boolean;
  #regions: Region[] = [];

  /** Makes one that is empty. */
  constructor(mayMaster: () => boolean) {
    this.#mayMaster = mayMaster;
  }

  /** Lets the device reach `memory`, which lies at `runs`, in order. */
  add(memory: SharedArrayBuffer, runs: readonly DmaRun[]): void {
    this.#regions.push({ memory, runs });
  }

  /** Takes everything away from the device. */
  clear(): void {
    this.#regions = [];
  }

  find(address: number, length: number): Place {
    const [place, room] = this.#at(address);
    if (place && length <= room) return place;
    throw unreachable(address, length);
  }

  view(address: number, length: number): Uint8Array<SharedArrayBuffer> {
    const { memory, offset } = this.find(address, length);
    return new Uint8Array(memory, offset, length);
  }

  read(address: number, into: Uint8Array): void {
    this.#pieces(address, into.length, (piece, done) => into.set(piece, done));
  }

  write(address: number, bytes: Uint8Array): void {
    this.#pieces(
      address,
      bytes.length,
      (piece, done) => piece.set(bytes.subarray(done, done + piece.length)),
    );
  }

  /** What begins at `address`, and how many bytes there are in one piece. */
  #at(address: number): [place: Place | undefined, room: number] {
    if (!this.#mayMaster()) throw new DriverFault("The device may not master the bus");
    for (const { memory, runs } of this.#regions) {
      let offset = 0;
      for (const run of runs) {
        const inside = address - run.address;
        if (inside >= 0 && inside < run.length) {
          return [{ memory, offset: offset + inside }, run.length - inside];
        }
        offset += run.length;
      }
    }
    return [undefined, 0];
  }

  #pieces(
    address: number,
    length: number,
    each: (piece: Uint8Array<SharedArrayBuffer>, done: number) => void,
  ): void {
    for (let done = 0; done < length;) {
      const [place, room] = this.#at(address + done);
      if (!place) throw unreachable(address + done, length - done);
      const piece = new Uint8Array(place.memory, place.offset, Math.min(room, length - done));
      each(piece, done);
      done += piece.length;
    }
  }
}

function unreachable(address: number, length: number): DriverFault {
  return new DriverFault(
    `The device cannot reach ${length} bytes at address 0x${address.toString(16)}`,
  );
}
