import type { Registers } from "../pci/registers.ts";
import { type Chain, chain, type DeviceQueue, DriverFault } from "../virtqueue/device_queue.ts";
import { DESCRIPTOR_BYTES, wrongSize } from "../virtqueue/layout.ts";
import { SplitDevice, type SplitDeviceOptions } from "../virtqueue/split_device.ts";
import { DeviceStatus } from "../virtio/status.ts";
import { COMMON_BYTES, type CommonField, commonField, NO_VECTOR } from "./common_config.ts";
import type { DeviceMemory } from "./device_memory.ts";
import type { Lie } from "./lie.ts";
import {
  type DeviceHandle,
  type DeviceModel,
  EVENT_IDX,
  INDIRECT_DESC,
  MACHINE_FEATURES,
  VERSION_1,
} from "./model.ts";
import { type Piece, PieceRequest } from "./piece_request.ts";
import { type Width, window } from "./window.ts";

const { DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET } = DeviceStatus;

/** What a virtio device finds around it. */
export interface Surroundings {
  /** The memory that it can reach. */
  readonly memory: DeviceMemory;
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

/** A queue as its registers show it. */
class Queue {
  size: number;
  vector = NO_VECTOR;
  /** Low and high words of the addresses of descriptors, driver area and device area. */
  readonly areas = new Uint32Array(6);
  /** There once it is enabled. */
  ring: DeviceQueue | undefined;
  chain: Chain = chain(0);

  constructor(readonly largest: number) {
    this.size = largest;
  }

  address(area: 0 | 1 | 2): number {
    return this.areas[2 * area + 1]! * 2 ** 32 + this.areas[2 * area]!;
  }
}

/** A virtio device around a model: status, features and queues (virtio 1.4, 2 and 4.1.4.3). */
export class VirtioDevice implements DeviceHandle {
  /** The common configuration structure. */
  readonly common: Registers;

  readonly #model: DeviceModel;
  readonly #around: Surroundings;
  readonly #lies: readonly Lie[];
  readonly #truth: bigint;
  #status = 0;
  #generation = 0;
  #offeredSelect = 0;
  #acceptedSelect = 0;
  #accepted = new Uint32Array(4);
  #configVector = NO_VECTOR;
  #queueSelect = 0;
  #queues: readonly Queue[] = [];
  #serving = false;

  /** Makes the device as it is after power-on. */
  constructor(model: DeviceModel, around: Surroundings) {
    this.#model = model;
    this.#around = around;
    this.#lies = model.lies ?? [];
    this.#truth = (model.features ?? 0n) | (MACHINE_FEATURES & ~(model.without ?? 0n));
    this.#queues = this.#powerOnQueues();
    this.common = window(
      COMMON_BYTES,
      // Only the natural widths do anything (4.1.3.1).
      (offset, width) => {
        const field = commonField(offset, width);
        return field === undefined ? 0 : this.#readLying(field);
      },
      (offset, width, value) => {
        const field = commonField(offset, width);
        if (field !== undefined) this.#writeLying(field, value);
      },
    );
    model.attach?.(this);
  }

  get features(): bigint {
    return this.#status & FEATURES_OK ? words(this.#accepted) : 0n;
  }

  configChanged(): void {
    this.#generation = this.#generation + 1 & 0xff;
    if (this.#status & DRIVER_OK) this.#around.interrupt("config", this.#configVector);
  }

  needsReset(why: string): void {
    this.#fail(new Error(why));
  }

  /**
   * Looks at every queue and answers what is there.
   *
   * @returns Whether there may be more: call again soon.
   */
  process(): boolean {
    let more = false;
    this.#serving = true;
    this.#guard(() => {
      for (const [index, queue] of this.#queues.entries()) {
        if (queue.ring && this.#live() && this.#serve(index, queue, queue.ring)) more = true;
      }
    });
    this.#serving = false;
    return more && this.#live();
  }

  /** Back to the state after power-on (2.4). */
  reset(): void {
    this.#status = 0;
    this.#offeredSelect = this.#acceptedSelect = this.#queueSelect = 0;
    this.#accepted = new Uint32Array(4);
    this.#configVector = NO_VECTOR;
    this.#queues = this.#powerOnQueues();
    this.#guard(() => this.#model.reset?.());
  }

  /** The driver wrote into the device-specific configuration. */
  configWrite(offset: number, value: number, width: Width): void {
    this.#guard(() => this.#model.configWrite?.(offset, value, width));
  }

  #powerOnQueues(): readonly Queue[] {
    return this.#model.queues.map((largest, index) =>
      new Queue(this.#lies.reduce((size, lie) => lie.queueSize?.(index, size) ?? size, largest))
    );
  }

