import type { Doorbell } from "../pci/function.ts";
import type { Registers, Width } from "../pci/registers.ts";
import type { StructureName } from "./register_meaning.ts";

/** What the core needs of the registers of a VirtIO device, whichever of their layouts it speaks. */
export interface Transport {
  /** Version 1 and later, or the register layout before it. */
  readonly kind: "modern" | "legacy";
  /** Number of virtqueues. It may change with the features that are accepted. */
  readonly queues: number;
  /** The device status field (virtio 1.4, 2.1). */
  status(): number;
  /** Adds bits to it. */
  addStatus(bits: number): void;
  /**
   * Sets it to 0 and waits until the device is done (2.4).
   *
   * @param deadline Milliseconds; {@linkcode RESET_DEADLINE} if left out.
   */
  reset(deadline?: number): Promise<void>;
  /** The features that the device offers: up to 128 bits. */
  offeredFeatures(): bigint;
  /** Tells the device which of them the driver takes. */
  acceptFeatures(features: bigint): void;
  /**
   * A consistent copy of the device-specific configuration.
   *
   * @param widths Bytes of its fields in their order, since each must be read as a whole (4.1.3.1).
   */
  config(widths: readonly number[]): Uint8Array<ArrayBuffer>;
  /** Writes a field of it, as a whole. */
  writeConfig(offset: number, width: Width, value: number): void;
  /** The greatest size of a queue; 0 if there is none. */
  queueMaximum(index: number): number;
  /** Whether a queue may be smaller than its greatest size. Legacy devices know one size only (2.7.2). */
  readonly resizable: boolean;
  /** Sets a queue up and enables it. Addresses are the device's. */
  enableQueue(index: number, queue: QueueAddresses): void;
  /**
   * Resets one queue (2.6.1); it can be enabled anew afterwards. Only where VIRTIO_F_RING_RESET was agreed.
   *
   * @param deadline Milliseconds; {@linkcode QUEUE_RESET_DEADLINE} if left out.
   */
  resetQueue(index: number, deadline?: number): Promise<void>;
  /**
   * The doorbell of a queue.
   *
   * @param features Those that are going to be agreed: some change what is written (2.9, 4.1.4.4).
   */
  doorbell(index: number, features: bigint): Doorbell;
  /**
   * Which MSI-X vector tells of changed configuration, or {@linkcode NO_VECTOR}. Returns whether the device took it.
   */
  setConfigVector(vector: number): boolean;
  /** Likewise of a queue that is not enabled yet. */
  setQueueVector(index: number, vector: number): boolean;
  /** Reads and so clears the interrupt status (4.1.4.5): bit 0 for queues, bit 1 for configuration. */
  interruptStatus(): number;
}

/** Gets the registers of a structure, and gives those that are used in their place. */
export type SeeRegisters = (structure: StructureName, registers: Registers) => Registers;

/** What a device must know of a queue. */
export interface QueueAddresses {
  /** Number of entries. */
  readonly size: number;
  /** Descriptor area. */
  readonly descriptors: number;
  /** Driver area. */
  readonly driver: number;
  /** Device area. */
  readonly device: number;
}

/** How long a device may take to reset, in milliseconds. */
export const RESET_DEADLINE = 5000;
/** How long it may take to reset one queue. */
export const QUEUE_RESET_DEADLINE = 1000;
/** No interrupt (virtio 1.4, 4.1.5.1.2). */
export const NO_VECTOR = 0xffff;
/** {@linkcode Transport.interruptStatus}: a queue has something. */
export const QUEUE_INTERRUPT = 1;
/** {@linkcode Transport.interruptStatus}: the configuration has changed. */
export const CONFIG_INTERRUPT = 2;
