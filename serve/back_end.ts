// The back-end of vhost-user: what each request does to the served device.

import { clearer, close, eventfd, setNonBlocking, signal } from "../core/linux/fd.ts";
import { kindOf } from "../core/linux/file_kind.ts";
import { UnfitMemory } from "../core/linux/foreign_memory.ts";
import { isEventCounter } from "../core/linux/name_of.ts";
import { sendNow } from "../core/linux/socket.ts";
import type { Loop } from "../core/irq/interrupt_loop.ts";
import { DeviceMemory } from "../simulation/device_memory.ts";
import type { Lie } from "../simulation/lie.ts";
import type { DeviceModel } from "../simulation/model.ts";
import { VirtioDevice } from "../simulation/virtio_device.ts";
import { readBytes } from "../simulation/read_bytes.ts";
import { VhostFault } from "../core/vhost/fault.ts";
import { encodeAnswer, encodeMessage } from "../core/vhost/message.ts";
import type { ConfigPart, InFlightMemory, MemoryRegion } from "../core/vhost/payload.ts";
import {
  BACK_END,
  F_PROTOCOL_FEATURES,
  FRONT_END,
  type Message,
  type ProtocolFeature,
  protocolFeatures,
} from "../core/vhost/protocol.ts";
import { DeviceStatus } from "../core/virtio/status.ts";
import { bit, Feature } from "../core/virtio/features.ts";
import { LARGEST_QUEUE, type QueueKind } from "../core/virtqueue/layout.ts";
import { exact } from "./exact.ts";
import { GuestMemory } from "./guest_memory.ts";
import { KeptNotes, makeNotes } from "./kept_notes.ts";
import { PlayedDriver } from "./played_driver.ts";
import { Ring } from "./ring.ts";
import type { Witness } from "./witness.ts";

const { FEATURES_OK, DEVICE_NEEDS_RESET } = DeviceStatus;

/** What goes back to the front-end. */
export interface Answer {
  /** The message. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** A descriptor that goes along, and is closed afterwards. */
  readonly descriptor?: number;
}

/** What a back-end finds around it. */
export interface Around {
  /** Waits for notifications. */
  readonly loop: Loop;
  /** Takes sentences for people. */
  readonly log: (line: string) => void;
  /** Rings that the front-end counts as one: 2 for a network device, whose queues come in pairs. */
  readonly unit: number;
  /** Sees what is done with the device. */
  readonly witness?: Witness;
}

/** The protocol features that it has. */
const OFFERED = protocolFeatures(
  "MQ",
  "REPLY_ACK",
  "BACKEND_REQ",
  "CONFIG",
  "INFLIGHT_SHMFD",
  "RESET_DEVICE",
  "CONFIGURE_MEM_SLOTS",
  "STATUS",
);

/** Messages that may come only if this was agreed. */
const NEEDS: Readonly<Partial<Record<string, keyof typeof ProtocolFeature>>> = {
  GET_QUEUE_NUM: "MQ",
  SET_BACKEND_REQ_FD: "BACKEND_REQ",
  GET_CONFIG: "CONFIG",
  SET_CONFIG: "CONFIG",
  GET_INFLIGHT_FD: "INFLIGHT_SHMFD",
  SET_INFLIGHT_FD: "INFLIGHT_SHMFD",
  RESET_DEVICE: "RESET_DEVICE",
  GET_MAX_MEM_SLOTS: "CONFIGURE_MEM_SLOTS",
  ADD_MEM_REG: "CONFIGURE_MEM_SLOTS",
  REM_MEM_REG: "CONFIGURE_MEM_SLOTS",
  SET_STATUS: "STATUS",
  GET_STATUS: "STATUS",
  NET_SET_MTU: "MTU",
};

/** Regions of memory that a guest may have. */
const MOST_REGIONS = 32;
/** Of bits 24 to 41, those that are about the ring and nothing around it. */
const RING_FEATURES: bigint = [
  Feature.INDIRECT_DESC,
  Feature.EVENT_IDX,
  Feature.VERSION_1,
  Feature.RING_PACKED,
  Feature.IN_ORDER,
].reduce((bits, feature) => bits | bit(feature), 0n);
const DEVICE_FEATURES: bigint = (1n << 24n) - 1n | ((1n << 64n) - (1n << 42n));
/** Where a ring begins that was never used: of a packed one, with both wrap counters set. */
const SPLIT_BEGIN = 0, PACKED_BEGIN = 0x80008000;
/** How often a ring is looked at whose driver does not notify, in milliseconds. */
const LOOK_MS = 1;

