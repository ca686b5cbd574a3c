import { isIoBar } from "../pci/bars.ts";
import type { OpenFunction } from "../pci/function.ts";
import { legacyTransport } from "./legacy.ts";
import { modernTransport } from "./modern.ts";
import type { SeeRegisters, Transport } from "./transport.ts";

/**
 * Finds the registers of a function that was taken. A transitional device has both kinds; the modern ones are used
 * unless `legacy` is wanted (virtio 1.4, 4.1.2.3).
 *
 * @param see Gets each structure's registers, and gives those that are used; none if nothing looks on.
 * @throws DeviceFault If it has no usable registers of a kind that may be used.
 */
export function openTransport(
  device: OpenFunction,
  legacy: boolean,
  see?: SeeRegisters,
): Transport {
  if (legacy) return legacyTransport(device, see);
  try {
    return modernTransport(device, see);
  } catch (error) {
    if (!isIoBar(device.config, 0)) throw error;
    return legacyTransport(device, see);
  }
}
