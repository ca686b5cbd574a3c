// Shared memory regions of a device (virtio 1.4, 4.1.4.7).

import { isIoBar } from "../pci/bars.ts";
import { capabilities, VENDOR_SPECIFIC } from "../pci/capabilities.ts";
import type { Registers } from "../pci/registers.ts";
import type { Structure } from "./capabilities.ts";

/** Memory of the device that the driver may map (virtio 1.4, 2.10). */
export interface SharedMemoryRegion extends Structure {
  /** What it is for: the device type says. */
  readonly id: number;
}

const SHARED_MEMORY = 8;
const CAPABILITY_BYTES = 24;

/**
 * Finds the shared-memory regions of a device (virtio 1.4, 4.1.4.7). What is not inside a memory BAR is passed over,
 * and of several regions with the same id the first one counts (D-18).
 *
 * @param config The function's configuration space.
 * @param barSize Bytes of a memory BAR; undefined if there is no such BAR.
 * @throws PciFault If the capability list itself is broken.
 */
export function sharedMemoryRegions(
  config: Registers,
  barSize: (bar: number) => number | undefined,
): readonly SharedMemoryRegion[] {
  const found = new Map<number, SharedMemoryRegion>();
  for (const { id: kind, offset: at, length: capabilityLength } of capabilities(config)) {
    if (kind !== VENDOR_SPECIFIC || capabilityLength < CAPABILITY_BYTES) continue;
    if (config.read8(at + 3) !== SHARED_MEMORY) continue;
    const bar = config.read8(at + 4);
    const id = config.read8(at + 5);
    if (bar > 5 || isIoBar(config, bar) || found.has(id)) continue;
    // Above 2⁵³ these are rounded, but then they are far behind the end of any BAR.
    const offset = config.read32(at + 8) + config.read32(at + 16) * 2 ** 32;
    const length = config.read32(at + 12) + config.read32(at + 20) * 2 ** 32;
    if (length > 0 && offset + length <= (barSize(bar) ?? 0)) {
      found.set(id, { id, bar, offset, length });
    }
  }
  return [...found.values()];
}
