// A back-end behind the registers of a VirtIO function.

import { close, eventfd } from "../../core/linux/fd.ts";
import { accept, connectUnix, listenUnix, type UnixListener } from "../../core/linux/socket.ts";
import { poll, POLLIN } from "../../core/linux/poll.ts";
import type { DmaMemory } from "../../core/pci/function.ts";
import type { Registers } from "../../core/pci/registers.ts";
import { DeviceStatus } from "../../core/virtio/status.ts";
import { VhostFault } from "../../core/vhost/fault.ts";
import { F_PROTOCOL_FEATURES } from "../../core/vhost/protocol.ts";
import { COMMON_BYTES, type CommonField, commonField, NO_VECTOR } from "../common_config.ts";
import { RING_PACKED, VERSION_1 } from "../model.ts";
import type { Surroundings } from "../virtio_device.ts";
import type { VirtioCore } from "../virtio_pci.ts";
import { type Width, window } from "../window.ts";
import { HungUp } from "./connection.ts";
import { type BackEndFacts, Session } from "./session.ts";

const { DRIVER_OK, FEATURES_OK } = DeviceStatus;
/** Where an empty packed ring begins: both wrap counters are 1 (docs/interop/vhost-user.rst). */
const PACKED_BASE = 0x8000_8000;
/** A back-end that serves one at a time may not have noticed yet that we hung up. */
const TRIES = 20, AGAIN_MS = 15;
/** How long one that connects to us is waited for, in milliseconds. */
const PATIENCE_MS = 5000;

/** What the place of a back-end on the bus lends it. */
export interface Lent {
  /** The memory that the device is to reach. */
  memories(): readonly DmaMemory[];
  /** The eventfd of an interrupt vector; undefined if there is none. */
  vector(index: number): number | undefined;
  /** A connection begins, or is over: what to wait for has changed. */
  changed(): void;
}

/** A queue as the driver has set it up. */
class Queue {
  size: number;
  vector = NO_VECTOR;
  enabled = false;
  /** Its areas: descriptors, driver, device, lower and upper half each. */
  readonly areas = new Uint32Array(6);

  constructor(size: number) {
    this.size = size;
  }

  area(index: number): bigint {
    return BigInt(this.areas[2 * index]!) | BigInt(this.areas[2 * index + 1]!) << 32n;
  }
}

/**
 * A back-end behind the registers of a VirtIO function: what the driver writes becomes messages.
 *
 * The protocol has no reset that can be believed: back-ends acknowledge that a ring is stopped, and write to it
 * afterwards. So a device that was at work is reset by hanging up, and its memory is not used again.
 */
export class BackEnd implements VirtioCore, Disposable {
  readonly common: Registers;
  /** What it is called. */
  readonly facts: BackEndFacts;
  /** Its queues, by their greatest sizes. */
  readonly queues: readonly number[];
  readonly #lent: Lent;
  readonly #listener: UnixListener | undefined;
  readonly #kicks = new Map<number, number>();
  /** For a ring that no vector is for. */
  #mute = -1;
  #around!: Surroundings;
  #session: Session | undefined;
  readonly #first: { readonly features: bigint; readonly config: Uint8Array<ArrayBuffer> };
  /** Why there is no session, if that is not by our doing. */
  #lost: string | undefined;
  /** Whether a back-end that was left may still reach the memory. */
  #tainted = false;
  #status = 0;
  #generation = 0;
  #offeredSelect = 0;
  #acceptedSelect = 0;
  #accepted = new Uint32Array(4);
  #configVector = NO_VECTOR;
  #queueSelect = 0;
  #queues: Queue[] = [];

  /**
   * Connects.
   *
   * @throws {VhostFault} If what is there is no back-end of this type.
   * @throws {OsError} If nothing is there.
   */
  constructor(facts: BackEndFacts, lent: Lent) {
    this.facts = facts;
    this.#lent = lent;
    if (facts.listen) this.#listener = listenUnix(facts.socket);
    try {
      const session = this.#session = this.#meet();
      this.#first = { features: session.features, config: session.config };
      this.queues = Array.from({ length: session.queues }, () => facts.queueSize);
    } catch (error) {
      this.#listener?.close();
      throw error;
    }
    this.#forget();
    this.common = window(
      COMMON_BYTES,
      (offset, width) => {
        const field = commonField(offset, width);
        return field === undefined ? 0 : this.readField(field);
      },
      (offset, width, value) => {
        const field = commonField(offset, width);
        if (field !== undefined) this.writeField(field, value);
      },
    );
  }

  /** It is put into its place. */
  attach(around: Surroundings): this {
    this.#around = around;
    return this;
  }

  /** The connection, while there is one. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** Why it cannot be reached, if so. */
  get lost(): string | undefined {
    return this.#lost;
  }

  /** The device-specific configuration. */
  get config(): Uint8Array<ArrayBuffer> {
    return this.#session?.config ?? this.#first.config;
  }