/**
 * The back-end of a vhost-user connection: a device model, for a guest whose machine is another program. The front-end
 * is not trusted, nor is the guest. It is there for one connection after another; between them it is as after power-on.
 */
export class BackEnd implements Disposable {
  readonly #model: DeviceModel;
  readonly #around: Around;
  readonly #lies: readonly Lie[];
  readonly #device: VirtioDevice;
  readonly #driver: PlayedDriver;
  readonly #rings: readonly Ring[];
  readonly #guest = new DeviceMemory();
  readonly #user = new DeviceMemory();
  readonly #memory = new GuestMemory([this.#guest, this.#user], MOST_REGIONS);
  readonly #send: (vector: number) => void;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  /** Signalled while there is more to do. */
  readonly #again = eventfd();
  #looking: ReturnType<typeof setInterval> | undefined;
  #offered = 0n;
  #features = 0n;
  #protocol = 0n;
  #status = 0;
  #channel = -1;
  #notes: KeptNotes | undefined;
  /** Whether a ring was started since the device was reset. */
  #used = false;
  #leaving = false;
  #closed = false;

  /** Makes the device. */
  constructor(model: DeviceModel, around: Around) {
    this.#model = model;
    this.#around = around;
    this.#lies = model.lies ?? [];
    this.#rings = model.queues.map((_, index) => new Ring(index));
    this.#device = new VirtioDevice(model, {
      memory: this.#guest,
      rings: this.#user,
      vectors: model.queues.length + 1,
      mayMaster: () => !this.#lies.some((lie) => lie.gone?.()),
      interrupt: (cause, vector) => this.#send(cause === "config" ? 0 : vector),
      failed: (error) => this.#failed(error),
      ...(around.witness && { seen: around.witness.seen }),
    });
    this.#driver = new PlayedDriver(this.#device);
    this.#send = this.#lies.reduce<(vector: number) => void>(
      (send, lie) => lie.interrupt ? (vector) => lie.interrupt!(vector, send) : send,
      (vector) => this.#interrupt(vector),
    );
    const clear = clearer(this.#again);
    around.loop.add(this.#again, () => {
      clear();
      this.#process();
    });
    for (const lie of this.#lies) {
      lie.attach?.({
        interrupt: (vector) => this.#interrupt(vector),
        needsReset: (why) => this.#device.needsReset(why),
        forget: () => this.#device.forget(),
        look: () => this.#look(),
        later: (ms, act) => this.#later(ms, act),
      });
    }
  }

  /** Whether a protocol feature was agreed. */
  has(name: keyof typeof ProtocolFeature): boolean {
    return (this.#protocol & protocolFeatures(name)) !== 0n;
  }

  /**
   * Does what a message says.
   *
   * @returns The answer, if it is a question.
   * @throws {VhostFault | UnfitMemory | DriverFault} If the front-end may not say that; the connection is to be ended.
   * Descriptors that came along are taken care of, whatever happens.
   */
  handle(message: Message<typeof FRONT_END>): Answer | undefined {
    const unused = new Set(message.descriptors);
    this.#around.witness?.heard(message.name, message.body);
    try {
      const need = NEEDS[message.name];
      if (need !== undefined && !this.has(need)) {
        throw new VhostFault(
          `${message.name} needs the protocol feature ${need}, which was not agreed`,
        );
      }
      return this.#handle(message, (fd) => {
        unused.delete(fd);
        return fd;
      });
    } finally {
      for (const fd of unused) close(fd);
    }
  }

  #handle(
    message: Message<typeof FRONT_END>,
    keep: (fd: number) => number,
  ): Answer | undefined {
    const [fd = -1] = message.descriptors;
    switch (message.name) {
      case "GET_FEATURES":
        return { bytes: encodeAnswer(FRONT_END.GET_FEATURES, this.#offer()) };
      case "SET_FEATURES":
        this.#setFeatures(message.body);
        return;
      case "GET_PROTOCOL_FEATURES":
        return { bytes: encodeAnswer(FRONT_END.GET_PROTOCOL_FEATURES, this.#protocolOffer) };
      case "SET_PROTOCOL_FEATURES":
        this.#protocol = known(message.body, this.#protocolOffer, "SET_PROTOCOL_FEATURES");
        return;
      case "SET_OWNER":
        return;
      case "RESET_OWNER":
        this.#stopAll();
        return;
      case "RESET_DEVICE":
        this.#stopAll();
        this.#reset();
        return;
      case "SET_STATUS":
        this.#setStatus(message.body);
        return;
      case "GET_STATUS":
        return { bytes: encodeAnswer(FRONT_END.GET_STATUS, BigInt(this.#readStatus())) };
      case "GET_QUEUE_NUM": {
        const count = Math.floor(this.#rings.length / this.#around.unit);
        return { bytes: encodeAnswer(FRONT_END.GET_QUEUE_NUM, BigInt(count)) };
      }
      case "GET_MAX_MEM_SLOTS":
        return { bytes: encodeAnswer(FRONT_END.GET_MAX_MEM_SLOTS, BigInt(MOST_REGIONS)) };
      case "SET_MEM_TABLE":
        this.#memory.replace(
          message.body.map((region, i) => place(region, message.descriptors[i]!)),
        );
        return;
      case "ADD_MEM_REG":
        this.#memory.add(place(message.body, fd));
        return;
      case "REM_MEM_REG":
        this.#removeRegion(message.body);
        return;
      case "SET_VRING_NUM":
      case "SET_VRING_BASE":
      case "SET_VRING_ADDR":
        this.#describe(message);
        return;
      case "GET_VRING_BASE": {
        const { index } = message.body;
        const ring = this.#ring(index);
        this.#halt(ring);
        return { bytes: encodeAnswer(FRONT_END.GET_VRING_BASE, { index, value: ring.base }) };
      }
      case "SET_VRING_KICK": {
        const ring = this.#ring(message.body.index);
        this.#listen(ring, this.#event(fd, keep, message.name));
        ring.started = true;
        if (ring.kick < 0) this.#looking ??= setInterval(() => this.#look(), LOOK_MS);
        // What was rung at the descriptor before may not have been heard.
        if (ring.running) this.#notified(ring.index);
        else this.#start(ring);
        return;
      }
      case "SET_VRING_CALL": {
        const ring = this.#ring(message.body.index);
        ring.take("call", this.#event(fd, keep, message.name));
        // A machine that unmasks a vector looks once more at the descriptor before, without waiting until this is read.
        if (ring.running) this.#send(ring.index + 1);
        return;
      }
      case "SET_VRING_ERR":
        this.#ring(message.body.index).take("error", this.#event(fd, keep, message.name));
        return;
      case "SET_VRING_ENABLE":
        this.#enable(message.body);
        return;
      case "SET_BACKEND_REQ_FD":
        if (kindOf(fd) !== "socket") throw new VhostFault(`SET_BACKEND_REQ_FD brought no socket`);
        if (this.#channel >= 0) close(this.#channel);
        this.#channel = keep(fd);
        return;
      case "GET_CONFIG":
        return { bytes: encodeAnswer(FRONT_END.GET_CONFIG, this.#readConfig(message.body)) };
      case "SET_CONFIG":
        this.#writeConfig(message.body);
        return;
      case "GET_INFLIGHT_FD":
        return this.#answerNotes(message.body);
      case "SET_INFLIGHT_FD": {
        this.#checkAllRest("SET_INFLIGHT_FD came");
        const notes = new KeptNotes(message.body, fd, this.#kind);
        this.#notes?.[Symbol.dispose]();
        this.#notes = notes;
        return;
      }
      case "NET_SET_MTU":
        return;
    }
  }

  /** A machine that has no use for a configuration may complain about one. */
  get #protocolOffer(): bigint {
    return this.#model.config ? OFFERED : OFFERED & ~protocolFeatures("CONFIG");
  }

  /** The features that it shows. Those around the ring are the machine's, which plays the registers. */
  #offer(): bigint {
    const shown = this.#driver.offered() & (DEVICE_FEATURES | RING_FEATURES) | F_PROTOCOL_FEATURES;
    // A device may lie, and say something else each time.
    this.#offered |= shown;
    return shown;
  }

  #setFeatures(features: bigint): void {
    this.#offer();
    known(features, this.#offered, "SET_FEATURES");
    if (features === this.#features) return;
    this.#checkAllRest("SET_FEATURES changes the features");
    this.#features = features;
    this.#reset();
  }

  /** The device as after power-on, with the features that were agreed. */
  #reset(): void {
    this.#used = false;
    this.#driver.begin(this.#features & ~F_PROTOCOL_FEATURES);
  }

  #setStatus(value: bigint): void {
    this.#status = Number(known(value, 0xffn, "SET_STATUS"));
    // The model forgets what was when a driver begins anew: a machine that is only stopped says 0, too.
    if (this.#status === 0) this.#stopAll();
  }

  #readStatus(): number {
    const own = this.#device.readField("device_status");
    const refused = this.#features !== 0n && !(own & FEATURES_OK);
    return this.#status & ~(refused ? FEATURES_OK : 0) | own & DEVICE_NEEDS_RESET;
  }

  #removeRegion({ guest, size, user }: MemoryRegion): void {
    const { addresses, size: bytes } = place({ guest, size, user, offset: 0n }, -1);
    if (this.#memory.remove(0, addresses[0]!, bytes) !== 1) {
      throw new UnfitMemory(`There is no region of ${size} bytes at 0x${guest.toString(16)}`);
    }
  }

  #ring(index: number): Ring {
    const ring = this.#rings[index];
    if (ring) return ring;
    throw new VhostFault(`Ring ${index} does not exist: the device has ${this.#rings.length}`);
  }

  #describe(
    message: Extract<
      Message<typeof FRONT_END>,
      { readonly name: "SET_VRING_NUM" | "SET_VRING_BASE" | "SET_VRING_ADDR" }
    >,
  ): void {
    const { name, body } = message;
    const ring = this.#ring(body.index);
    if (name === "SET_VRING_ADDR") {
      const areas = {
        descriptors: exact(body.descriptors, name),
        driver: exact(body.available, name),
        device: exact(body.used, name),
      };
      // Said again when writes are to be logged, for example.
      const same = ring.areas?.descriptors === areas.descriptors &&
        ring.areas.driver === areas.driver && ring.areas.device === areas.device;
      if (!same) this.#checkRests(ring, name);
      ring.areas = areas;
      return;
    }
    this.#checkRests(ring, name);
    if (name === "SET_VRING_BASE") ring.base = body.value;
    else if (body.value >= 1 && body.value <= LARGEST_QUEUE) ring.size = body.value;
    else throw new VhostFault(`Ring ${body.index} cannot have ${body.value} entries`);
  }

  #checkRests({ index, running }: Ring, name: string): void {
    if (running) throw new VhostFault(`${name} changes ring ${index} while it is at work`);
  }

  #checkAllRest(what: string): void {
    const running = this.#rings.findIndex(({ running }) => running);
    if (running >= 0) throw new VhostFault(`${what} while ring ${running} is at work`);
  }

  #enable({ index, value }: { readonly index: number; readonly value: number }): void {
    const ring = this.#ring(index);
    if (value > 1) throw new VhostFault(`SET_VRING_ENABLE says ${value}: it says 0 or 1`);
    ring.enabled = value === 1;
    if (ring.enabled) this.#start(ring);
    else this.#stop(ring);
  }

  /** An event counter that came along; −1 if none did. */
  #event(fd: number, keep: (fd: number) => number, name: string): number {
    if (fd < 0) return -1;
    if (!isEventCounter(fd)) {
      throw new VhostFault(`${name} brought a descriptor that is no eventfd`);
    }
    // Reading and writing must not wait for the other side.
    setNonBlocking(fd);
    return keep(fd);
  }

  /** Waits for notifications of a ring at another descriptor. */
  #listen(ring: Ring, kick: number): void {
    const { loop } = this.#around;
    if (ring.kick >= 0) loop.remove(ring.kick);
    ring.take("kick", kick);
    if (kick < 0) return;
    const clear = clearer(kick);
    loop.add(kick, () => {
      // Whatever keeps it readable, this thread does not turn for it alone.
      clear();
      this.#around.witness?.rung(ring.index);
      this.#notified(ring.index);
    });
  }

  #notified(index: number): void {
    this.#device.notify(index, index);
    this.#process();
  }

  #start(ring: Ring): void {
    const { index, size, areas, base } = ring;
    const enabled = ring.enabled || !(this.#features & F_PROTOCOL_FEATURES);
    if (ring.running || !ring.started || !enabled) return;
    if (size === 0 || !areas) {
      throw new VhostFault(`Ring ${index} cannot start: it has no size or no addresses`);
    }
    if (this.#begins()) this.#reset();
    this.#used = true;
    this.#device.resume(index, {
      size,
      areas,
      base,
      ...(this.#notes && { notes: (at, place) => this.#notes!.of(index, at, place, this.#kind) }),
    });
    ring.running = true;
    // Some machines never say DRIVER_OK; none starts a ring before its driver does.
    this.#driver.go();
    // What was used last may have been shown by a program that ended before it could interrupt.
    if (this.#notes || base !== this.#begin) this.#send(index + 1);
    this.#notified(index);
  }

  /** Whether a driver begins anew: all its rings are as they are at first, and were not before. */
  #begins(): boolean {
    return this.#used &&
      this.#rings.every(({ running, size, base }) =>
        !running && (size === 0 || base === this.#begin)
      );
  }

  /** Where a ring begins that was never used. */
  get #begin(): number {
    return this.#kind === "packed" ? PACKED_BEGIN : SPLIT_BEGIN;
  }

  /** The kind of the rings that was agreed. */
  get #kind(): QueueKind {
    return this.#features & bit(Feature.RING_PACKED) ? "packed" : "split";
  }

  #stop(ring: Ring): void {
    if (!ring.running) return;
    ring.running = false;
    const place = this.#device.pause(ring.index);
    if (!place) return;
    const { available, used } = place;
    ring.base = this.#kind === "packed" ? (used << 16 | available) >>> 0 : available;
  }

  /** Stops a ring until the front-end says anew how it notifies. */
  #halt(ring: Ring): void {
    this.#stop(ring);
    this.#listen(ring, -1);
    ring.started = false;
  }

  #stopAll(): void {
    clearInterval(this.#looking);
    this.#looking = undefined;
    for (const ring of this.#rings) this.#halt(ring);
  }

  #look(): void {
    this.#device.notifyAll();
    this.#process();
  }

  #process(): void {
    // More to do: others on this thread first.
    if (this.#device.process() && !this.#closed) signal(this.#again);
  }

  /** Interrupts the driver: vector 0 is the configuration's, the others are the rings'. */
  #interrupt(vector: number): void {
    const { witness } = this.#around;
    if (vector === 0) {
      if (this.#channel < 0) return;
      const sent = sendNow(this.#channel, encodeMessage(BACK_END.CONFIG_CHANGE_MSG, undefined));
      // The front-end is gone from there, or never reads: it is not told.
      if (sent > 0) return witness?.interrupted("a change of the configuration");
      close(this.#channel);
      this.#channel = -1;
      return;
    }
    const ring = this.#rings[vector - 1];
    if (!ring || ring.call < 0) return;
    witness?.interrupted(`the call of queue ${vector - 1}`);
    signal(ring.call);
  }

  #failed(error: Error): void {
    // A machine that has left takes its memory along.
    if (this.#leaving) return;
    this.#around.witness?.failed(error.message);
    this.#around.log(`the device needs a reset: ${error.message}`);
    for (const { error: fd, running } of this.#rings) if (running && fd >= 0) signal(fd);
  }

  #later(ms: number, act: () => void): void {
    if (this.#closed) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  /** The configuration as far as it goes, and zeroes. */
  #readConfig({ offset, flags, bytes: { length } }: ConfigPart): ConfigPart {
    const truth = this.#model.config ?? new Uint8Array(0);
    const shown = this.#lies.reduce((each, lie) => lie.deviceConfig?.(each) ?? each, truth);
    const bytes = new Uint8Array(length);
    bytes.set(shown.subarray(offset, offset + length));
    return { offset, flags, bytes };
  }

  #writeConfig({ offset, bytes }: ConfigPart): void {
    const { length } = bytes;
    const natural = (length === 2 || length === 4) && offset % length === 0;
    const width = natural ? length : 1;
    for (let at = 0; at < length; at += width) {
      this.#device.configWrite(offset + at, readBytes(bytes, at, width), width);
    }
  }

  #answerNotes(wanted: InFlightMemory): Answer {
    const { described, file } = makeNotes(wanted, this.#rings.length, this.#kind);
    return { bytes: encodeAnswer(FRONT_END.GET_INFLIGHT_FD, described), descriptor: file };
  }

  /** The connection has ended: everything is as after power-on, and nothing of the front-end's is left. */
  disconnect(): void {
    this.#leaving = true;
    this.#stopAll();
    for (const ring of this.#rings) {
      ring.take("call", -1);
      ring.take("error", -1);
      Object.assign(ring, new Ring(ring.index));
    }
    if (this.#channel >= 0) close(this.#channel);
    this.#channel = -1;
    this.#features = this.#offered = this.#protocol = 0n;
    this.#status = 0;
    this.#used = false;
    this.#driver.leave();
    this.#memory[Symbol.dispose]();
    this.#notes?.[Symbol.dispose]();
    this.#notes = undefined;
    this.#leaving = false;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.disconnect();
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#around.loop.remove(this.#again);
    close(this.#again);
  }
}

/** A set of bits that must all be in another one. */
function known(bits: bigint, offered: bigint, name: string): bigint {
  const more = bits & ~offered;
  if (more === 0n) return bits;
  throw new VhostFault(`${name} has bits that were not offered (0x${more.toString(16)})`);
}

function place({ guest, user, size, offset }: MemoryRegion, fd: number) {
  return {
    fd,
    offset: exact(offset, "A region"),
    size: exact(size, "A region"),
    addresses: [exact(guest, "A region"), exact(user, "A region")],
  };
}
