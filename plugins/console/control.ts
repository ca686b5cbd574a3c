import { type Buffer, type DriverLane, Status, type Virtqueue } from "@virtio/deno/plugin";
import { PortState } from "@virtio/deno/classes/console";
import type { Port } from "./port.ts";
import * as wire from "./wire.ts";

/** Control messages that the device may have ready at once; QEMU loses those for which it finds no buffer. */
export const HEARD_BUFFERS = 32;
/** Bytes of each. */
export const HEARD_BYTES = 256;
/** A name that is longer is cut off. */
export const NAME_BYTES: number = HEARD_BYTES - wire.CONTROL_BYTES;

// What is still to be told about a port. It must be ready before it is open.
const DUE_READY = 1, DUE_OPEN = 2;
/** The id of {@linkcode wire.DEVICE_READY}, which is of no port. */
const NO_PORT = 0xffffffff;

/** What the control messages of a device stand on. */
export interface ControlParts {
  /** From the device. */
  readonly receiveq: Virtqueue;
  /** To the device. */
  readonly transmitq: Virtqueue;
  /** {@linkcode HEARD_BUFFERS} buffers for messages from the device. */
  readonly heard: Buffer;
  /** A buffer for one message to it. */
  readonly said: Buffer;
  /** The ports that are driven. */
  readonly ports: readonly Port[];
  /** How many ports the device may speak of. */
  readonly declared: number;
  /** Whether RESIZE tells the columns first, as the specification has it. */
  readonly columnsFirst: boolean;
  /** The client's control requests. */
  readonly lane: DriverLane;
  /** A port is not as it was. */
  readonly changed: (port: Port) => void;
}

/**
 * What device and driver say to each other about ports (virtio 1.4, 5.3.6.2).
 *
 * What is to be said is kept as what is due for each port, so however much the device says, it cannot pile up. One
 * message is under way at a time: the device may answer one with several, and loses those for which it finds no buffer.
 */
export class Control {
  /** Messages of the device that could not be, or were too short. */
  readonly counters = { control_ignored: 0, control_truncated: 0 };
  readonly #parts: ControlParts;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  /** Ports that are there and not driven, to be refused. */
  readonly #refused = new Uint32Array(HEARD_BUFFERS);
  #refusals = 0;
  #readyDue = true;
  /** Whether a message is under way, and the port that it opens or closes. */
  #saying = false;
  #opening: Port | undefined;

  constructor(parts: ControlParts) {
    this.#parts = parts;
    this.#bytes = new Uint8Array(parts.heard.bytes.buffer);
    this.#words = new Uint32Array(parts.heard.bytes.buffer);
    for (let buffer = 0; buffer < HEARD_BUFFERS; buffer++) this.#listen(buffer);
    parts.receiveq.publish();
  }

  /** Takes what the device has heard, and then what it said about that. */
  drain(): void {
    this.#parts.transmitq.drain(this.#said);
    this.#parts.receiveq.drain(this.#hear);
  }

  /** Whether all was said, and all that the device answered was heard. */
  get settled(): boolean {
    const quiet = !this.#readyDue && !this.#saying && this.#refusals === 0;
    return quiet && this.#parts.ports.every(({ due }) => due === 0);
  }

