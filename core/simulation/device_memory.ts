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
  /** Where the first run begins in the memory. */
  readonly start: number;
}

/** The memory that a simulated device can reach, by the addresses that it knows: what an IOMMU does. */
export class DeviceMemory {
  #regions: Region[] = [];

  /**
   * Lets the device reach `memory` from byte `start` on, which lies at `runs`, in order.
   *
   * @returns Takes it away from the device again.
   */
  add(memory: SharedArrayBuffer, runs: readonly DmaRun[], start = 0): () => void {
    const region = { memory, runs, start };
    this.#regions.push(region);
    return () => {
      this.#regions = this.#regions.filter((each) => each !== region);
    };
  }

  /** Takes everything away from the device. */
  clear(): void {
    this.#regions = [];
  }

  /**
   * Where `length` bytes at `address` are.
   *
   * @throws {DriverFault} If the device cannot reach all of them, or they are not in one piece.
   */
  find(address: number, length: number): Place {
    for (const { memory, runs, start } of this.#regions) {
      let offset = start;
      for (const run of runs) {
        const inside = address - run.address;
        if (inside >= 0 && inside + length <= run.length) {
          return { memory, offset: offset + inside };
        }
        offset += run.length;
      }
    }
    throw new DriverFault(
      `The device cannot reach ${length} bytes at address 0x${address.toString(16)}`,
    );
  }

  /** Those bytes themselves. */
  view(address: number, length: number): Uint8Array<SharedArrayBuffer> {
    const { memory, offset } = this.find(address, length);
    return new Uint8Array(memory, offset, length);
  }
}
