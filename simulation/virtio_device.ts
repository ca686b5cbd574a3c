// A VirtIO device around a model: status, features, queues.

import type { Registers, Width } from "../core/pci/registers.ts";
import {
  type Chain,
  type DeviceQueue,
  DriverFault,
  type HonestQueue,
  type RingPlace,
  type Taken,
} from "../core/virtqueue/device_queue.ts";
import { wrongSize } from "../core/virtqueue/layout.ts";
import { makeDeviceQueue } from "../core/virtqueue/make_device_queue.ts";
import { DeviceStatus } from "../core/virtio/status.ts";
import type { CommonField } from "./common_config.ts";
import { CommonRegisters, commonWindow } from "./common_registers.ts";
import type { BusMemory } from "./device_memory.ts";
import type { Lie } from "./lie.ts";
import {
  type DeviceCounters,
  type DeviceHandle,
  type DeviceModel,
  MACHINE_FEATURES,
  NOTIF_CONFIG_DATA,
  NOTIFICATION_DATA,
  OPTIONAL_FEATURES,
  RING_PACKED,
  RING_RESET,
  VERSION_1,
} from "./model.ts";
import { type Piece, PieceRequest } from "./piece_request.ts";
import { type Areas, canBe, findRing, type Ring } from "./ring.ts";
import { VirtioQueue } from "./virtio_queue.ts";

const { DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET } = DeviceStatus;

/** What a virtio device finds around it. */
export interface Surroundings {
  /** The memory that it can reach. */
  readonly memory: BusMemory;
  /** Where it finds its rings, if their addresses are others; the same memory if absent. */
  readonly rings?: BusMemory;
  /** Number of MSI-X vectors. */
  readonly vectors: number;
  /** Whether it may read and write memory now. */
  mayMaster(): boolean;
  /** Interrupts the driver, by a vector if it is one (4.1.5.1.2). */
  interrupt(cause: "queue" | "config", vector: number): void;
  /** The device needs a reset because of `error`. */
  failed(error: Error): void;
  /** Stands at the ring of queue `index`, which a driver has set up: to see what is taken and put there. Nothing does if absent. */
  readonly seen?: (queue: DeviceQueue, ring: Ring, index: number) => DeviceQueue;
}

/** Requests of a queue answered in one go, so that a driver that never stops asking does not hold up others. */
const MOST_AT_ONCE = 1024;

/** How a queue is taken up that was in use already. */
export interface Resumed {
  /** Number of entries. */
  readonly size: number;
  /** Where its areas are. */
  readonly areas: Areas;
  /** How far it has come: {@linkcode RingPlace.available}, and of a packed ring `used` in the upper 16 bits. */
  readonly base: number;
  /**
   * Says what was noted of the ring by a device that is no more, if there are notes, and how to note more.
   *
   * @param place Where the ring is by {@linkcode base}; of a split ring `used` is what stands in it.
   */
  readonly notes?: (ring: Ring, place: RingPlace) => Notes | undefined;
}

/** Notes about the requests of a ring that a device has taken. */
export interface Notes {
  /** Where the ring is to be gone on with. */
  readonly place: RingPlace;
  /** The requests that it had when it ended, in the order in which it took them. */
  readonly taken: readonly Taken[];
  /** Keeps notes about what is taken and put from now on. */
  keep(honest: HonestQueue): DeviceQueue;
}

/** Why a model said that its device needs a reset. */
export class NeedsReset extends Error {
  override readonly name = "NeedsReset";
}

/** A virtio device around a model: status, features and queues (virtio 1.4, 2 and 4.1.4.3). */
export class VirtioDevice implements DeviceHandle {
  /** The common configuration structure. */
  readonly common: Registers;
  readonly counters: DeviceCounters = { notifications: 0, wrongNotifications: 0 };

