// The common configuration structure as a device keeps it (virtio 1.4, 4.1.4.3).

import { type Registers, window } from "../core/pci/registers.ts";
import { DeviceStatus } from "../core/virtio/status.ts";
import { COMMON_BYTES, type CommonField, commonField, NO_VECTOR } from "./common_config.ts";
import type { Areas } from "./ring.ts";

const { FEATURES_OK } = DeviceStatus;

/** A queue as the driver has set it up so far. */
export abstract class CommonQueue {
  size: number;
  vector = NO_VECTOR;
  /** Low and high words of the addresses of descriptors, driver area and device area. */
  readonly areas = new Uint32Array(6);

  constructor(size: number) {
    this.size = size;
  }

  /** Whether it is set up: from then on, it stays as it is until it is reset. */
  abstract readonly enabled: boolean;

  /** The three addresses. */
  get addresses(): Areas {
    const at = (area: number) => this.areas[area + 1]! * 2 ** 32 + this.areas[area]!;
    return { descriptors: at(0), driver: at(2), device: at(4) };
  }

  set addresses({ descriptors, driver, device }: Areas) {
    this.areas.set(
      [descriptors, driver, device].flatMap((address) => [address, Math.floor(address / 2 ** 32)]),
    );
  }
}

/** What a device does about what is written there, and how it stands. */
export interface CommonDevice<Queue extends CommonQueue> {
  /** Its queues now. */
  readonly queues: () => readonly Queue[];
  /** Number of its MSI-X vectors. */
  readonly vectors: () => number;
  /** The features that it shows. */
  readonly offered: () => bigint;
  /** Its status. */
  readonly status: () => number;
  /** The driver writes the status. */
  readonly writeStatus: (value: number) => void;
  /** The driver has written some of the features that it accepts. */
  readonly accepted?: () => void;
  /** Whether a queue can have so many entries. */
  readonly takesSize: (queue: Queue, size: number) => boolean;
  /** The driver enables a queue that is not. */
  readonly enable: (queue: Queue, index: number) => void;
  /** The driver resets a queue. */
  readonly resetQueue?: (index: number) => void;
  /** What the doorbell of a queue is rung with under VIRTIO_F_NOTIF_CONFIG_DATA; 0 if left out. */
  readonly notifConfigData?: (index: number) => number;
}

const AREAS = [
  "queue_desc_low",
  "queue_desc_high",
  "queue_driver_low",
  "queue_driver_high",
  "queue_device_low",
  "queue_device_high",
];

/** The fields of the common configuration structure, and what is selected by some of them. */
export class CommonRegisters<Queue extends CommonQueue> {
  readonly #device: CommonDevice<Queue>;
  #generation = 0;
  #offeredSelect = 0;
  #acceptedSelect = 0;
  #accepted = new Uint32Array(4);
  #configVector = NO_VECTOR;
  #queueSelect = 0;

  constructor(device: CommonDevice<Queue>) {
    this.#device = device;
  }

  /** The features that the driver has written. */
  get accepted(): bigint {
    return this.#accepted.reduceRight((bits, part) => bits << 32n | BigInt(part), 0n);
  }

  /** The MSI-X vector of changes of the configuration. */
  get configVector(): number {
    return this.#configVector;
  }

  /** A vector as far as there is one. */
  vector(value: number): number {
    return value < this.#device.vectors() ? value : NO_VECTOR;
  }

  /** The device has changed its configuration. */
  configChanged(): void {
    this.#generation = this.#generation + 1 & 0xff;
  }

  /** Back to the state after power-on; the queues are the device's. */
  reset(): void {
    this.#offeredSelect = this.#acceptedSelect = this.#queueSelect = 0;
    this.#accepted = new Uint32Array(4);
    this.#configVector = NO_VECTOR;
  }

  /** What a field reads as. */
  read(field: CommonField): number {
    const device = this.#device;
    const queues = device.queues();
    const queue = queues[this.#queueSelect];
    switch (field) {
      case "device_feature_select":
        return this.#offeredSelect;
      case "device_feature":
        return Number(device.offered() >> BigInt(32 * this.#offeredSelect) & 0xffffffffn);
      case "driver_feature_select":
        return this.#acceptedSelect;
      case "driver_feature":
        return this.#accepted[this.#acceptedSelect] ?? 0;
      case "config_msix_vector":
        return this.#configVector;
      case "num_queues":
        return queues.length;
      case "device_status":
        return device.status();
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
        return queue ? device.notifConfigData?.(this.#queueSelect) ?? 0 : 0;
      case "queue_reset":
        return 0; // it is over at once
      default:
        return queue?.areas[AREAS.indexOf(field)] ?? 0;
    }
  }

  /** The driver writes a field. */
  write(field: CommonField, value: number): void {
    const device = this.#device;
    const queue = device.queues()[this.#queueSelect];
    switch (field) {
      case "device_feature_select":
        this.#offeredSelect = value;
        break;
      case "driver_feature_select":
        this.#acceptedSelect = value;
        break;
      case "driver_feature":
        // Agreed is agreed (2.2): only a reset opens it again. Words that do not exist stay 0.
        if (!(device.status() & FEATURES_OK)) this.#accepted[this.#acceptedSelect] = value;
        device.accepted?.();
        break;
      case "config_msix_vector":
        this.#configVector = this.vector(value);
        break;
      case "device_status":
        device.writeStatus(value);
        break;
      case "queue_select":
        this.#queueSelect = value;
        break;
      case "queue_size":
        if (queue && !queue.enabled && device.takesSize(queue, value)) queue.size = value;
        break;
      case "queue_msix_vector":
        if (queue) queue.vector = this.vector(value);
        break;
      case "queue_enable":
        if (queue && value === 1 && !queue.enabled) device.enable(queue, this.#queueSelect);
        break;
      case "queue_reset":
        if (queue && value === 1) device.resetQueue?.(this.#queueSelect);
        break;
      default: {
        const area = AREAS.indexOf(field);
        if (queue && area >= 0 && !queue.enabled) queue.areas[area] = value;
      }
    }
  }
}

/** The structure as a window of registers, in which only the natural widths do anything (4.1.3.1). */
export function commonWindow(device: {
  readField(field: CommonField): number;
  writeField(field: CommonField, value: number): void;
}): Registers {
  return window(
    COMMON_BYTES,
    (offset, width) => {
      const field = commonField(offset, width);
      return field === undefined ? 0 : device.readField(field);
    },
    (offset, width, value) => {
      const field = commonField(offset, width);
      if (field !== undefined) device.writeField(field, value);
    },
  );
}
