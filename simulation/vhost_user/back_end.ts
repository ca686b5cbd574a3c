// A back-end behind the registers of a VirtIO function.

import type { Loop } from "../../core/irq/interrupt_loop.ts";
import { clear, close, eventfd, signal } from "../../core/linux/fd.ts";
import { accept, connectUnix, listenUnix, type UnixListener } from "../../core/linux/socket.ts";
import { OsError } from "../../core/linux/os_error.ts";
import type { DmaMemory } from "../../core/pci/function.ts";
import type { Registers, Width } from "../../core/pci/registers.ts";
import { DeviceStatus } from "../../core/virtio/status.ts";
import { VhostFault } from "../../core/vhost/fault.ts";
import { F_PROTOCOL_FEATURES } from "../../core/vhost/protocol.ts";
import type { CommonField } from "../common_config.ts";
import { CommonQueue, CommonRegisters, commonWindow } from "../common_registers.ts";
import { RING_PACKED, VERSION_1 } from "../model.ts";
import type { Surroundings } from "../virtio_device.ts";
import type { VirtioCore } from "../virtio_pci.ts";
import { HungUp } from "./connection.ts";
import { OwnQueue } from "./own_queue.ts";
import { type BackEndFacts, type ControlQueue, Session } from "./session.ts";

const { DRIVER_OK, FEATURES_OK } = DeviceStatus;
/** Where an empty packed ring begins: both wrap counters are 1 (docs/interop/vhost-user.rst). */
const PACKED_BASE = 0x8000_8000;
/** A back-end that serves one at a time may not have noticed yet that we hung up; each try waits longer, 3 s in all. */
const TRIES = 20, AGAIN_MS = 15;
/** How long one that connects to us is waited for, in milliseconds. */
const PATIENCE_MS = 5000;

/** What the place of a back-end on the bus lends it. */
export interface Lent {
  /** What waits for what it says. */
  readonly loop: Loop;
  /** The memory that the device is to reach. */
  memories(): readonly DmaMemory[];
  /** The eventfd of an interrupt vector; undefined if there is none. */
  vector(index: number): number | undefined;
}

/** A queue as the driver has set it up. */
class Queue extends CommonQueue {
  enabled = false;

  /** One of its three addresses, whatever stands there. */
  area(index: number): bigint {
    return BigInt(this.areas[2 * index]!) | BigInt(this.areas[2 * index + 1]!) << 32n;
  }
}