  /** Takes the note that memory is not to be used again. */
  takeTaint(): boolean {
    const tainted = this.#tainted;
    this.#tainted = false;
    return tainted;
  }

  /** The eventfd by which a queue is notified. */
  kick(queue: number): number {
    let fd = this.#kicks.get(queue);
    if (fd === undefined) this.#kicks.set(queue, fd = eventfd());
    return fd;
  }

  /** Connects, unless it is connected, and looks that it is what it was. Where that fails, {@linkcode lost} says why. */
  connect(): void {
    if (this.#session) return;
    try {
      const session = this.#meet();
      if (session.features !== this.#first.features || session.queues !== this.queues.length) {
        session[Symbol.dispose]();
        throw new VhostFault("it came back with other features or queues than before");
      }
      this.#session = session;
      this.#lost = undefined;
      this.#lent.changed();
    } catch (error) {
      this.#lose(error as Error);
    }
  }

  #meet(): Session {
    for (let tries = 1;; tries++) {
      const fd = this.#listener ? this.#await(this.#listener) : connectUnix(this.facts.socket);
      try {
        return new Session(fd, this.facts);
      } catch (error) {
        if (!(error instanceof HungUp) || tries === TRIES) throw error;
        poll(new Int32Array(0), 0, AGAIN_MS);
      }
    }
  }

