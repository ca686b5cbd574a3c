import type { Buffer, DriverLane } from "@virtio/deno/plugin";
import { putAddress } from "./controller.ts";
import * as wire from "./wire.ts";

/**
 * Where the controller finds the data of a lane's slots: physical region pages (base 2.0, 4.1.1). The pages of a slot stay
 * where they are, so the PRP list of each is written once, and a command points into it.
 */
export class SlotPages {
  /** Pages of a slot. */
  readonly #pages: number;
  /** Of each page its address, as dwords: the PRP lists themselves. */
  readonly #lists: Uint32Array;
  /** Own copy, from which commands are made. */
  readonly #addresses: Uint32Array;
  /** Device addresses of the lists, as dwords. */
  readonly #listAddresses: Uint32Array;

  /** @param lists Memory for the lists: {@linkcode listBytes}. */
  constructor(lane: DriverLane, lists: Buffer, address: (offset: number) => number) {
    const pages = this.#pages = lane.slotBytes / wire.PAGE_BYTES;
    const count = lane.slots * pages;
    this.#lists = new Uint32Array(lists.bytes.buffer, lists.offset, count * 2);
    this.#addresses = new Uint32Array(count * 2);
    this.#listAddresses = new Uint32Array(count * 2);
    for (let slot = 0; slot < lane.slots; slot++) {
      for (let page = 0; page < pages; page++) {
        const at = slot * pages + page;
        putAddress(this.#addresses, 2 * at, address(lane.offset(slot) + page * wire.PAGE_BYTES));
        putAddress(this.#listAddresses, 2 * at, address(lists.offset + at * wire.PRP_BYTES));
      }
    }
    this.#lists.set(this.#addresses);
  }

  /** Bytes of the lists of so many slots of so many bytes. No list crosses a page if that is a power of two. */
  static listBytes(slots: number, slotBytes: number): number {
    return slots * slotBytes / wire.PAGE_BYTES * wire.PRP_BYTES;
  }

  /**
   * Points a command at a part of a slot's data.
   *
   * @param at The command's first dword in `sq`.
   * @param from Where the part begins, a multiple of 4096.
   */
  point(sq: Uint32Array, at: number, slot: number, from: number, length: number): void {
    const first = 2 * (slot * this.#pages + from / wire.PAGE_BYTES);
    sq[at + wire.PRP1] = this.#addresses[first]!;
    sq[at + wire.PRP1 + 1] = this.#addresses[first + 1]!;
    if (length <= wire.PAGE_BYTES) return;
    const more = length <= 2 * wire.PAGE_BYTES ? this.#addresses : this.#listAddresses;
    sq[at + wire.PRP2] = more[first + 2]!;
    sq[at + wire.PRP2 + 1] = more[first + 3]!;
  }
}
