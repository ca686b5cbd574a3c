import type { Registers } from "../pci/registers.ts";
import { DriverFault } from "../virtqueue/device_queue.ts";
import { wrongSize } from "../virtqueue/layout.ts";
import { makeDeviceQueue } from "../virtqueue/make_device_queue.ts";
import { DeviceStatus } from "../virtio/status.ts";
import { COMMON_BYTES, type CommonField, commonField, NO_VECTOR } from "./common_config.ts";
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
import { canBe, findRing } from "./ring.ts";
import { VirtioQueue } from "./virtio_queue.ts";
import { type Width, window } from "./window.ts";

const { DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET } = DeviceStatus;

/** What a virtio device finds around it. */
export interface Surroundings {
  /** The memory that it can reach. */
  readonly memory: BusMemory;
  /** Number of MSI-X vectors. */
  readonly vectors: number;
  /** Whether it may read and write memory now. */
  mayMaster(): boolean;
  /** Interrupts the driver; `vector` may be {@linkcode NO_VECTOR}. */
  interrupt(cause: "queue" | "config", vector: number): void;
  /** The device needs a reset because of `error`. */
  failed(error: Error): void;
}

/** Requests of a queue answered in one go, so that a driver that never stops asking does not hold up others. */
const MOST_AT_ONCE = 1024;

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
  #generation = 0;
  #offeredSelect = 0;
  #acceptedSelect = 0;
  #accepted = new Uint32Array(4);
  #features = 0n;
  /** Whether the driver uses the legacy interface: there is no FEATURES_OK then, and no VERSION_1. */
  #isLegacy = false;
  #configVector = NO_VECTOR;
  #queueSelect = 0;
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
    this.common = window(
      COMMON_BYTES,
      // Only the natural widths do anything (4.1.3.1).
      (offset, width) => {
        const field = commonField(offset, width);
        return field === undefined ? 0 : this.readField(field);
      },
      (offset, width, value) => {
        const field = commonField(offset, width);
        if (field !== undefined) this.writeField(field, value);
      },
    );
    model.attach?.(this);
  }

  get features(): bigint {
    return this.#features;
  }

  configChanged(): void {
    this.#generation = this.#generation + 1 & 0xff;
    if (this.#status & DRIVER_OK) this.#around.interrupt("config", this.#configVector);
  }

  atOnce(act: () => void): void {
    if (this.#together) return act();
    const queues = this.#together = new Set<VirtioQueue>();
    try {
      act();
    } finally {
      this.#together = undefined;
      for (const queue of queues) if (queue.device && queue !== this.#serving) this.#publish(queue);
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
        if (!queue.rung) continue;
        queue.rung = false;
        queue.consumed = 0;
        if (queue.ring && this.#live()) queue.rung = this.#serve(index, queue);
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
    this.#offeredSelect = this.#acceptedSelect = this.#queueSelect = 0;
    this.#accepted = new Uint32Array(4);
    this.#features = 0n;
    this.#isLegacy = false;
    this.#configVector = NO_VECTOR;
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
    const mayGoOn = () => queue === this.#queues[index] && this.#live();
    let budget = MOST_AT_ONCE;
    do {
      while (budget > 0 && mayGoOn() && device.take(queue.chain)) {
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

  #request(queue: VirtioQueue, mayGoOn: () => boolean): PieceRequest {
    const { head, count, readable, address, length } = queue.chain;
    const pieces: Piece[] = [];
    for (let i = 0; i < count; i++) {
      pieces.push(this.#around.memory.view(address[i]!, length[i]!));
    }
    return new PieceRequest(pieces, readable, (written) => {
      if (!mayGoOn()) return;
      queue.device!.put(head, written);
      if (this.#together) this.#together.add(queue);
      else if (this.#serving !== queue) this.#publish(queue);
    });
  }

  #publish(queue: VirtioQueue): void {
    if (queue.device!.publish()) this.#around.interrupt("queue", queue.vector);
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
    if (this.#status & DRIVER_OK) this.#around.interrupt("config", this.#configVector);
  }

  /** What a field of the common configuration reads as. */
  readField(field: CommonField): number {
    return this.#lies.reduce((value, lie) => lie.read?.(field, value) ?? value, this.#read(field));
  }

  #read(field: CommonField): number {
    const queue = this.#queues[this.#queueSelect];
    switch (field) {
      case "device_feature_select":
        return this.#offeredSelect;
      case "device_feature": {
        const shown = this.#lies.reduce((bits, lie) => lie.features?.(bits) ?? bits, this.#truth);
        return Number(shown >> BigInt(32 * this.#offeredSelect) & 0xffffffffn);
      }
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
        return queue?.ring ? 1 : 0;
      case "queue_notify_off":
        return queue ? this.#queueSelect : 0;
      case "queue_notif_config_data":
        return queue && this.features & NOTIF_CONFIG_DATA ? notifConfigData(this.#queueSelect) : 0;
      case "queue_reset":
        return 0; // it is over at once
      default:
        return queue?.areas[area(field)] ?? 0;
    }
  }

  /** Writes a field of the common configuration. */
  writeField(field: CommonField, value: number): void {
    this.#write(field, this.#lies.reduce((v, lie) => lie.write?.(field, v) ?? v, value));
  }

  #write(field: CommonField, value: number): void {
    const queue = this.#queues[this.#queueSelect];
    switch (field) {
      case "device_feature_select":
        this.#offeredSelect = value;
        break;
      case "driver_feature_select":
        this.#acceptedSelect = value;
        break;
      case "driver_feature":
        // Agreed is agreed (2.2): only a reset opens it again. Words that do not exist stay 0.
        if (!(this.#status & FEATURES_OK)) this.#accepted[this.#acceptedSelect] = value;
        // For a legacy driver, what is written counts (3.1.2).
        if (this.#isLegacy) this.#features = words(this.#accepted) & this.#truth;
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
      case "queue_msix_vector":
        if (queue) queue.vector = this.#vector(value);
        break;
      case "queue_enable":
        if (queue && value === 1 && !queue.ring) this.#enable(queue);
        break;
      case "queue_size":
        if (queue && !queue.ring && this.#canHave(queue, value)) queue.size = value;
        break;
      case "queue_reset":
        if (queue && value === 1 && (this.#isLegacy || this.features & RING_RESET)) {
          this.#resetQueue();
        }
        break;
      case "device_feature":
      case "num_queues":
      case "config_generation":
      case "queue_notify_off":
      case "queue_notif_config_data":
        break;
      default:
        if (queue && !queue.ring) queue.areas[area(field)] = value;
    }
  }

  #writeStatus(value: number): void {
    if (value === 0) return this.reset();
    const next = (value & ~DEVICE_NEEDS_RESET) | (this.#status & DEVICE_NEEDS_RESET);
    this.#status = this.#isLegacy ? next : this.#checked(next);
    if (!this.#isLegacy) {
      this.#features = this.#status & FEATURES_OK ? words(this.#accepted) : 0n;
    }
  }

  /** Takes out of a new status what the device refuses: FEATURES_OK (3.1.1), and DRIVER_OK without it. */
  #checked(status: number): number {
    if (status & FEATURES_OK && !(this.#status & FEATURES_OK)) {
      const accepted = words(this.#accepted);
      const needed = VERSION_1 | (this.#model.insists ?? 0n);
      if (accepted & ~this.#truth || needed & ~accepted) status &= ~FEATURES_OK;
    }
    return status & FEATURES_OK ? status : status & ~DRIVER_OK;
  }

  #vector(value: number): number {
    return value < this.#around.vectors ? value : NO_VECTOR;
  }

  /** Only packed rings may have a size that is no power of two (2.7, 2.8.10.1). */
  #canHave(queue: VirtioQueue, size: number): boolean {
    if (size > queue.largest) return false;
    return !wrongSize(size, this.features & RING_PACKED ? "packed" : "split");
  }

  #enable(queue: VirtioQueue): void {
    this.#guard(() => {
      if (!(this.#status & FEATURES_OK) && !this.#isLegacy) {
        throw new DriverFault("A queue was enabled before the features were agreed");
      }
      const { memory } = this.#around;
      const ring = findRing(memory, queue.size, queue.addresses, this.features);
      queue.enable(
        ring,
        this.#lies.reduce(
          (honest, lie) => lie.queue?.(honest, ring) ?? honest,
          makeDeviceQueue(ring.kind, ring),
        ),
      );
    });
  }

  #resetQueue(): void {
    const index = this.#queueSelect;
    this.#queues[index] = this.#powerOn(index);
    this.#guard(() => this.#model.queueReset?.(index));
  }
}

/** By what a queue is called in notifications under VIRTIO_F_NOTIF_CONFIG_DATA: anything but its index. */
function notifConfigData(index: number): number {
  return index ^ 0x5a5a;
}

const AREAS = [
  "queue_desc_low",
  "queue_desc_high",
  "queue_driver_low",
  "queue_driver_high",
  "queue_device_low",
  "queue_device_high",
] as const;

function area(field: (typeof AREAS)[number]): number {
  return AREAS.indexOf(field);
}

function words(parts: Uint32Array): bigint {
  return parts.reduceRight((bits, part) => bits << 32n | BigInt(part), 0n);
}
