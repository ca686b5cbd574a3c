import * as descriptor from "./descriptor.ts";
import { DriverRing, type DriverRingOptions } from "./driver_ring.ts";
import * as events from "./event_index.ts";
import { wanted } from "./event_index.ts";
import { DESCRIPTOR_BYTES } from "./layout.ts";

const { AVAILABLE, INDIRECT, USED, WORDS, WRITE } = descriptor;
const { EVENT_DESCRIPTOR } = events;
/** Both flags that the wrap counters are about (virtio 1.4, 2.8.1). */
const STATE = AVAILABLE | USED;
/** Halves of a descriptor, and which of them are the buffer id and the flags (2.8.13). */
const HALVES = 2 * WORDS, ID = 6, FLAGS = 7;

/**
 * The driver side of a packed virtqueue (virtio 1.4, 2.8).
 *
 * Descriptors are written into the ring slot by slot, used ones come back into the same slots. A request takes as many
 * slots as it has descriptors until it is used, wherever they are by then.
 *
 * The device looks at one slot only, the one behind the last that it took. So a descriptor without the right flags
 * there hides all behind it: the flags of the first new descriptor are held back until `publish`.
 */
export class PackedDriver extends DriverRing {
  // Places in the ring, of 32-bit words.
  readonly #ring: number = 0;
  readonly #driverEvent: number = 0;
  readonly #deviceEvent: number = 0;

  /** Offset of the indirect tables in the arena, one for each id; −1 without them. */
  readonly #tables: number = 0;
  readonly #segments: number = 0;
  /** Of a free buffer id the next free one. Where the device uses requests in order, the slot is the id. */
  readonly #nextId: Uint16Array<ArrayBuffer>;
  #firstId = 0;

  /** The slot of the next request, and the flags of an available descriptor in that round. */
  #next = 0;
  #available = AVAILABLE;
  /** Slots that were filled and not published, and what `publish` has to write: where, and the flags. */
  #added = 0;
  #heldAt = 0;
  #heldFlags = 0;

  // The request that is being built: its id, the next slot and the flags there, the flags of the first slot.
  #id = 0;
  #at = 0;
  #state = 0;
  #headFlags = 0;
  /** Word of the last descriptor, and the flags of an available one there. */
  #last = 0;
  #lastState = 0;

  /** The slot of the next used descriptor, and what its flags will be in that round. */
  #use = 0;
  #used = STATE;

  constructor(options: DriverRingOptions) {
    super(options);
    const { layout, size } = this;
    this.#ring = layout.descriptors / 4;
    this.#driverEvent = layout.driver / 4;
    this.#deviceEvent = layout.device / 4;
    this.#tables = layout.indirect ?? -1;
    this.#segments = layout.segments;
    this.#nextId = Uint16Array.from({ length: size }, (_, i) => i + 1);
  }

