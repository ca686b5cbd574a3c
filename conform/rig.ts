import { deviceAddress } from "../core/dma/address_table.ts";
import { clear } from "../core/linux/fd.ts";
import { mapShared } from "../core/linux/memory.ts";
import type { DmaMemory, OpenFunction } from "../core/pci/function.ts";
import { subRegisters } from "../core/pci/registers.ts";
import type { Registers } from "../core/pci/registers.ts";
import { findStructures, type Structures } from "../core/virtio/capabilities.ts";
import { bit, Feature, has } from "../core/virtio/features.ts";
import { DeviceStatus } from "../core/virtio/status.ts";
import { NO_VECTOR } from "../core/virtio/transport.ts";
import { DESCRIPTOR_BYTES } from "../core/virtqueue/layout.ts";
import { must, needs, wedged } from "./check.ts";
import { COMMON } from "./common.ts";
import { Random } from "./random.ts";
import { type Part, RawRing, type RingPlace } from "./ring.ts";

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK, DEVICE_NEEDS_RESET } = DeviceStatus;

/** Bytes of memory that a device is checked with. */
export const ARENA_BYTES = 1 << 20;
const PAGE = 4096;
/** What the status of a device reads as that is no more. */
const GONE = 0xff;
/** Interrupts that are asked for: of the configuration, and of queues. */
const VECTORS = 4;
/** Milliseconds between two looks. */
const PAUSE = 1;
/** Device type of a network card (5.1.1). */
const NETWORK = 1;
/** Entries of the rings of checks that want no other number: few, so that they wrap. */
export const USUAL_SIZE = 8;

/** What the rig of a device stands on. */
export interface RigParts {
  readonly device: OpenFunction;
  /** Device type (5). */
  readonly type: number;
  /** Milliseconds that the device may take for anything. */
  readonly patience: number;
  /** Stands before its registers, to tell of each access; nothing does if left out. */
  readonly see?: See;
}

/** Puts what tells of accesses before the registers of a structure. */
export type See = (
  structure: "common" | "isr" | "notify" | "device",
  registers: Registers,
) => Registers;

/** Its registers. */
interface Windows {
  readonly structures: Structures;
  readonly common: Registers;
  readonly isr: Registers;
  readonly notifications: Registers;
  readonly specific: Registers | undefined;
}

/** What a request came to. */
export interface Done {
  /** The descriptor that the device gave back. */
  readonly id: number;
  /** How much it says that it wrote. */
  readonly written: number;
  /** What stands in the parts that it may write, in their order. */
  readonly bytes: Uint8Array;
}

/** How a device is started. */
export interface Start {
  /** Features to take, as far as they are offered; besides VERSION_1 and ACCESS_PLATFORM. */
  readonly features?: bigint;
  /** The queues to enable; those that the type cannot do without are up to the check. */
  readonly queues?: readonly number[];
  /** Entries of each; fewer where the device has no more. */
  readonly size?: number;
  /** Whether interrupts are asked for. */
  readonly interrupts?: boolean;
}

/**
 * A device under check: its registers and its rings as they are, without the driver side that is careful not to do anything
 * wrong, and not to believe anything.
 */
export class Rig {
  readonly device: OpenFunction;
  readonly type: number;
  readonly patience: number;
  /** What is random in the check at hand. */
  random = new Random(0);
  /** Its interrupts, as eventfds. */
  readonly vectors: readonly number[];
  /** The arena, as bytes. */
  readonly bytes: Uint8Array<ArrayBufferLike>;
  readonly #arena: SharedArrayBuffer;
  readonly #memory: DmaMemory;
  readonly #see: See;
  #windows: Windows | undefined;
  #free = 0;

  constructor({ device, type, patience, see = (_, registers) => registers }: RigParts) {
    this.#see = see;
    this.device = device;
    this.type = type;
    this.patience = patience;
    this.vectors = found(() => device.vectors(VECTORS)) ?? [];
    this.#memory = device.dma(ARENA_BYTES, { bypass: this.#bypasses() });
    this.#arena = mapShared(this.#memory.fd, this.#memory.offset, this.#memory.size);
    this.bytes = new Uint8Array(this.#arena, 0, this.#memory.size);
  }

  /** Whether it goes around an IOMMU; one without registers that can be used reaches no memory at all. */
  #bypasses(): boolean {
    return found(() => !has(this.offered, Feature.ACCESS_PLATFORM)) ?? false;
  }