  /** Nothing is consumed before DRIVER_OK (2.1.2), nor after the device failed. */
  #live(): boolean {
    return (this.#status & (DRIVER_OK | DEVICE_NEEDS_RESET)) === DRIVER_OK &&
      this.#around.mayMaster();
  }

  #serve(index: number, queue: Queue, ring: DeviceQueue): boolean {
    let budget = MOST_AT_ONCE;
    do {
      while (budget > 0 && this.#live() && ring.take(queue.chain)) {
        budget--;
        const { head, readable } = queue.chain;
        const pieces = this.#pieces(queue.chain);
        const request = new PieceRequest(
          pieces.slice(0, readable),
          pieces.slice(readable),
          (written) => {
            if (queue !== this.#queues[index] || !this.#live()) return;
            ring.put(head, written);
            if (!this.#serving) this.#publish(queue, ring);
          },
        );
        const written = this.#model.handle(index, request);
        if (written !== undefined) request.complete(written);
      }
      this.#publish(queue, ring);
    } while (budget > 0 && this.#live() && ring.arm());
    return budget === 0;
  }

  #pieces({ count, address, length }: Chain): Piece[] {
    const { memory } = this.#around;
    return Array.from({ length: count }, (_, i) => memory.view(address[i]!, length[i]!));
  }

  #publish(queue: Queue, ring: DeviceQueue): void {
    if (ring.publish()) this.#around.interrupt("queue", queue.vector);
  }

  /** What driver and model do wrong is the device's end, not that of whoever touched it. */
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

  #readLying(field: CommonField): number {
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
      default:
        return queue?.areas[area(field)] ?? 0;
    }
  }

  #writeLying(field: CommonField, value: number): void {
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
        if (queue && !queue.ring && !wrongSize(value) && value <= queue.largest) queue.size = value;
        break;
      case "device_feature":
      case "num_queues":
      case "config_generation":
      case "queue_notify_off":
        break;
      default:
        if (queue && !queue.ring) queue.areas[area(field)] = value;
    }
  }

  #writeStatus(value: number): void {
    if (value === 0) return this.reset();
    let next = (value & ~DEVICE_NEEDS_RESET) | (this.#status & DEVICE_NEEDS_RESET);
    if (next & FEATURES_OK && !(this.#status & FEATURES_OK)) {
      const accepted = words(this.#accepted);
      // Refusal is shown by the bit staying clear (3.1.1). This device has no legacy interface.
      if ((accepted & ~this.#truth) !== 0n || !(accepted & VERSION_1)) next &= ~FEATURES_OK;
    }
    if (!(next & FEATURES_OK)) next &= ~DRIVER_OK;
    this.#status = next;
  }

  #vector(value: number): number {
    return value < this.#around.vectors ? value : NO_VECTOR;
  }

  #enable(queue: Queue): void {
    this.#guard(() => {
      const { size } = queue;
      if (!(this.#status & FEATURES_OK)) {
        throw new DriverFault("A queue was enabled before the features were agreed");
      }
      const { memory } = this.#around;
      const [table, driver, device] = [
        memory.find(aligned(queue.address(0), 16), DESCRIPTOR_BYTES * size),
        memory.find(aligned(queue.address(1), 2), 6 + 2 * size),
        memory.find(aligned(queue.address(2), 4), 6 + 8 * size),
      ];
      if (driver.memory !== table.memory || device.memory !== table.memory) {
        throw new DriverFault("The areas of a queue are in different memories");
      }
      const options: SplitDeviceOptions = {
        memory: table.memory,
        size,
        descriptors: table.offset,
        driver: driver.offset,
        device: device.offset,
        translate: (address, length) => {
          const place = memory.find(address, length);
          if (place.memory === table.memory) return place.offset;
          throw new DriverFault("An indirect table is not in the memory of its queue");
        },
        indirect: (this.features & INDIRECT_DESC) !== 0n,
        eventIndex: (this.features & EVENT_IDX) !== 0n,
      };
      queue.chain = chain(size);
      queue.ring = this.#lies.reduce<DeviceQueue>(
        (honest, lie) => lie.queue?.(honest, options) ?? honest,
        new SplitDevice(options),
      );
    });
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

function area(field: (typeof AREAS)[number]): number {
  return AREAS.indexOf(field);
}

/** Alignment of the areas (2.7). */
function aligned(address: number, alignment: number): number {
  if (address % alignment === 0) return address;
  throw new DriverFault(
    `The area at 0x${address.toString(16)} is not at a multiple of ${alignment}`,
  );
}

function words(parts: Uint32Array): bigint {
  return parts.reduceRight((bits, part) => bits << 32n | BigInt(part), 0n);
}
