// What an author of a VirtIO device model writes, and is given.

import { bit, Feature } from "../core/virtio/features.ts";
import type { Lie } from "./lie.ts";

/**
 * A virtio device in software. The simulated machine plays registers, rings and interrupts around it; what is
 * left for the author is what the device is and how it answers.
 *
 * @example An entropy device
 * ```ts
 * import type { DeviceModel } from "@virtio/deno/simulation";
 *
 * const entropy: DeviceModel = {
 *   id: 4,
 *   queues: [64],
 *   handle(_queue, request) {
 *     request.write(crypto.getRandomValues(new Uint8Array(Math.min(request.writable, 256))));
 *     return request.written;
 *   },
 * };
 * ```
 */
export interface DeviceModel {
  /** Virtio device id (virtio 1.4, 5), for example 4 for an entropy source. */
  readonly id: number;
  /** The largest size of each of its queues: powers of two. */
  readonly queues: readonly number[];
  /** Feature bits of its type that it offers; those of the machine are added. None if absent. */
  readonly features?: bigint;
  /**
   * Its device-specific configuration, at most 4096 bytes; none if absent. It is looked at anew at each access; a
   * model that changes it says so by {@linkcode DeviceHandle.configChanged}. Its length never changes.
   */
  readonly config?: Uint8Array;
  /** PCI class, subclass and interface, for example `0x010000`; "unclassified" if absent. */
  readonly classCode?: number;
  /**
   * Which drivers it works with: those of version 1 and later, those before it, or both; `"modern"` if absent. Of the
   * types that were there before version 1, see virtio 1.4, 4.1.2.1.
   */
  readonly generation?: "modern" | "transitional" | "legacy";
  /** How many MSI-X vectors it has, at most 2048; if absent, one a queue and one for configuration changes. */
  readonly vectors?: number;
  /** Whether it has an interrupt pin, used while MSI-X is off; true if absent. */
  readonly pin?: boolean;
  /** Features of the machine that it has too, out of {@linkcode OPTIONAL_FEATURES}. */
  readonly with?: bigint;
  /** Features of the machine that it does not have, out of {@linkcode MACHINE_FEATURES}. */
  readonly without?: bigint;
  /** Features that it does not work without: it refuses every choice that lacks one. None if absent. */
  readonly insists?: bigint;
  /** The rules that it breaks, for tests. */
  readonly lies?: readonly Lie[];
  /** Called once, when the machine is made. */
  attach?(device: DeviceHandle): void;
  /**
   * Answers a request of queue number `queue`.
   *
   * @returns The number of bytes written; or undefined to answer later, by {@linkcode Request.complete}.
   * @throws {DriverFault} If the driver broke the rules. Then the device needs a reset, as after any other error.
   */
  handle(queue: number, request: Request): number | undefined;
  /** The driver wrote `value`, `width` bytes wide, into the configuration. Nothing happens if this is absent. */
  configWrite?(offset: number, value: number, width: 1 | 2 | 4): void;
  /** The driver reset the device: requests not yet answered never will be. */
  reset?(): void;
  /** The driver reset queue number `queue` alone (2.6.1): likewise for its requests. */
  queueReset?(queue: number): void;
}

/** One request of the driver: bytes to read, then room to write into. Both are consumed from front to back. */
export interface Request {
  /** Bytes that are left to read; none while the device may not reach them, as after its reset. */
  readonly readable: number;
  /** Bytes that are left to write, likewise. */
  readonly writable: number;
  /** Bytes that were written or passed over so far. */
  readonly written: number;
  /** Reads the next bytes into `into`. Returns how many: fewer than its length only at the end. */
  read(into: Uint8Array): number;
  /** Writes the next bytes. Returns how many: fewer than there are only at the end. */
  write(bytes: Uint8Array): number;
  /**
   * The next bytes to read, where they are: at most `most`, and only as far as they lie in one piece; empty at
   * the end. The driver may change them at any time.
   */
  nextReadable(most?: number): Uint8Array<SharedArrayBuffer>;
  /** The next room to write, likewise. It counts as written. */
  nextWritable(most?: number): Uint8Array<SharedArrayBuffer>;
  /**
   * Answers a request for which {@linkcode DeviceModel.handle} returned undefined. Without effect after a reset.
   * Where VIRTIO_F_IN_ORDER was agreed the driver sees it once all before it were answered.
   *
   * @throws If it was answered already.
   */
  complete(written: number): void;
}