  begin(cookie: number): void {
    if (this.limit !== this.room) this.abandon();
    this.cookie = cookie;
    this.bytes = 0;
    this.#id = this.inOrder ? this.#next : this.#firstId;
    this.#at = this.#next;
    this.#state = this.#available;
    if (this.#tables < 0) this.limit = this.room = this.free;
    else this.limit = this.room = this.free === 0 ? 0 : this.#segments;
  }

  protected override abandon(): void {
    if (this.#tables < 0) this.#withdraw();
    super.abandon();
  }

  /** Takes back the slots of a request that was not committed: no later one may seem to go on there. */
  #withdraw(): void {
    let slot = this.#next;
    let state = this.#available;
    for (let i = this.limit - 1; i > Math.max(this.room, 0); i--) {
      if (++slot === this.size) {
        slot = 0;
        state ^= STATE;
      }
      this.halves[this.#ring * 2 + slot * HALVES + FLAGS] = state ^ AVAILABLE;
    }
  }

  protected put(low: number, high: number, length: number, flags: number): void {
    if (this.room <= 0) {
      this.room = -1;
      return;
    }
    if (this.#tables < 0) this.#putSlot(low, high, length, flags);
    else this.#putEntry(low, high, length, flags);
    this.room--;
  }

  #putSlot(low: number, high: number, length: number, flags: number): void {
    const slot = this.#at;
    const state = this.#state;
    const at = this.#ring + slot * WORDS;
    const words = this.words;
    words[at] = low;
    words[at + 1] = high;
    words[at + 2] = length;
    if (this.room < this.limit) words[at + 3] = this.#id | (flags | state) << 16;
    else this.#headFlags = flags | state;
    this.#last = at;
    this.#lastState = state;
    if (slot + 1 < this.size) this.#at = slot + 1;
    else {
      this.#at = 0;
      this.#state = state ^ STATE;
    }
  }

  /** In an indirect table the order is that of the places, and a descriptor is writable or not (2.8.7). */
  #putEntry(low: number, high: number, length: number, flags: number): void {
    const words = this.words;
    const at = this.#table() + (this.limit - this.room) * WORDS;
    words[at] = low;
    words[at + 1] = high;
    words[at + 2] = length;
    words[at + 3] = (flags & WRITE) << 16;
  }

  /** Word at which the table of the request begins. */
  #table(): number {
    return (this.#tables >> 2) + this.#id * this.#segments * WORDS;
  }

  commit(): boolean {
    if (!this.fits()) return false;
    const id = this.#id;
    let taken = this.limit - this.room;
    const head = this.#ring + this.#next * WORDS;
    const write = this.bytes > 0 ? WRITE : 0;
    let flags: number;
    if (this.#tables >= 0) {
      flags = this.#pointToTable(head, taken, write);
      taken = 1;
    } else if (taken === 1) flags = write | this.#lastState;
    else {
      this.words[this.#last + 3] = id | (write | this.#lastState) << 16;
      flags = this.#headFlags;
    }
    if (this.committed === this.published) {
      this.halves[head * 2 + ID] = id;
      this.#heldAt = head * 2 + FLAGS;
      this.#heldFlags = flags;
    } else this.words[head + 3] = id | flags << 16;
    this.#next = this.#at;
    this.#available = this.#state;
    this.#added += taken;
    if (!this.inOrder) this.#firstId = this.#nextId[id]!;
    this.enter(id, taken, 0);
    return true;
  }

  /** Makes a slot stand for the request's table, or for the only descriptor in there. Returns the slot's flags. */
  #pointToTable(head: number, count: number, write: number): number {
    const { words } = this;
    const table = this.#table();
    const state = this.#available;
    if (this.#next + 1 < this.size) this.#at = this.#next + 1;
    else {
      this.#at = 0;
      this.#state = state ^ STATE;
    }
    if (count === 1) {
      words.copyWithin(head, table, table + 3);
      return write | state;
    }
    this.writeAddress(head, table * 4);
    words[head + 2] = count * DESCRIPTOR_BYTES;
    return INDIRECT | state;
  }

  publish(): void {
    const added = this.#added;
    if (added === 0) return;
    this.counters.published += this.committed - this.published | 0;
    this.published = this.committed;
    this.#added = 0;
    // The store is a full barrier on both sides: descriptors before flags, flags before the device's wishes.
    Atomics.store(this.halves, this.#heldAt, this.#heldFlags);
    const event = this.wishes(this.words, this.#deviceEvent);
    if (wanted(event, this.#next, this.#wrap(), added, this.size, this.eventIndex)) this.notify();
  }

  /** The driver's wrap counter (2.8.1). */
  #wrap(): number {
    return this.#available === AVAILABLE ? 1 : 0;
  }

  protected notificationData(): number {
    return this.#next << 16 | this.#wrap() << 31;
  }

  drain(collect: (cookie: number, written: number) => void): number {
    if (this.broken) return 0;
    const { halves, words, outstanding } = this;
    let done = 0;
    while (done < outstanding) {
      const at = this.#ring + this.#use * WORDS;
      // An atomic load: what the device wrote before the flags must not be read before them.
      const flags = Atomics.load(halves, at * 2 + FLAGS);
      if ((flags & STATE) !== this.#used) {
        if ((flags & STATE) !== (this.#used ^ USED)) this.#failFlags(flags);
        break;
      }
      const id = halves[at * 2 + ID]!;
      // The length should count only where the device sets WRITE (2.8.5), but QEMU never sets that.
      const written = words[at + 2]! >>> 0;
      const taken = this.find(id) >>> 16;
      if (taken === 0) break;
      if (this.inOrder) {
        done += this.batch(id);
        // Here the id is the slot of the request's first descriptor: skip all up to its last.
        const skip = id + taken - this.#use;
        this.#skip(skip > 0 ? skip : skip + this.size);
        this.finishThrough(id, written, collect);
      } else {
        done++;
        this.#skip(taken);
        this.#nextId[id] = this.#firstId | 0;
        this.#firstId = id;
        this.free += taken;
        this.finish(id, written, collect);
      }
    }
    this.counters.completed += done;
    return done;
  }

  /** Goes on behind a used descriptor, which stands for as many slots as its request took (2.8.6). */
  #skip(slots: number): void {
    const next = this.#use + slots;
    if (next < this.size) this.#use = next;
    else {
      this.#use = next - this.size;
      this.#used ^= STATE;
    }
  }

  #failFlags(flags: number): void {
    const states = (flags & AVAILABLE ? 1 : 0) + (flags & USED ? 2 : 0);
    const what = ["neither flag", "AVAIL alone", "USED alone", "both flags"][states]!;
    this.fail("D-60", `left ${what} in slot ${this.#use}, which no descriptor of this round has`);
  }

  arm(): boolean {
    if (this.broken) return false;
    const place = this.#use | (this.#used & USED);
    const event = this.eventIndex ? EVENT_DESCRIPTOR << 16 | place : 0;
    Atomics.store(this.words, this.#driverEvent, event);
    if (this.outstanding === 0) return false;
    const flags = Atomics.load(this.halves, (this.#ring + this.#use * WORDS) * 2 + FLAGS);
    return (flags & STATE) !== (this.#used ^ USED);
  }

  protected restart(): void {
    this.words.fill(0, this.#ring, this.#ring + this.size * WORDS);
    this.words[this.#driverEvent] = 0;
    this.words[this.#deviceEvent] = 0;
    for (let i = 0; i < this.size; i++) this.#nextId[i] = i + 1;
    this.#firstId =
      this.#next =
      this.#added =
      this.#use =
        0;
    this.#available = AVAILABLE;
    this.#used = STATE;
  }
}