  /** @throws {DeviceFault} If the device does not say where they are. */
  #find(): Windows {
    if (this.#windows) return this.#windows;
    const { device } = this;
    const structures = findStructures(device.config, (bar) => device.bar(bar)?.size);
    const window = ({ bar, offset, length }: Structures["common"]) =>
      bounded(subRegisters(device.bar(bar)!, offset, length));
    const see = this.#see;
    return this.#windows = {
      structures,
      common: see("common", window(structures.common)),
      isr: see("isr", window(structures.isr)),
      notifications: see("notify", window(structures.notify)),
      specific: structures.device && see("device", window(structures.device)),
    };
  }

  /** Where its registers are. */
  get structures(): Structures {
    return this.#find().structures;
  }

  /** The common configuration (4.1.4.3). */
  get common(): Registers {
    return this.#find().common;
  }

  /** The ISR status (4.1.4.5). */
  get isr(): Registers {
    return this.#find().isr;
  }

  /** The notification registers (4.1.4.4). */
  get notifications(): Registers {
    return this.#find().notifications;
  }

  /** The device-specific configuration (4.1.4.6), if it has one. */
  get specific(): Registers | undefined {
    return this.#find().specific;
  }

  /** Memory of the arena, zero, that lies in one piece; given back with the next reset. */
  take(bytes: number, alignment = 16): number {
    let at = Math.ceil(this.#free / alignment) * alignment;
    let start = 0;
    for (const { length } of this.#memory.runs) {
      if (at < start + length && at + bytes > start + length) at = start + length;
      start += length;
    }
    if (at + bytes > this.bytes.length) throw new RangeError(`Cannot take ${bytes} bytes`);
    this.#free = at + bytes;
    this.bytes.fill(0, at, at + bytes);
    return at;
  }

  /** The device's address of a byte of the arena. */
  address = (offset: number): number => deviceAddress(this.#memory.runs, offset);

  /** An address at which the device finds no memory, as far as the platform tells. */
  get nowhere(): number {
    const ends = this.#memory.runs.map(({ address, length }) => address + length);
    return Math.max(...ends) + 2 ** 44;
  }

  /** Where the machine itself finds a byte of the arena, in pages of 4096 bytes (5.5.6). */
  frame(offset: number): number {
    const runs = this.device.physical?.(this.#memory) ?? this.#memory.runs;
    return Math.floor(deviceAddress(runs, offset) / PAGE);
  }

  get status(): number {
    return this.common.read8(COMMON.deviceStatus);
  }

  set status(value: number) {
    this.common.write8(COMMON.deviceStatus, value);
  }

  /**
   * Waits until something is so.
   *
   * @param late What the device did not do by the end of its time.
   * @throws {Finding} That it is wedged.
   */
  async until(done: () => boolean, late: string | (() => string)): Promise<void> {
    const end = performance.now() + this.patience;
    while (!done()) {
      if (performance.now() > end) {
        throw wedged(`${typeof late === "string" ? late : late()} within ${this.patience} ms`);
      }
      await pause(PAUSE);
    }
  }

  /** Gives the device some time in which it should not do anything. */
  async settle(): Promise<void> {
    await pause(Math.min(20, this.patience / 5));
  }

  /** Resets the device, and forgets all that was taken of the arena. */
  async reset(): Promise<void> {
    this.status = 0;
    await this.until(
      () => this.status === 0,
      () => `its status did not read 0 after a reset, but ${this.status},`,
    );
    // One behind a conversation begins it anew.
    await this.device.settled?.();
    this.#free = 0;
    for (const fd of this.vectors) clear(fd);
  }

  /** The features that it offers, of 128 bits. */
  get offered(): bigint {
    return [0, 1, 2, 3].reduce(
      (all, word) => all | BigInt(this.offeredWord(word)) << BigInt(32 * word),
      0n,
    );
  }

  /** 32 of them. */
  offeredWord(word: number): number {
    this.common.write32(COMMON.deviceFeatureSelect, word);
    return this.common.read32(COMMON.deviceFeature);
  }

  /** Tells the device which features are taken, as they are. */
  accept(features: bigint): void {
    for (let word = 0; word < 4; word++) {
      this.common.write32(COMMON.driverFeatureSelect, word);
      this.common.write32(
        COMMON.driverFeature,
        Number(features >> BigInt(32 * word) & 0xffffffffn),
      );
    }
  }

  /** What a driver of version 1 has to take. */
  get needed(): bigint {
    return this.offered & (bit(Feature.VERSION_1) | bit(Feature.ACCESS_PLATFORM));
  }

  /**
   * Goes through the handshake up to FEATURES_OK (3.1.1).
   *
   * @param wanted Features to take besides what is needed, as far as they are offered.
   * @returns All that were taken.
   * @throws {Finding} If the device refuses them.
   */
  negotiate(wanted = 0n): bigint {
    this.status = ACKNOWLEDGE;
    this.status = ACKNOWLEDGE | DRIVER;
    const features = this.needed | this.offered & wanted;
    this.accept(features);
    this.status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
    const { status } = this;
    must(
      (status & FEATURES_OK) !== 0 && (status & DEVICE_NEEDS_RESET) === 0,
      () => `it refuses features 0x${features.toString(16)} of its own: its status is ${status}`,
    );
    return features;
  }

  /** How many entries a queue may have at most; 0 if it is not there. */
  largest(queue: number): number {
    this.common.write16(COMMON.queueSelect, queue);
    return this.common.read16(COMMON.queueSize);
  }

  /** Lays a ring out in the arena. */
  place(size: number): RingPlace {
    return {
      size,
      descriptors: this.take(DESCRIPTOR_BYTES * size, PAGE),
      driver: this.take(6 + 2 * size, 16),
      device: this.take(6 + 8 * size, PAGE),
    };
  }

  /** Writes where a ring is, without enabling the queue. */
  tell(queue: number, place: RingPlace): void {
    const { common } = this;
    common.write16(COMMON.queueSelect, queue);
    common.write16(COMMON.queueSize, place.size);
    this.write64(COMMON.queueDescriptors, this.address(place.descriptors));
    this.write64(COMMON.queueDriver, this.address(place.driver));
    this.write64(COMMON.queueDevice, this.address(place.device));
  }

  /** Writes a register of 64 bits as two of 32 (4.1.3.1). */
  write64(offset: number, value: number): void {
    this.common.write32(offset, value % 2 ** 32);
    this.common.write32(offset + 4, Math.floor(value / 2 ** 32));
  }

  /** Sets a queue up and enables it. */
  enable(queue: number, size = USUAL_SIZE, vector = NO_VECTOR): RawRing {
    const largest = this.largest(queue);
    must(largest > 0, () => `it has no queue ${queue}`);
    const place = this.place(Math.min(size, largest));
    this.tell(queue, place);
    if (this.vectors.length > 0) this.common.write16(COMMON.queueVector, vector);
    this.common.write16(COMMON.queueEnable, 1);
    return new RawRing(queue, place, this.#arena, this.address);
  }

  /** Tells the device that it may begin. A network card may do nothing before it has both queues of its first pair. */
  go(): void {
    if (this.type === NETWORK) {
      for (const queue of [0, 1]) if (!this.#enabled(queue)) this.enable(queue);
    }
    this.status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
  }

  #enabled(queue: number): boolean {
    return this.largest(queue) === 0 || this.common.read16(COMMON.queueEnable) !== 0;
  }

  /** The whole of it: handshake, queues, DRIVER_OK. */
  start({ features = 0n, queues = [], size = USUAL_SIZE, interrupts = false }: Start = {}): {
    readonly features: bigint;
    readonly rings: readonly RawRing[];
  } {
    const taken = this.negotiate(features);
    const vector = interrupts && this.vectors.length > 0 ? this.queueVector : NO_VECTOR;
    const rings = queues.map((queue) => this.enable(queue, size, vector));
    this.go();
    return { features: taken, rings };
  }

  /** The same with one queue. Returns its ring. */
  startQueue(queue: number, start: Omit<Start, "queues"> = {}): RawRing {
    return this.start({ ...start, queues: [queue] }).rings[0]!;
  }

  /** The vector that queues interrupt by in checks of interrupts; that of the configuration is 0. */
  get queueVector(): number {
    return Math.min(1, this.vectors.length - 1);
  }

  /** Whether an interrupt came on a vector since the last look. */
  interrupted(vector: number): boolean {
    return clear(this.vectors[vector]!);
  }

  /** Where a queue is notified, in bytes of the structure. */
  notifyOffset(queue: number): number {
    this.common.write16(COMMON.queueSelect, queue);
    return this.common.read16(COMMON.queueNotifyOffset) * this.structures.notifyMultiplier;
  }

  /** Notifies the device of a queue. */
  notify(queue: number): void {
    this.notifications.write16(this.notifyOffset(queue), queue);
  }

  /** Puts bytes into the arena. */
  give(bytes: Uint8Array): Part {
    const offset = this.take(Math.max(bytes.length, 1));
    this.bytes.set(bytes, offset);
    return { offset, length: bytes.length, write: false };
  }

  /** Room in the arena for the device to write, filled so that it can be seen whether it did. */
  room(length: number, fill = 0xa5): Part {
    const offset = this.take(length);
    this.bytes.fill(fill, offset, offset + length);
    return { offset, length, write: true };
  }

  /** What stands in the parts that the device may write. */
  read(parts: readonly Part[]): Uint8Array {
    const pieces = parts.filter(({ write }) => write)
      .map(({ offset, length }) => this.bytes.slice(offset, offset + length));
    const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  /** Makes what stands at `head` available, and tells the device. */
  offer(ring: RawRing, head = 0): void {
    ring.offer(head);
    ring.publish();
    this.notify(ring.queue);
  }

  /** Waits until the device has used up to an index. */
  async used(ring: RawRing, index: number): Promise<void> {
    await this.until(
      () => {
        if (ring.used === (index & 0xffff)) return true;
        this.mustWork();
        return false;
      },
      () => `queue ${ring.queue} came to ${ring.used} of ${index & 0xffff} requests`,
    );
  }

  /** Has one request done, on a ring without others. */
  async ask(ring: RawRing, parts: readonly Part[], head = 0): Promise<Done> {
    const before = ring.next;
    ring.chain(head, parts);
    this.offer(ring, head);
    await this.used(ring, before + 1);
    const { id, written } = ring.element(before);
    must(id === head, () => `it gave descriptor ${id} back, and not ${head}`);
    return { id, written, bytes: this.read(parts) };
  }

  /** Throws unless the device is at work. */
  mustWork(): void {
    const { status } = this;
    must(status !== GONE, "its registers read as all ones: it is gone");
    must((status & DEVICE_NEEDS_RESET) === 0, "it says that it needs a reset");
    must((status & DRIVER_OK) !== 0, () => `its status is ${status} in the middle of its work`);
  }

  /** Throws that a check is not about this device, unless it offers a feature. */
  needFeature(feature: number, name: string): void {
    needs(has(this.offered, feature), `it does not offer ${name}`);
  }
}

/** What a device tells, unless it breaks a rule of where that is: then the checks of discovery say so. */
function found<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof Error && /^(DeviceFault|PciFault|Finding)$/.test(error.name)) {
      return undefined;
    }
    throw error;
  }
}

/** Registers of which it is the device's fault where there are too few. */
function bounded(registers: Registers): Registers {
  const { size } = registers;
  const at = (offset: number, width: number) => {
    must(
      offset + width <= size,
      () => `it has ${size} bytes of registers where ${offset + width} are needed`,
    );
    return offset;
  };
  return {
    size,
    read8: (offset) => registers.read8(at(offset, 1)),
    read16: (offset) => registers.read16(at(offset, 2)),
    read32: (offset) => registers.read32(at(offset, 4)),
    write8: (offset, value) => registers.write8(at(offset, 1), value),
    write16: (offset, value) => registers.write16(at(offset, 2), value),
    write32: (offset, value) => registers.write32(at(offset, 4), value),
  };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
