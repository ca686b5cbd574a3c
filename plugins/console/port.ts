import { type DriverLane, Status, type Virtqueue } from "@virtio/deno/plugin";
import { ConsoleWord, PortState } from "@virtio/deno/classes/console";

const NONE = -1;

/** What a port is made of. */
export interface PortParts {
  /** Where its bytes come from the device. */
  readonly receiveq: Virtqueue;
  /** Where its bytes go to the device. */
  readonly transmitq: Virtqueue;
  /** The client's slots for bytes from the device, those of all ports. */
  readonly receive: DriverLane;
  /** The client's bytes for the device, those of all ports. */
  readonly transmit: DriverLane;
  /** For each slot of `transmit` the one that waits behind it, shared by all ports. */
  readonly next: Int32Array;
  /** How many of them it may have with the device. */
  readonly slots: number;
  /** Takes back what the device has of its bytes, where that can be. */
  readonly recall: (port: Port) => void;
  /** The most bytes that its name can have. */
  readonly nameBytes: number;
}

/** One port: its bytes in both directions, and what is known of it. */
export class Port {
  readonly id: number;
  /** Bits of {@linkcode PortState}. */
  state = 0;
  /** Columns, and rows in the upper half. */
  size = 0;
  /** How often a port with this number was added. */
  generation = 0;
  /** Its name, as the device wrote it. */
  readonly name: Uint8Array;
  /** Bytes of its name. */
  nameLength = 0;
  /** What the device is still to be told about it. */
  due = 0;
  /** The request of the client that ends when the device was told; −1 if there is none. */
  asked: number = NONE;
  /** Bytes so far, by Linux's names. */
  readonly counters = { bytes_sent: 0, bytes_received: 0, bytes_discarded: 0 };
  readonly #parts: PortParts;
  /** Slots for its bytes, until it is there. */
  readonly #lent: number[] = [];
  // Slots that wait until the other side is open and there is room.
  #first: number = NONE;
  #last: number = NONE;

  constructor(id: number, parts: PortParts) {
    this.id = id;
    this.#parts = parts;
    this.name = new Uint8Array(parts.nameBytes);
  }

  /** Whether all these bits of its state are set. */
  is(bits: number): boolean {
    return (this.state & bits) === bits;
  }

  /** Whether bytes for the device wait. */
  get waits(): boolean {
    return this.#first !== NONE;
  }

  /** Takes what the device has done with the port's slots. */
  drain(): void {
    this.#parts.receiveq.drain(this.#received);
    this.#parts.transmitq.drain(this.#sent);
  }

  /** There is such a port, and its slots go to the device. */
  appear(): void {
    const { transmitq, slots } = this.#parts;
    if (transmitq.inFlight >= slots) {
      throw new Error(
        `Cannot send to port ${this.id}: its device keeps all that was sent to one that it took away`,
      );
    }
    this.state |= PortState.present;
    this.generation++;
    for (const slot of this.#lent.splice(0)) this.lend(slot);
  }

  /** Gives the device a slot for its bytes. */
  readonly lend = (slot: number): void => {
    const { receiveq, receive } = this.#parts;
    if (!this.is(PortState.present)) {
      this.#lent.push(slot);
      return;
    }
    receiveq.begin(slot);
    receiveq.writable(receive.offset(slot), receive.slotBytes);
    // A port has room for its own slots; a client that lends it more gets them back.
    if (!receiveq.commit()) receive.complete(slot, Status.failed, 0);
  };

  readonly #received = (slot: number, written: number): void => {
    if (this.is(PortState.open)) {
      this.counters.bytes_received += written;
      this.#parts.receive.complete(slot, Status.ok, written);
    } else {
      // A device should not send to a port that no application uses; Linux drops it likewise.
      this.counters.bytes_discarded += written;
      this.lend(slot);
    }
  };

  /** Takes a slot of bytes for the device; not those for a port that has gone, perhaps before another came. */
  accept(slot: number): void {
    const { next, transmit } = this.#parts;
    const meant = transmit.word(slot, ConsoleWord.generation);
    if (!this.is(PortState.present) || meant !== this.generation) {
      return transmit.complete(slot, Status.failed, 0);
    }
    next[slot] = NONE;
    if (this.#first === NONE) this.#first = slot;
    else next[this.#last] = slot;
    this.#last = slot;
    this.feed();
  }

  /** Gives the device what waits for it, unless the other side is closed. */
  feed(): void {
    const { transmitq, transmit, next } = this.#parts;
    while (this.#first !== NONE && this.is(PortState.connected)) {
      const slot = this.#first;
      const length = this.#length(slot);
      if (length === 0) transmit.complete(slot, Status.ok, 0);
      else {
        transmitq.begin(slot);
        transmitq.readable(transmit.offset(slot), length);
        if (!transmitq.commit()) return;
      }
      this.#first = next[slot]!;
    }
  }

  readonly #sent = (slot: number): void => {
    const length = this.#length(slot);
    this.counters.bytes_sent += length;
    this.#parts.transmit.complete(slot, Status.ok, length);
    this.feed();
  };

  #length(slot: number): number {
    const { transmit } = this.#parts;
    return Math.min(transmit.word(slot, ConsoleWord.length), transmit.slotBytes);
  }

  /** There is no such port any more. A device need not give back what it has got for it. */
  vanish(): void {
    this.drain();
    this.state =
      this.due =
      this.size =
      this.nameLength =
        0;
    this.drop();
    if (this.#parts.transmitq.inFlight > 0) this.#parts.recall(this);
  }

  /** Gives back what waits for the device: it will not be sent. */
  drop(): void {
    const { transmit, next } = this.#parts;
    for (let slot = this.#first; slot !== NONE; slot = next[slot]!) {
      transmit.complete(slot, Status.failed, 0);
    }
    this.#first = NONE;
  }

  /** Ends the client's request that waits for the device to be told. */
  answer(control: DriverLane, status: number): void {
    if (this.asked === NONE) return;
    control.complete(this.asked, status, 0);
    this.asked = NONE;
  }
}