  #add(port: Port): void {
    port.appear();
    // The client may have opened it before the device was reset.
    port.due = port.is(PortState.open) ? DUE_READY | DUE_OPEN : DUE_READY;
    this.#parts.changed(port);
  }

  /** The client uses the port, or does not any more; its request ends when the device was told. */
  open(port: Port, slot: number): void {
    port.answer(this.#parts.lane, Status.ok);
    port.asked = slot;
    port.due |= DUE_OPEN;
  }

  /** Says what is due. */
  speak(): void {
    if (this.#saying) return;
    const { ports, declared } = this.#parts;
    if (this.#readyDue) {
      this.#readyDue = false;
      // One that has fewer ports than when its queues were planned has lied about one of the two.
      return this.#say(NO_PORT, wire.DEVICE_READY, Number(declared >= ports.length));
    }
    if (this.#refusals > 0) {
      return this.#say(this.#refused[--this.#refusals]!, wire.PORT_READY, 0);
    }
    for (let id = 0; id < ports.length; id++) {
      const port = ports[id]!;
      if (port.due === 0) continue;
      if (port.due & DUE_READY) {
        port.due &= ~DUE_READY;
        return this.#say(id, wire.PORT_READY, 1);
      }
      port.due &= ~DUE_OPEN;
      this.#opening = port;
      return this.#say(id, wire.PORT_OPEN, Number(port.is(PortState.open)));
    }
  }

  #listen(buffer: number): void {
    const { receiveq, heard } = this.#parts;
    receiveq.begin(buffer);
    receiveq.writable(heard.offset + buffer * HEARD_BYTES, HEARD_BYTES);
    receiveq.commit(); // a small queue has room for some
  }

  readonly #hear = (buffer: number, written: number): void => {
    const at = this.#parts.heard.offset + buffer * HEARD_BYTES;
    if (written < wire.CONTROL_BYTES) this.counters.control_truncated++;
    else {
      // Each word is read once: the device may write it again at any time.
      const id = this.#words[at / 4]!;
      const event = this.#words[at / 4 + 1]!;
      const more = written - wire.CONTROL_BYTES;
      this.#obey(id, event & 0xffff, event >>> 16, at + wire.CONTROL_BYTES, more);
    }
    this.#listen(buffer);
  };

  /** What an event means; `more` bytes at `at` come with it. */
  #obey(id: number, event: number, value: number, at: number, more: number): void {
    const port = this.#parts.ports[id];
    if (!port) return this.#refuse(id, event);
    // A second time is as wrong as a port that was never added.
    if (port.is(PortState.present) === (event === wire.DEVICE_ADD)) return this.#ignore();
    switch (event) {
      case wire.DEVICE_ADD:
        return this.#add(port);
      case wire.DEVICE_REMOVE:
        return this.#remove(port);
      case wire.CONSOLE_PORT:
        // Both sides of a console are open from now on, and the device is to be told so (5.3.6.2.2).
        port.state |= PortState.console | PortState.open | PortState.connected;
        port.due |= DUE_OPEN;
        break;
      case wire.PORT_OPEN:
        if (value !== 0) port.state |= PortState.connected;
        else {
          // What came before it was closed is shown before.
          port.drain();
          port.state &= ~PortState.connected;
        }
        break;
      case wire.PORT_NAME:
        port.nameLength = Math.min(more, NAME_BYTES);
        port.name.set(this.#bytes.subarray(at, at + port.nameLength));
        break;
      case wire.RESIZE: {
        if (more < wire.RESIZE_BYTES) {
          this.counters.control_truncated++;
          return;
        }
        const size = this.#words[at / 4]!;
        port.size = this.#parts.columnsFirst ? size : (size << 16 | size >>> 16) >>> 0;
        break;
      }
      default:
        return this.#ignore();
    }
    port.feed();
    this.#parts.changed(port);
  }

  #remove(port: Port): void {
    port.vanish();
    port.answer(this.#parts.lane, Status.failed);
    this.#parts.changed(port);
  }

  /** A port that the device may have and we do not drive is refused; any other cannot be. */
  #refuse(id: number, event: number): void {
    const { declared } = this.#parts;
    if (event !== wire.DEVICE_ADD || id >= declared || this.#refusals === HEARD_BUFFERS) {
      return this.#ignore();
    }
    this.#refused[this.#refusals++] = id;
  }

  #ignore(): void {
    this.counters.control_ignored++;
  }

  #say(id: number, event: number, value: number): void {
    const { transmitq, said } = this.#parts;
    this.#words[said.offset / 4] = id;
    this.#words[said.offset / 4 + 1] = event | value << 16;
    transmitq.begin(0);
    transmitq.readable(said.offset, wire.CONTROL_BYTES);
    this.#saying = transmitq.commit();
  }

  readonly #said = (): void => {
    this.#saying = false;
    const port = this.#opening;
    this.#opening = undefined;
    // If it has changed again meanwhile, that is to be told too.
    if (port && !(port.due & DUE_OPEN)) port.answer(this.#parts.lane, Status.ok);
  };
}
