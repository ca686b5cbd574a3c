import { DeviceFault } from "./fault.ts";
import { DeviceStatus } from "./status.ts";
import type { Transport } from "./transport.ts";

/**
 * Agrees on features with a device that was reset (virtio 1.4, 3.1.1, steps 2 to 6).
 *
 * @throws DeviceFault If the device refuses them, or does not keep its status.
 */
export function agree(transport: Transport, features: bigint): void {
  transport.acceptFeatures(features);
  transport.addStatus(DeviceStatus.FEATURES_OK);
  const now = transport.status();
  if (!(now & DeviceStatus.FEATURES_OK)) {
    throw new DeviceFault(
      "D-20",
      `The device refuses the features 0x${
        features.toString(16)
      }: it cleared FEATURES_OK (virtio 1.4, 3.1.1)`,
    );
  }
}
