// Parts of a guest's memory as a served device reaches them.

import { identityOfOpen } from "../core/linux/file_kind.ts";
import { type ForeignMemory, openForeign, UnfitMemory } from "../core/linux/foreign_memory.ts";
import { hex } from "../core/pci/fault.ts";
import type { DeviceMemory } from "../simulation/device_memory.ts";

/** A part of a memory file of a guest's machine. */
export interface GuestRegion {
  /** The file; stays the caller's. */
  readonly fd: number;
  /** Its first byte in the file, a multiple of 4096. */
  readonly offset: number;
  /** Its length in bytes, likewise. */
  readonly size: number;
  /** Where it lies in each address space. */
  readonly addresses: readonly number[];
}

interface File {
  readonly foreign: ForeignMemory;
  /** How many regions are in it. */
  regions: number;
}

interface Held extends Omit<GuestRegion, "fd"> {
  readonly file: File;
}

/**
 * The memory of a guest, as its machine tells of it, for a device that we play: regions of memory files, each at an
 * address of every address space. A device reaches what is there now, and not a byte of what was taken away, not even
 * by a request that it still holds.
 */
export class GuestMemory implements Disposable {
  readonly #spaces: readonly DeviceMemory[];
  readonly #most: number;
  readonly #files = new Map<string, File>();
  #held: Held[] = [];

  /**
   * Begins without any.
   *
   * @param spaces The address spaces: what the device finds by an address.
   * @param most How many regions there may be.
   */
  constructor(spaces: readonly DeviceMemory[], most: number) {
    this.#spaces = spaces;
    this.#most = most;
  }

  /** How many regions there are. */
  get count(): number {
    return this.#held.length;
  }

  /**
   * Adds a region.
   *
   * @throws {UnfitMemory} If it cannot be there: nothing has changed then.
   */
  add(region: GuestRegion): void {
    if (this.#held.length >= this.#most) {
      throw new UnfitMemory(`The memory has more than ${this.#most} regions`);
    }
    checkPlace(region);
    for (const held of this.#held) checkApart(region, held);
    const file = this.#open(region.fd);
    const { offset, size, addresses } = region;
    try {
      if (offset + size > file.foreign.size) {
        throw new UnfitMemory(
          `A region of ${size} bytes at ${offset} is not in its file, which has ${file.foreign.size}`,
        );
      }
      file.foreign.show(offset, size);
    } catch (error) {
      this.#close(file);
      throw error;
    }
    const place = { memory: file.foreign.memory, offset };
    for (const [i, space] of this.#spaces.entries()) {
      space.map({ address: addresses[i]!, length: size }, place, true);
    }
    this.#held.push({ offset, size, addresses, file });
  }

  /**
   * Takes away all regions that lie in a range of an address space.
   *
   * @param space Which one, by its index.
   * @returns How many there were.
   * @throws {UnfitMemory} If a part of a region lies in it: nothing has changed then.
   */
  remove(space: number, address: number, size: number): number {
    const inside = this.#held.filter((held) => {
      const start = held.addresses[space]!;
      const end = start + held.size;
      if (end <= address || start >= address + size) return false;
      if (start >= address && end <= address + size) return true;
      throw new UnfitMemory(
        `${size} bytes at ${hex(address, 1)} are a part of the region of ${held.size} at ${
          hex(start, 1)
        }`,
      );
    });
    this.#drop(inside);
    return inside.length;
  }

  /**
   * Puts other regions in place of all those that there are. What is in both stays without a gap.
   *
   * @throws {UnfitMemory} If they cannot be there: then there are none at all.
   */
  replace(regions: readonly GuestRegion[]): void {
    // Files that are in both stay open meanwhile.
    const kept = [...this.#files.values()];
    for (const file of kept) file.regions++;
    try {
      this.#drop(this.#held);
      for (const region of regions) this.add(region);
    } catch (error) {
      this.#drop(this.#held);
      throw error;
    } finally {
      for (const file of kept) this.#close(file);
    }
  }

  #drop(gone: readonly Held[]): void {
    this.#held = this.#held.filter((held) => !gone.includes(held));
    for (const { addresses, file, offset, size } of gone) {
      for (const [i, space] of this.#spaces.entries()) space.unmap(addresses[i]!, size);
      file.foreign.hide(offset, size);
    }
    // A file may have a byte in several regions, of which some stay.
    for (const held of this.#held) {
      if (gone.some(({ file }) => file === held.file)) {
        held.file.foreign.show(held.offset, held.size);
      }
    }
    for (const { file } of gone) this.#close(file);
  }

  #open(fd: number): File {
    const known = this.#files.get(identityOfOpen(fd).id);
    if (known) {
      known.regions++;
      return known;
    }
    const foreign = openForeign(fd);
    const file = { foreign, regions: 1 };
    this.#files.set(foreign.id, file);
    return file;
  }

  #close(file: File): void {
    if (--file.regions > 0) return;
    this.#files.delete(file.foreign.id);
    file.foreign.release();
  }

  /** Takes everything away. */
  [Symbol.dispose](): void {
    this.#drop(this.#held);
  }
}

function checkPlace({ addresses, size, offset }: GuestRegion): void {
  for (const address of addresses) {
    // Written so that no NaN passes.
    if (address >= 0 && size > 0 && Number.isSafeInteger(address + size)) continue;
    throw new UnfitMemory(
      `A region of ${size} bytes at ${
        hex(address, 1)
      } is empty, or lies beyond all that a machine has`,
    );
  }
  if (!Number.isSafeInteger(offset)) throw new UnfitMemory(`A region is at ${offset} of its file`);
}

function checkApart(region: GuestRegion, held: Held): void {
  for (const [i, address] of region.addresses.entries()) {
    const start = held.addresses[i]!;
    if (address + region.size <= start || address >= start + held.size) continue;
    throw new UnfitMemory(
      `A region of ${region.size} bytes at ${hex(address, 1)} overlaps that of ${held.size} at ${
        hex(start, 1)
      }`,
    );
  }
}