  #await({ fd }: UnixListener): number {
    poll(new Int32Array([fd, POLLIN]), 1, PATIENCE_MS);
    const connection = accept(fd);
    if (connection >= 0) return connection;
    throw new VhostFault(`it did not connect within ${PATIENCE_MS} ms`);
  }

  /** Something came over the connection, unasked. */
  hear(): void {
    this.#guard(({ connection }) => connection.listen());
  }

  /** Something came over the channel. Returns whether to listen on. */
  hearChannel(): boolean {
    if (!this.#session?.hear()) return false;
    this.#guard((session) => session.refresh());
    this.#generation = this.#generation + 1 & 0xff;
    if (this.#status & DRIVER_OK) this.#around.interrupt("config", this.#configVector);
    return true;
  }

  /** Asks anew what the device is like. */
  refresh(): void {
    this.#guard((session) => session.refresh());
  }

  #guard(act: (session: Session) => void): void {
    if (!this.#session) return;
    try {
      act(this.#session);
    } catch (error) {
      this.#lose(error as Error);
    }
  }

  #lose(error: Error): void {
    this.#lost = `${this.facts.name}: ${error.message}`;
    this.#hangUp();
    this.#around?.failed(new VhostFault(this.#lost));
  }

  #hangUp(): void {
    const session = this.#session;
    if (!session) return;
    this.#session = undefined;
    this.#lent.changed();
    session[Symbol.dispose]();
    if (this.#status & DRIVER_OK) this.#tainted = true;
  }

  notify(): void {
    // Drivers ring the eventfd.
  }

  notifyAll(): void {
    // Likewise.
  }

  process(): boolean {
    return false;
  }

  becomeLegacy(): void {
    // It is modern.
  }

  needsReset(): void {
    // It says so itself.
  }

  forget(): void {
    this.reset();
  }

  reset(): void {
    if (this.#status & DRIVER_OK) this.#hangUp();
    this.#forget();
  }

  #forget(): void {
    this.#status = 0;
    this.#offeredSelect = this.#acceptedSelect = this.#queueSelect = 0;
    this.#accepted = new Uint32Array(4);
    this.#configVector = NO_VECTOR;
    this.#queues = this.queues.map((size) => new Queue(size));
  }

  configWrite(offset: number, value: number, width: Width): void {
    const bytes = new Uint8Array(new Uint32Array([value]).buffer).slice(0, width);
    this.#guard((session) => session.write(offset, bytes));
  }

  readField(field: CommonField): number {
    const queue = this.#queues[this.#queueSelect];
    switch (field) {
      case "device_feature_select":
        return this.#offeredSelect;
      case "device_feature":
        return word(this.#first.features, this.#offeredSelect);
      case "driver_feature_select":
        return this.#acceptedSelect;
      case "driver_feature":
        return this.#accepted[this.#acceptedSelect] ?? 0;
      case "config_msix_vector":
        return this.#configVector;
      case "num_queues":
        return this.#queues.length;
      case "device_status":
        return this.#status;
      case "config_generation":
        return this.#generation;
      case "queue_select":
        return this.#queueSelect;
      case "queue_size":
        return queue?.size ?? 0;
      case "queue_msix_vector":
        return queue?.vector ?? NO_VECTOR;
      case "queue_enable":
        return queue?.enabled ? 1 : 0;
      case "queue_notify_off":
        return queue ? this.#queueSelect : 0;
      case "queue_notif_config_data":
      case "queue_reset":
        return 0;
      default:
        return queue?.areas[AREAS.indexOf(field)] ?? 0;
    }
  }

  writeField(field: CommonField, value: number): void {
    const queue = this.#queues[this.#queueSelect];
    switch (field) {
      case "device_feature_select":
        this.#offeredSelect = value;
        break;
      case "driver_feature_select":
        this.#acceptedSelect = value;
        break;
      case "driver_feature":
        if (!(this.#status & FEATURES_OK)) this.#accepted[this.#acceptedSelect] = value;
        break;
      case "config_msix_vector":
        this.#configVector = this.#vector(value);
        break;
      case "device_status":
        this.#writeStatus(value);
        break;
      case "queue_select":
        this.#queueSelect = value;
        break;
      case "queue_size":
        if (queue && !queue.enabled && value <= this.facts.queueSize) queue.size = value;
        break;
      case "queue_msix_vector":
        if (queue) queue.vector = this.#vector(value);
        break;
      case "queue_enable":
        if (queue && value === 1) queue.enabled = true;
        break;
      default: {
        const area = AREAS.indexOf(field as typeof AREAS[number]);
        if (queue && area >= 0 && !queue.enabled) queue.areas[area] = value;
      }
    }
  }

  #vector(value: number): number {
    return value < this.#around.vectors ? value : NO_VECTOR;
  }

  #writeStatus(value: number): void {
    if (value === 0) return this.reset();
    // One that is made quiet, and not used again, is left alone.
    if (this.#status === 0) this.connect();
    const rising = value & ~this.#status;
    if (rising & FEATURES_OK) {
      const accepted = this.#driverFeatures;
      if (accepted & ~this.#first.features || !(accepted & VERSION_1)) value &= ~FEATURES_OK;
      else this.#setFeatures(accepted);
    }
    if (!(value & FEATURES_OK)) value &= ~DRIVER_OK;
    this.#status = value;
    if (value & rising & DRIVER_OK) this.#guard((session) => this.#start(session));
  }

  get #driverFeatures(): bigint {
    return this.#accepted.reduceRight((bits, part) => bits << 32n | BigInt(part), 0n);
  }

  #setFeatures(accepted: bigint): void {
    this.#guard(({ connection, enables, invented }) => {
      const more = enables ? F_PROTOCOL_FEATURES : 0n;
      connection.tell("SET_FEATURES", accepted & ~invented | more);
    });
  }

  /** Shows the back-end memory and rings, and has it begin. */
  #start({ connection, enables, hasStatus }: Session): void {
    const memories = this.#lent.memories();
    const regions = memories.flatMap(({ offset, runs }) => {
      let at = offset;
      return runs.map(({ address, length }) => {
        const from = at;
        at += length;
        // Its rings are named by addresses of ours, which need to mean nothing but a place in this memory.
        const guest = BigInt(address);
        return { guest, user: guest, size: BigInt(length), offset: BigInt(from) };
      });
    });
    const fds = memories.flatMap(({ fd, runs }) => runs.map(() => fd));
    connection.tell("SET_MEM_TABLE", regions, ...fds);
    const used = [...this.#queues.entries()].filter(([, queue]) => queue.enabled);
    const base = this.#driverFeatures & RING_PACKED ? PACKED_BASE : 0;
    for (const [index, queue] of used) {
      connection.tell("SET_VRING_NUM", { index, value: queue.size });
      connection.tell("SET_VRING_BASE", { index, value: base });
      connection.tell("SET_VRING_ADDR", {
        index,
        flags: 0,
        descriptors: queue.area(0),
        available: queue.area(1),
        used: queue.area(2),
        log: 0n,
      });
      connection.tell("SET_VRING_CALL", { index, none: false }, this.#call(queue.vector));
      connection.tell("SET_VRING_KICK", { index, none: false }, this.kick(index));
    }
    if (enables) {
      for (const [index] of used) connection.tell("SET_VRING_ENABLE", { index, value: 1 });
    }
    if (hasStatus) connection.tell("SET_STATUS", BigInt(this.#status));
  }

  #call(vector: number): number {
    const fd = this.#lent.vector(vector);
    if (fd !== undefined) return fd;
    if (this.#mute < 0) this.#mute = eventfd();
    return this.#mute;
  }

  /** The function is given back: nothing of the driver stays with the back-end. */
  leave(): void {
    this.reset();
    this.#tainted = false;
    for (const fd of this.#kicks.values()) close(fd);
    this.#kicks.clear();
    if (this.#mute >= 0) close(this.#mute);
    this.#mute = -1;
  }

  [Symbol.dispose](): void {
    this.leave();
    this.#hangUp();
    this.#listener?.close();
  }
}

const AREAS = [
  "queue_desc_low",
  "queue_desc_high",
  "queue_driver_low",
  "queue_driver_high",
  "queue_device_low",
  "queue_device_high",
] as const;

function word(bits: bigint, index: number): number {
  return index < 2 ? Number(bits >> BigInt(32 * index) & 0xffff_ffffn) : 0;
}
