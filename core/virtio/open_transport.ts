import { isIoBar } from "../pci/bars.ts";
import type { OpenFunction } from "../pci/function.ts";
import { legacyTransport } from "./legacy.ts";
import { modernTransport } from "./modern.ts";
import type { Transport } from "./transport.ts";

/**
 * Finds the registers of a function that was taken. A transitional device has both kinds; the modern ones are used
 * unless `legacy` is wanted (virtio 1.4, 4.1.2.3).
 *
 * @throws DeviceFault If it has no usable registers of a kind that may be used.
 */
export function openTransport(device: OpenFunction, legacy: boolean): Transport {
  if (legacy) return legacyTransport(device);
  try {
    return modernTransport(device);
  } catch (error) {
    if (!isIoBar(device.config, 0)) throw error;
    return legacyTransport(device);
  }
}
