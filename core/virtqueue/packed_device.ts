import { AVAILABLE, INDIRECT, NEXT, USED, WORDS, WRITE } from "./descriptor.ts";
import {
  append,
  type Chain,
  type DeviceRingOptions,
  DriverFault,
  type HonestQueue,
  type RingPlace,
  type Taken,
  writableBytes,
} from "./device_queue.ts";
import { EVENT_DESCRIPTOR, wanted } from "./event_index.ts";
import { InOrder } from "./in_order.ts";
import { DESCRIPTOR_BYTES } from "./layout.ts";
import { PACKED_WRAP as WRAP, packedPlaceAfter } from "./packed_place.ts";

const STATE = AVAILABLE | USED;
const HALVES = 2 * WORDS, ID = 6, FLAGS = 7;

/** The device side of a packed virtqueue (virtio 1.4, 2.8). */
export class PackedDevice implements HonestQueue {
  readonly size: number;
  readonly #options: DeviceRingOptions;
  readonly #halves: Uint16Array<SharedArrayBuffer>;
  readonly #words: Int32Array<SharedArrayBuffer>;
  /** Slots of each request that was taken, by buffer id; 0 for those that were not. */
  readonly #slots = new Uint16Array(65536);
  readonly #inOrder: InOrder | undefined;

  /** The slot of the next request, and what the flags of an available descriptor are in that round. */
  #next = 0;
  #available = AVAILABLE;
  /** The slot of the next used descriptor, and what its flags are. */
  #use = 0;
  #used = STATE;
  /** Slots that were used and not published, and what `publish` has to write: where, and the flags. */
  #moved = 0;
  #heldAt = 0;
  #heldFlags = 0;

  constructor(options: DeviceRingOptions) {
    this.size = options.size;
    this.#options = options;
    this.#halves = new Uint16Array(options.memory);
    this.#words = new Int32Array(options.memory);
    if (options.inOrder) this.#inOrder = new InOrder(options.size);
    const { available, used } = options.from ?? { available: WRAP, used: WRAP };
    this.#next = this.#offset(available);
    this.#available = available & WRAP ? AVAILABLE : USED;
    this.#use = this.#offset(used);
    this.#used = used & WRAP ? STATE : 0;
    this.#hide(used, available);
  }

  /** A device that is no more may have written into slots that it has taken, and not come to show that. */
  #hide(from: number, to: number): void {
    for (let place = from, i = 0; place !== to && i < this.size; i++) {
      const at = this.#slot(place & ~WRAP) + FLAGS;
      const state = place & WRAP ? AVAILABLE : USED;
      Atomics.store(this.#halves, at, this.#halves[at]! & ~STATE | state);
      place = packedPlaceAfter(place, 1, this.size);
    }
  }