/**
 * A back-end behind the registers of a VirtIO function: what the driver writes becomes messages. They are said one after the
 * other, and nothing waits for them but what asks to be told when they have reached it ({@linkcode settled}).
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
  /** What it was like at first. */
  readonly #first: Session;
  #config: Uint8Array<ArrayBuffer>;
  /** Aborted when it is left while it is being connected to. */
  #left: AbortController | undefined;
  /** Ends when all that there was to say is said. */
  #talk: Promise<void> = Promise.resolve();
  /** Why there is no session, if that is not by our doing. */
  #lost: string | undefined;
  /** Whether a back-end that was left may still reach the memory. */
  #tainted = false;
  #status = 0;
  readonly #registers: CommonRegisters<Queue>;
  #queues: Queue[] = [];
  /** Our side of the queue by which a driver says how many units it uses. */
  #own: OwnQueue | undefined;

  /**
   * Connects.
   *
   * @throws {VhostFault} If what is there is no back-end of this type.
   * @throws {OsError} If nothing is there.
   */
  static async open(facts: BackEndFacts, lent: Lent): Promise<BackEnd> {
    const listener = facts.listen ? listenUnix(facts.socket) : undefined;
    let backEnd: BackEnd | undefined;
    try {
      const lose = (error: VhostFault) => {
        if (backEnd) backEnd.#lose(error);
      };
      const session = await meet(facts, lent.loop, listener, lose);
      return backEnd = new BackEnd(facts, lent, listener, session);
    } catch (error) {
      listener?.close();
      throw error;
    }
  }

  private constructor(
    facts: BackEndFacts,
    lent: Lent,
    listener: UnixListener | undefined,
    session: Session,
  ) {
    this.facts = facts;
    this.#lent = lent;
    this.#listener = listener;
    this.#first = session;
    this.#config = session.config;
    const { control } = session;
    this.queues = [
      ...Array.from({ length: session.queues }, () => facts.queueSize),
      ...control ? [control.size] : [],
    ];
    this.#registers = new CommonRegisters({
      queues: () => this.#queues,
      vectors: () => this.#around.vectors,
      offered: () => this.#first.features,
      status: () => this.#status,
      writeStatus: (value) => this.#writeStatus(value),
      takesSize: (_, size) => size <= facts.queueSize,
      enable: (queue) => queue.enabled = true,
    });
    this.#begin(session);
    this.#forget();
    this.common = commonWindow(this);
  }

  /** It is put into its place. */
  attach(around: Surroundings): this {
    this.#around = around;
    return this;
  }

  /** Why it cannot be reached, if so. */
  get lost(): string | undefined {
    return this.#lost;
  }

  /** The device-specific configuration. */
  get config(): Uint8Array<ArrayBuffer> {
    return this.#config;
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

  /**
   * Waits until all that was written to the registers has reached the back-end. One that is not connected is, and looked
   * at whether it is what it was; else its configuration is asked for anew. Where any of that fails, {@linkcode lost}
   * says why.
   */
  async settled(): Promise<void> {
    this.#talk = this.#talk.then(() => this.#connect());
    if (!(this.#status & DRIVER_OK)) this.#say((session) => this.#refresh(session));
    for (let talk; talk !== this.#talk;) await (talk = this.#talk);
  }

  async #connect(): Promise<void> {
    if (this.#session) return;
    const left = this.#left = new AbortController();
    try {
      const { facts } = this;
      let lose = (_: VhostFault) => {};
      const ended = (error: VhostFault) => lose(error);
      const session = await meet(facts, this.#lent.loop, this.#listener, ended, left.signal);
      const { features, queues } = session;
      if (features !== this.#first.features || queues !== this.#first.queues) {
        session[Symbol.dispose]();
        throw new VhostFault("it came back with other features or queues than before");
      }
      this.#lost = undefined;
      lose = (error) => {
        if (session === this.#session) this.#lose(error);
      };
      this.#begin(session);
    } catch (error) {
      if (!left.signal.aborted) this.#lose(error as Error);
    } finally {
      this.#left = undefined;
    }
  }

  #begin(session: Session): void {
    this.#session = session;
    this.#config = session.config;
    const { channel } = session;
    if (channel === undefined) return;
    let isToAsk = false;
    this.#lent.loop.add(channel, () => {
      if (!session.hear()) return this.#lent.loop.remove(channel);
      // However often it says that something has changed, it is asked once.
      if (isToAsk) return;
      isToAsk = true;
      this.#say((session) => {
        isToAsk = false;
        return this.#refresh(session);
      });
    });
  }

  /** Asks anew what the device is like. */
  async #refresh(session: Session): Promise<void> {
    if (await session.refresh()) this.#changed(session.config);
  }

  #changed(config: Uint8Array<ArrayBuffer>): void {
    this.#config = config;
    this.#registers.configChanged();
    if (this.#status & DRIVER_OK) {
      this.#around.interrupt("config", this.#registers.configVector);
    }
  }

  /** Says something after all that is being said, unless there is none to hear it then. */
  #say(act: (session: Session) => Promise<void>): void {
    const begun = this.#session;
    this.#talk = this.#talk.then(async () => {
      const session = this.#session;
      if (!session || begun && begun !== session) return;
      try {
        await act(session);
      } catch (error) {
        if (session === this.#session) this.#lose(error as Error);
      }
    });
  }

  #lose(error: Error): void {
    this.#lost = `${this.facts.name}: ${error.message}`;
    this.#hangUp();
    this.#around?.failed(new VhostFault(this.#lost));
  }

  #hangUp(): void {
    this.#left?.abort(new HungUp("it was left"));
    this.#own = undefined;
    const session = this.#session;
    if (!session) return;
    this.#session = undefined;
    if (session.channel !== undefined) this.#lent.loop.remove(session.channel);
    session[Symbol.dispose]();
    if (this.#status & DRIVER_OK) this.#tainted = true;
  }

  /** Drivers ring the eventfd, and what does not know of it the register. */
  notify(index: number): void {
    if (index < this.#queues.length) signal(this.kick(index));
  }

  notifyAll(): void {
    for (const index of this.#queues.keys()) this.notify(index);
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
    this.#registers.reset();
    this.#queues = this.queues.map((size) => new Queue(size));
  }

  configWrite(offset: number, value: number, width: Width): void {
    const bytes = new Uint8Array(new Uint32Array([value]).buffer).slice(0, width);
    if (offset + width > this.#config.length) return;
    this.#config = this.#config.slice();
    this.#config.set(bytes, offset);
    this.#say(async (session) => {
      await session.write(offset, bytes);
      await this.#refresh(session);
    });
  }

  readField(field: CommonField): number {
    return this.#registers.read(field);
  }

  writeField(field: CommonField, value: number): void {
    this.#registers.write(field, value);
  }

  #writeStatus(value: number): void {
    if (value === 0) return this.reset();
    // One that is made quiet, and not used again, is left alone.
    if (this.#status === 0) {
      if (!this.#session) this.#lost = undefined;
      this.#talk = this.#talk.then(() => this.#connect());
    }
    const rising = value & ~this.#status;
    if (rising & FEATURES_OK) {
      const { accepted } = this.#registers;
      if (accepted & ~this.#first.features || !(accepted & VERSION_1)) value &= ~FEATURES_OK;
    }
    if (!(value & FEATURES_OK)) value &= ~DRIVER_OK;
    this.#status = value;
    if (value & rising & DRIVER_OK) this.#say((session) => this.#start(session));
  }

  /** Shows the back-end memory and rings, and has it begin. */
  async #start({ connection, enables, hasStatus, invented, control }: Session): Promise<void> {
    const features = this.#registers.accepted;
    const status = BigInt(this.#status);
    await connection.tell(
      "SET_FEATURES",
      features & ~invented | (enables ? F_PROTOCOL_FEATURES : 0n),
    );
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
    await connection.tell("SET_MEM_TABLE", regions, ...fds);
    const base = features & RING_PACKED ? PACKED_BASE : 0;
    for (const [index, queue] of this.#used) {
      await connection.tell("SET_VRING_NUM", { index, value: queue.size });
      await connection.tell("SET_VRING_BASE", { index, value: base });
      await connection.tell("SET_VRING_ADDR", {
        index,
        flags: 0,
        descriptors: queue.area(0),
        available: queue.area(1),
        used: queue.area(2),
        log: 0n,
      });
      await connection.tell("SET_VRING_CALL", { index, none: false }, this.#call(queue.vector));
      await connection.tell("SET_VRING_KICK", { index, none: false }, this.kick(index));
    }
    // Of several units one is in use until the driver says how many.
    const several = control !== undefined && (features & control.several) !== 0n;
    await this.#useUnits(several ? 1 : Infinity, 0);
    if (hasStatus) await connection.tell("SET_STATUS", status);
    if (control && several) this.#serve(control);
  }

  /** The queues that the driver uses, but for our own. */
  get #used(): [index: number, queue: Queue][] {
    const all = [...this.#queues.slice(0, this.#first.queues).entries()];
    return all.filter(([, queue]) => queue.enabled);
  }

  /** Has the back-end use so many units, where `before` are in use. */
  async #useUnits(units: number, before: number): Promise<void> {
    const session = this.#session;
    if (!session?.enables) return;
    const { unit = 1 } = this.facts;
    for (const [index] of this.#used) {
      const on = index < units * unit;
      if (on === index < before * unit) continue;
      await session.connection.tell("SET_VRING_ENABLE", { index, value: on ? 1 : 0 });
    }
  }

  /** Answers what the driver says by the queue that the back-end knows nothing of. */
  #serve(control: ControlQueue): void {
    const index = this.#first.queues;
    const queue = this.#queues[index]!;
    if (!queue.enabled) return;
    const { unit = 1 } = this.facts;
    let inUse = 1;
    const use = (units: number) => {
      if (units < 1 || units * unit > this.#first.queues) return false;
      const before = inUse;
      inUse = units;
      this.#say(() => this.#useUnits(units, before));
      return true;
    };
    const own = this.#own = new OwnQueue(
      this.#lent.memories(),
      queue.size,
      queue.addresses,
      this.#registers.accepted,
      (command) => control.answer(command, use),
    );
    const kick = this.kick(index);
    const serve = () => {
      if (own !== this.#own) return;
      try {
        if (own.serve()) this.#around.interrupt("queue", queue.vector);
      } catch (error) {
        this.#lose(error as Error);
      }
    };
    this.#lent.loop.add(kick, () => {
      clear(kick);
      serve();
    });
    serve();
  }

  #call(vector: number): number {
    const fd = this.#lent.vector(vector);
    if (fd !== undefined) return fd;
    if (this.#mute < 0) this.#mute = eventfd();
    return this.#mute;
  }

  /** The function is given back: nothing of the driver stays with the back-end. */
  leave(): void {
    this.#left?.abort(new HungUp("it was left"));
    this.reset();
    this.#tainted = false;
    for (const fd of this.#kicks.values()) {
      this.#lent.loop.remove(fd);
      close(fd);
    }
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

/** Gets to know a back-end, which may be busy with the one before us. */
async function meet(
  facts: BackEndFacts,
  loop: Loop,
  listener: UnixListener | undefined,
  ended: (error: VhostFault) => void,
  left?: AbortSignal,
): Promise<Session> {
  for (let tries = 1;; tries++) {
    try {
      const fd = listener ? await come(listener, loop, left) : connectUnix(facts.socket);
      return await Session.open(fd, facts, loop, ended, left);
    } catch (error) {
      left?.throwIfAborted();
      const busy = error instanceof HungUp || error instanceof OsError && error.code === "EAGAIN";
      if (!busy || tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, tries * AGAIN_MS));
    }
  }
}

/** Waits for one that connects to us. */
async function come({ fd }: UnixListener, loop: Loop, left?: AbortSignal): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, PATIENCE_MS);
  left?.addEventListener("abort", () => resolve());
  loop.add(fd, resolve);
  await promise;
  clearTimeout(timer);
  loop.remove(fd);
  left?.throwIfAborted();
  const connection = accept(fd);
  if (connection >= 0) return connection;
  throw new VhostFault(`it did not connect within ${PATIENCE_MS} ms`);
}