  readonly #model: DeviceModel;
  readonly #around: Surroundings;
  readonly #lies: readonly Lie[];
  /** What it really offers. */
  readonly #truth: bigint;
  #status = 0;
  #features = 0n;
  /** Whether the driver uses the legacy interface: there is no FEATURES_OK then, and no VERSION_1. */
  #isLegacy = false;
  readonly #registers: CommonRegisters<VirtioQueue>;
  readonly #queues: VirtioQueue[];
  /** The queue that is being looked at: it shows what was answered when that is over. */
  #serving: VirtioQueue | undefined;
  /** Queues whose answers are to be shown together. */
  #together: Set<VirtioQueue> | undefined;

  /** Makes the device as it is after power-on. */
  constructor(model: DeviceModel, around: Surroundings) {
    this.#model = model;
    this.#around = around;
    this.#lies = model.lies ?? [];
    this.#truth = this.#offer();
    this.#queues = model.queues.map((_, index) => this.#powerOn(index));
    this.#registers = new CommonRegisters({
      queues: () => this.#queues,
      vectors: () => around.vectors,
      offered: () => this.#lies.reduce((bits, lie) => lie.features?.(bits) ?? bits, this.#truth),
      status: () => this.#status,
      writeStatus: (value) => this.#writeStatus(value),
      accepted: () => {
        // For a legacy driver, what is written counts (3.1.2).
        if (this.#isLegacy) this.#features = this.#registers.accepted & this.#truth;
      },
      takesSize: (queue, size) => this.#canHave(queue, size),
      enable: (queue, index) => this.#enable(queue, index),
      resetQueue: (index) => this.#resetQueue(index),
      notifConfigData: (index) => this.features & NOTIF_CONFIG_DATA ? notifConfigData(index) : 0,
    });
    this.common = commonWindow(this);
    model.attach?.(this);
  }

  get features(): bigint {
    return this.#features;
  }

  configChanged(): void {
    this.#registers.configChanged();
    if (this.#status & DRIVER_OK) {
      this.#around.interrupt("config", this.#registers.configVector);
    }
  }

  atOnce(act: () => void): void {
    if (this.#together) return act();
    const queues = this.#together = new Set<VirtioQueue>();
    try {
      act();
    } finally {
      this.#together = undefined;
      for (const queue of queues) {
        if (queue.device && queue !== this.#serving && this.#hasRing(queue)) this.#publish(queue);
      }
    }
  }

  needsReset(why: string): void {
    this.#fail(new NeedsReset(why));
  }

  /** The driver wrote `value` to the notification register of queue number `index` (4.1.5.2). */
  notify(index: number, value: number): void {
    this.counters.notifications++;
    const queue = this.#queues[index];
    if (!queue || !this.#live() || !this.#isRight(index, queue, value)) {
      this.counters.wrongNotifications++;
    }
    if (queue) queue.rung = true;
  }

  #isRight(index: number, { ring, consumed }: VirtioQueue, value: number): boolean {
    if (!ring) return false;
    const name = this.features & NOTIF_CONFIG_DATA ? notifConfigData(index) : index;
    if (!(this.features & NOTIFICATION_DATA)) return value === name;
    return (value & 0xffff) === name && canBe(ring, value >>> 16, consumed);
  }

  /** As if the driver had notified the device of every queue. */
  notifyAll(): void {
    for (const queue of this.#queues) queue.rung = true;
  }

  /**
   * Looks at every queue that it was notified of, and answers what is there.
   *
   * @returns Whether there may be more: call again soon.
   */
  process(): boolean {
    let more = false;
    this.#guard(() => {
      for (const [index, queue] of this.#queues.entries()) {
        // What comes before the device may look is not forgotten: it may soon.
        if (!queue.rung || !this.#live()) continue;
        queue.rung = false;
        queue.consumed = 0;
        if (queue.ring) queue.rung = this.#serve(index, queue);
        more ||= queue.rung;
      }
    });
    this.#serving = undefined;
    return more && this.#live();
  }

  /** The driver uses the legacy interface, until the next reset. */
  becomeLegacy(): void {
    this.#isLegacy = true;
  }

  /** Back to the state after power-on (2.4). */
  reset(): void {
    this.forget();
    this.#guard(() => this.#model.reset?.());
  }

  /** The same, and not even the model is told. */
  forget(): void {
    this.#status = 0;
    this.#registers.reset();
    this.#features = 0n;
    this.#isLegacy = false;
    for (const index of this.#queues.keys()) this.#queues[index] = this.#powerOn(index);
  }

  /** The driver wrote into the device-specific configuration. */
  configWrite(offset: number, value: number, width: Width): void {
    this.#guard(() => this.#model.configWrite?.(offset, value, width));
  }

  #offer(): bigint {
    const { features = 0n, with: more = 0n, without = 0n } = this.#model;
    const all = this.#lies.reduce(
      (bits, lie) => (bits | (lie.with ?? 0n)) & ~(lie.without ?? 0n),
      (MACHINE_FEATURES & ~without) | more,
    );
    return features | all & (MACHINE_FEATURES | OPTIONAL_FEATURES);
  }

  #powerOn(index: number): VirtioQueue {
    const largest = this.#model.queues[index]!;
    return new VirtioQueue(
      this.#lies.reduce((size, lie) => lie.queueSize?.(index, size) ?? size, largest),
    );
  }

  /** Nothing is consumed before DRIVER_OK (2.1.2), nor after the device failed. */
  #live(): boolean {
    return (this.#status & (DRIVER_OK | DEVICE_NEEDS_RESET)) === DRIVER_OK &&
      this.#around.mayMaster();
  }

  #serve(index: number, queue: VirtioQueue): boolean {
    const device = queue.device!;
    this.#serving = queue;
    // A model may reset or fail its device while it answers.
    const mayGoOn = () => queue === this.#queues[index] && this.#live() && this.#hasRing(queue);
    let budget = MOST_AT_ONCE;
    do {
      while (budget > 0 && mayGoOn() && this.#take(queue)) {
        budget--;
        queue.consumed += queue.chain.count;
        const request = this.#request(queue, mayGoOn);
        const written = this.#model.handle(index, request);
        if (written !== undefined) request.complete(written);
      }
      if (mayGoOn()) this.#publish(queue);
    } while (budget > 0 && mayGoOn() && device.arm());
    return budget === 0;
  }

  #take({ chain, device, again }: VirtioQueue): boolean {
    const first = again.shift();
    if (!first) return device!.take(chain);
    first(chain);
    return true;
  }

  #request(queue: VirtioQueue, mayGoOn: () => boolean): PieceRequest {
    const { head, readable } = queue.chain;
    const { memory } = this.#around;
    const pieces: Piece[] = [];
    const toRead = this.#pieces(queue.chain, 0, readable, pieces);
    this.#pieces(queue.chain, readable, queue.chain.count, pieces);
    // A model may hold it for long, and the chain is of the next request by then.
    const number = queue.begin(queue.chain);
    const own = queue.outAs(number)!;
    let version = memory.version;
    const isThere = () => {
      if (!mayGoOn()) return false;
      if (version === memory.version) return true;
      const now: Piece[] = [];
      this.#guard(() => this.#pieces(own, 0, own.count, now));
      if (!mayGoOn()) return false;
      if (!now.every((piece, i) => samePlace(piece, pieces[i]))) {
        this.#fail(new DriverFault("The buffers of a request were put elsewhere"));
        return false;
      }
      version = memory.version;
      return true;
    };
    return new PieceRequest(
      pieces,
      toRead,
      (written) => {
        if (!mayGoOn()) return;
        queue.end(number);
        queue.device!.put(head, written);
        if (this.#together) this.#together.add(queue);
        else if (this.#serving !== queue) this.#publish(queue);
      },
      isThere,
    );
  }

  /** Adds the buffers of a chain, from one up to another, to `pieces`. Returns how many there are then. */
  #pieces(
    { address, length, readable }: Pick<Chain, "address" | "length" | "readable">,
    from: number,
    to: number,
    pieces: Piece[],
  ): number {
    for (let i = from; i < to; i++) {
      this.#around.memory.pieces(address[i]!, length[i]!, i >= readable, pieces);
    }
    return pieces.length;
  }

  #publish(queue: VirtioQueue): void {
    if (queue.device!.publish()) this.#around.interrupt("queue", queue.vector);
  }

  /** Whether the ring of a queue is where it was: what the device could reach may have been taken away. */
  #hasRing(queue: VirtioQueue): boolean {
    const { memory } = this.#around;
    if (!queue.ring) return false;
    if (queue.version === memory.version) return true;
    this.#guard(() => {
      const ring = this.#findRing(queue);
      if (!sameRing(ring, queue.ring!)) {
        throw new DriverFault("The ring of a queue was put elsewhere");
      }
      queue.version = memory.version;
    });
    return this.#live();
  }

  /** What driver and model do wrong is the device's end, not that of the core that touched it. */
  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #fail(error: Error): void {
    if (this.#status & DEVICE_NEEDS_RESET) return;
    this.#status |= DEVICE_NEEDS_RESET;
    this.#around.failed(error);
    if (this.#status & DRIVER_OK) {
      this.#around.interrupt("config", this.#registers.configVector);
    }
  }

  /** What a field of the common configuration reads as. */
  readField(field: CommonField): number {
    const truth = this.#registers.read(field);
    return this.#lies.reduce((value, lie) => lie.read?.(field, value) ?? value, truth);
  }

  /** Writes a field of the common configuration. */
  writeField(field: CommonField, value: number): void {
    const said = this.#lies.reduce((value, lie) => lie.write?.(field, value) ?? value, value);
    this.#registers.write(field, said);
  }

  #writeStatus(value: number): void {
    if (value === 0) return this.reset();
    const next = (value & ~DEVICE_NEEDS_RESET) | (this.#status & DEVICE_NEEDS_RESET);
    this.#status = this.#isLegacy ? next : this.#checked(next);
    if (!this.#isLegacy) {
      this.#features = this.#status & FEATURES_OK ? this.#registers.accepted : 0n;
    }
  }

  /** Takes out of a new status what the device refuses: FEATURES_OK (3.1.1), and DRIVER_OK without it. */
  #checked(status: number): number {
    if (status & FEATURES_OK && !(this.#status & FEATURES_OK)) {
      const { accepted } = this.#registers;
      const needed = VERSION_1 | (this.#model.insists ?? 0n);
      if (accepted & ~this.#truth || needed & ~accepted) status &= ~FEATURES_OK;
    }
    return status & FEATURES_OK ? status : status & ~DRIVER_OK;
  }

  /** Only packed rings may have a size that is no power of two (2.7, 2.8.10.1). */
  #canHave(queue: VirtioQueue, size: number): boolean {
    if (size > queue.largest) return false;
    return !wrongSize(size, this.features & RING_PACKED ? "packed" : "split");
  }

  #enable(queue: VirtioQueue, index: number): void {
    this.#guard(() => {
      if (!(this.#status & FEATURES_OK) && !this.#isLegacy) {
        throw new DriverFault("A queue was enabled before the features were agreed");
      }
      const ring = this.#findRing(queue);
      const honest = makeDeviceQueue(ring.kind, ring);
      queue.enable(ring, honest, this.#before(honest, ring, index));
      queue.version = this.#around.memory.version;
    });
  }

  #findRing({ size, addresses }: VirtioQueue): Ring {
    const { memory, rings = memory } = this.#around;
    return findRing(memory, size, addresses, this.features, rings);
  }

  /** What stands before a ring: what sees it as it is, and lies. */
  #before(honest: DeviceQueue, ring: Ring, index: number): DeviceQueue {
    const seen = this.#around.seen?.(honest, ring, index) ?? honest;
    return this.#lies.reduce((queue, lie) => lie.queue?.(queue, ring) ?? queue, seen);
  }

  /**
   * Enables a queue whose ring may be in use already, where another device or this one has left it: what migration,
   * and a machine that is stopped for a while, ask of a device.
   *
   * @throws {DriverFault} If the ring cannot be there.
   */
  resume(index: number, { size, areas, base, notes }: Resumed): void {
    if (!(this.#status & FEATURES_OK) && !this.#isLegacy) {
      throw new DriverFault("A ring was started before the features were agreed");
    }
    const { left } = this.#queues[index]!;
    const queue = this.#queues[index] = this.#powerOn(index);
    const wrong = wrongSize(size, this.features & RING_PACKED ? "packed" : "split");
    if (wrong) throw new DriverFault(`Ring ${index} cannot have ${size} entries: ${wrong}`);
    queue.size = size;
    queue.addresses = areas;
    queue.vector = this.#registers.vector(index + 1);
    const ring = this.#findRing(queue);
    queue.version = this.#around.memory.version;
    const packed = ring.kind === "packed";
    const used = packed
      ? base >>> 16
      : Atomics.load(new Uint16Array(ring.memory), ring.device / 2 + 1);
    const goesOn = left && (base & 0xffff) === left.place.available &&
      used === left.place.used && sameRing(ring, left.ring);
    if (goesOn) {
      queue.enable(left.ring, left.honest, left.device);
      queue.again = left.requests.map((request) => (chain) => copyChain(request, chain));
      return;
    }
    const place = { available: base & 0xffff, used };
    const noted = notes?.(ring, place);
    const honest = makeDeviceQueue(ring.kind, { ...ring, from: noted?.place ?? place });
    queue.enable(ring, honest, this.#before(noted?.keep(honest) ?? honest, ring, index));
    queue.again = (noted?.taken ?? []).map((taken) => (chain) => honest.takeAgain(chain, taken));
  }

  /**
   * Leaves a queue: nothing is taken from its ring or shown there any more.
   *
   * @returns How far it has come, as {@linkcode resume} wants it. Requests that are out are as if they had not been
   * taken, unless others have overtaken them; those are given to the model anew when the ring is taken up there.
   * Undefined if it was not enabled.
   */
  pause(index: number): RingPlace | undefined {
    const queue = this.#queues[index];
    if (!queue?.ring) return undefined;
    this.#guard(() => {
      if (this.#hasRing(queue)) this.#publish(queue);
    });
    const { ring, honest, device } = queue;
    const { used, available } = honest!.place;
    const overtaken = queue.overtaken && !ring.inOrder;
    const place = { available: overtaken ? available : used, used };
    const fresh = this.#queues[index] = this.#powerOn(index);
    if (overtaken) {
      fresh.left = { ring, honest: honest!, device: device!, place, requests: queue.out };
    }
    if (queue.out.length > 0) this.#guard(() => this.#model.queueReset?.(index));
    return place;
  }

  #resetQueue(index: number): void {
    if (!this.#isLegacy && !(this.features & RING_RESET)) return;
    this.#queues[index] = this.#powerOn(index);
    this.#guard(() => this.#model.queueReset?.(index));
  }
}

/** By what a queue is called in notifications under VIRTIO_F_NOTIF_CONFIG_DATA: anything but its index. */
function notifConfigData(index: number): number {
  return index ^ 0x5a5a;
}

/** Fills a chain with another one, which has no more buffers than it has room for. */
function copyChain(from: Chain, into: Chain): void {
  into.head = from.head;
  into.count = from.count;
  into.readable = from.readable;
  into.address.set(from.address);
  into.length.set(from.length);
}

function samePlace(one: Piece, other: Piece | undefined): boolean {
  return one.buffer === other?.buffer && one.byteOffset === other.byteOffset &&
    one.length === other.length;
}

function sameRing(one: Ring, other: Ring): boolean {
  return one.kind === other.kind && one.size === other.size && one.memory === other.memory &&
    one.descriptors === other.descriptors &&
    one.driver === other.driver && one.device === other.device;
}