/** What a model may ask of the machine that it is in. */
export interface DeviceHandle {
  /** The features that the driver accepted; 0 until it did. */
  readonly features: bigint;
  /** What the driver did so far. */
  readonly counters: Readonly<DeviceCounters>;
  /** Tells the driver that the configuration has changed (4.1.4.3, 4.1.5.4). */
  configChanged(): void;
  /** Has the driver see all at once that is answered while `act` runs: for what takes several requests. */
  atOnce(act: () => void): void;
  /** The device cannot go on (2.1.1): it answers nothing more until it is reset. `why` is for people. */
  needsReset(why: string): void;
}

/** Running totals of a device, over all its resets. */
export interface DeviceCounters {
  /** Notifications that came. */
  notifications: number;
  /**
   * Those among them that must not be: before DRIVER_OK, for a queue that is not enabled, with a value that is not the
   * queue's, or with notification data that cannot be true of its ring (2.9).
   */
  wrongNotifications: number;
}

/** VIRTIO_F_INDIRECT_DESC (6). */
export const INDIRECT_DESC: bigint = bit(Feature.INDIRECT_DESC);
/** VIRTIO_F_EVENT_IDX. */
export const EVENT_IDX: bigint = bit(Feature.EVENT_IDX);
/** VIRTIO_F_VERSION_1. */
export const VERSION_1: bigint = bit(Feature.VERSION_1);
/** VIRTIO_F_ACCESS_PLATFORM. */
export const ACCESS_PLATFORM: bigint = bit(Feature.ACCESS_PLATFORM);
/** VIRTIO_F_RING_PACKED. */
export const RING_PACKED: bigint = bit(Feature.RING_PACKED);
/** VIRTIO_F_IN_ORDER. */
export const IN_ORDER: bigint = bit(Feature.IN_ORDER);
/** VIRTIO_F_ORDER_PLATFORM. */
export const ORDER_PLATFORM: bigint = bit(Feature.ORDER_PLATFORM);
/** VIRTIO_F_NOTIFICATION_DATA. */
export const NOTIFICATION_DATA: bigint = bit(Feature.NOTIFICATION_DATA);
/** VIRTIO_F_NOTIF_CONFIG_DATA. */
export const NOTIF_CONFIG_DATA: bigint = bit(Feature.NOTIF_CONFIG_DATA);
/** VIRTIO_F_RING_RESET. */
export const RING_RESET: bigint = bit(Feature.RING_RESET);
/** What the simulated machine offers for every model, unless that does {@linkcode DeviceModel.without}. */
export const MACHINE_FEATURES: bigint = INDIRECT_DESC | EVENT_IDX | VERSION_1 | RING_RESET;
/** What it offers for a model that comes {@linkcode DeviceModel.with} it. */
export const OPTIONAL_FEATURES: bigint = ACCESS_PLATFORM | RING_PACKED | IN_ORDER |
  ORDER_PLATFORM | NOTIFICATION_DATA | NOTIF_CONFIG_DATA;

/** What of its machine a model can be given without being changed otherwise; see {@linkcode fitted}. */
export type Fittings = Pick<
  DeviceModel,
  "generation" | "vectors" | "pin" | "with" | "without" | "insists"
>;

/**
 * Gives a model other fittings, for tests of drivers.
 *
 * @example
 * ```ts
 * import { type DeviceModel, fitted, RING_PACKED } from "@virtio/deno/simulation";
 *
 * const plain: DeviceModel = { id: 4, queues: [64], handle: () => 0 };
 * const packed = fitted(plain, { with: RING_PACKED, vectors: 1 });
 * ```
 *
 * @returns The model.
 */
export function fitted<Model extends DeviceModel>(model: Model, fittings: Fittings): Model {
  return Object.assign(model, fittings);
}
