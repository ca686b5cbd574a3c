// The driver's part in registers that a front-end plays, and a device has all the same.

import { bit, Feature } from "../core/virtio/features.ts";
import { DeviceStatus } from "../core/virtio/status.ts";
import type { VirtioDevice } from "../simulation/virtio_device.ts";

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK } = DeviceStatus;
/** Which half of the features a register shows, and where it stands among all. */
const HALVES = [[0, 0n], [1, 32n]] as const;

/** Says to a device, by its registers, what its driver said to the machine around it (virtio 1.4, 3.1.1). */
export class PlayedDriver {
  readonly #device: VirtioDevice;
  /** Whether the device knows that its driver is there. */
  #goes = false;

  /** Says nothing yet. */
  constructor(device: VirtioDevice) {
    this.#device = device;
  }

  /** The features that the device shows now. */
  offered(): bigint {
    let shown = 0n;
    for (const [half, shift] of HALVES) {
      this.#device.writeField("device_feature_select", half);
      shown |= BigInt(this.#device.readField("device_feature")) << shift;
    }
    return shown;
  }

  /** Makes it as after power-on, and agrees on features. */
  begin(features: bigint): void {
    const device = this.#device;
    this.leave();
    if ((features & bit(Feature.VERSION_1)) === 0n) device.becomeLegacy();
    device.writeField("device_status", ACKNOWLEDGE | DRIVER);
    for (const [half, shift] of HALVES) {
      device.writeField("driver_feature_select", half);
      device.writeField("driver_feature", Number(features >> shift & 0xffffffffn));
    }
    device.writeField("config_msix_vector", 0);
    device.writeField("device_status", ACKNOWLEDGE | DRIVER | FEATURES_OK);
  }

  /** Says that it is ready, once. */
  go(): void {
    if (this.#goes) return;
    this.#goes = true;
    this.#device.writeField("device_status", ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
  }

  /** Makes the device as after power-on. */
  leave(): void {
    this.#device.reset();
    this.#goes = false;
  }
}