  #offset(place: number): number {
    const offset = place & ~WRAP;
    if (offset < this.size) return offset;
    throw new DriverFault(`A packed ring of ${this.size} cannot begin at ${offset}`);
  }

  get place(): RingPlace {
    return { available: this.#nextPlace, used: this.#use | (this.#used ? WRAP : 0) };
  }

  get #nextPlace(): number {
    return this.#next | (this.#available === AVAILABLE ? WRAP : 0);
  }

  /** Half-word at which a slot begins. */
  #slot(slot: number): number {
    return this.#options.descriptors / 2 + slot * HALVES;
  }

  take(chain: Chain): boolean {
    const { size } = this;
    let slot = this.#next;
    let available = this.#available;
    let flags = Atomics.load(this.#halves, this.#slot(slot) + FLAGS);
    if ((flags & STATE) !== available) return false;
    chain.head = slot;
    chain.count = 0;
    chain.readable = 0;
    let taken = 0;
    for (;;) {
      const at = this.#slot(slot);
      if (flags & INDIRECT) {
        if (flags & NEXT || taken > 0) {
          throw new DriverFault(`Descriptor ${slot} is indirect and not alone`);
        }
        this.#walk(chain, slot, this.#address(at / 2), this.#words[at / 2 + 2]! >>> 0);
      } else append(chain, slot, this.#address(at / 2), this.#words[at / 2 + 2]! >>> 0, flags);
      taken++;
      if (++slot === size) {
        slot = 0;
        available ^= STATE;
      }
      if (!(flags & NEXT)) {
        chain.head = this.#halves[at + ID]!;
        break;
      }
      if (taken === size) {
        throw new DriverFault(`The chain of descriptor ${chain.head} has no end`);
      }
      flags = this.#halves[this.#slot(slot) + FLAGS]!;
      if ((flags & STATE) !== available) {
        throw new DriverFault(`Descriptor ${slot} is in a chain and not available`);
      }
    }
    this.#took(chain, taken);
    this.#next = slot;
    this.#available = available;
    return true;
  }

  takeAgain(chain: Chain, { head, descriptors }: Taken): void {
    chain.head = head;
    chain.count = 0;
    chain.readable = 0;
    for (const [i, { address, length, flags }] of descriptors.entries()) {
      if (!(flags & INDIRECT)) append(chain, i, address, length, flags);
      else if (descriptors.length === 1) this.#walk(chain, i, address, length);
      else throw new DriverFault(`Descriptor ${i} is indirect and not alone`);
    }
    this.#took(chain, descriptors.length);
  }

  #took(chain: Chain, slots: number): void {
    if (this.#slots[chain.head]! > 0) {
      throw new DriverFault(`Buffer ${chain.head} was made available twice`);
    }
    this.#slots[chain.head] = slots;
    this.#inOrder?.take(chain.head, writableBytes(chain), slots);
  }

  #address(at: number): number {
    return (this.#words[at]! >>> 0) + (this.#words[at + 1]! >>> 0) * 2 ** 32;
  }

  /** Walks the table of an indirect descriptor: all of it, in order; only WRITE counts there (2.8.7). */
  #walk(chain: Chain, slot: number, address: number, length: number): void {
    if (!this.#options.indirect) {
      throw new DriverFault(`Descriptor ${slot} is indirect, which was not agreed here`);
    }
    if (length === 0 || length % DESCRIPTOR_BYTES !== 0) {
      throw new DriverFault(`Descriptor ${slot} has an indirect table of ${length} bytes`);
    }
    const table = this.#options.translate(address, length);
    if (table % 4 !== 0) {
      throw new DriverFault(`Descriptor ${slot} has a table at an odd address`);
    }
    for (let i = 0; i < length / DESCRIPTOR_BYTES; i++) {
      const entry = table / 4 + i * WORDS;
      const words = this.#words;
      append(chain, i, this.#address(entry), words[entry + 2]! >>> 0, words[entry + 3]! >>> 16);
    }
  }

  put(head: number, written: number): void {
    // A slot also for a request that there is not: a device that lies has to put its lie somewhere.
    const slots = this.#slots[head & 0xffff]! || 1;
    this.#slots[head & 0xffff] = 0;
    if (!this.#inOrder?.put(head, written)) this.#useSlots(head, written, slots);
  }

  /** Writes a used descriptor that stands for this many slots; those behind the first are left as they are (2.8.8). */
  #useSlots(head: number, written: number, slots: number): void {
    const at = this.#slot(this.#use);
    const flags = this.#used | (written > 0 ? WRITE : 0);
    this.#words[at / 2 + 2] = written;
    this.#halves[at + ID] = head;
    // The driver looks at one slot only: while the first one is not used, the others are hidden.
    if (this.#moved > 0) this.#halves[at + FLAGS] = flags;
    else {
      this.#heldAt = at + FLAGS;
      this.#heldFlags = flags;
    }
    this.#moved += slots;
    this.#use += slots;
    if (this.#use >= this.size) {
      this.#use -= this.size;
      this.#used ^= STATE;
    }
  }

  publish(): boolean {
    this.#inOrder?.flush((head, written, slots) => this.#useSlots(head, written, slots));
    const moved = this.#moved;
    if (moved === 0) return false;
    this.#moved = 0;
    const { driver, eventIndex } = this.#options;
    Atomics.store(this.#halves, this.#heldAt, this.#heldFlags);
    const event = Atomics.load(this.#words, driver / 4);
    return wanted(event, this.#use, this.#used ? 1 : 0, moved, this.size, eventIndex);
  }

  arm(): boolean {
    const { device, eventIndex } = this.#options;
    const event = eventIndex ? EVENT_DESCRIPTOR << 16 | this.#nextPlace : 0;
    Atomics.store(this.#words, device / 4, event);
    const flags = Atomics.load(this.#halves, this.#slot(this.#next) + FLAGS);
    return (flags & STATE) === this.#available;
  }
}
