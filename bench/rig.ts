/**
 * A device at work, its parts on their processors.
 *
 * @module
 */

import type { QemuPlatform } from "../core/platform/qemu/mod.ts";
import {
  type DeviceOf,
  type Kernel,
  openKernel,
  type OpenOptions,
  type StandardClasses,
} from "../mod.ts";
import { DEVICE, DRIVER, pin } from "./programs.ts";

/** Opens a machine. Its QEMU, if it is one, has the processor of devices. */
export async function openPinned(options: OpenOptions): Promise<Kernel> {
  const kernel = await openKernel(options);
  if (options.machine === "qemu") await pin(DEVICE, (kernel.machine as QemuPlatform).pid);
  return kernel;
}

/** Attaches the first device of a class. Its driver, if it is a process, has the processor of drivers. */
export async function attachPinned<Name extends keyof StandardClasses & string>(
  kernel: Kernel,
  name: Name,
): Promise<DeviceOf<StandardClasses, Name>> {
  const device = await kernel.attachFirst(name);
  if (device.pid !== undefined) await pin(DRIVER, device.pid);
  return device;
}
