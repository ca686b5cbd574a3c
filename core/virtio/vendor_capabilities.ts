// Vendor data capabilities (virtio 1.4, 4.1.4.8).

import { capabilities, VENDOR_SPECIFIC } from "../pci/capabilities.ts";
import type { Registers } from "../pci/registers.ts";

/** What a vendor says of its device, for debugging and reports only (virtio 1.4, 4.1.4.8). */
export interface VendorCapability {
  /** PCI id of the vendor that defined the format. */
  readonly vendor: number;
  /** What follows that id. */
  readonly data: Uint8Array<ArrayBuffer>;
}

const VENDOR_DATA = 9;
const VENDOR_ID = 4;
const DATA = 6;
/** Formats cannot be told apart under the id that all virtio devices share. */
const SHARED = 0x1af4;

/**
 * Decodes the vendor data of a device. What cannot be one is passed over; reading has no side effects.
 *
 * @throws PciFault If the capability list itself is broken.
 */
export function vendorCapabilities(config: Registers): readonly VendorCapability[] {
  return capabilities(config).flatMap(({ id, offset, length }) => {
    if (id !== VENDOR_SPECIFIC || length < DATA || length % 4 !== 0) return [];
    if (config.read8(offset + 3) !== VENDOR_DATA) return [];
    const vendor = config.read16(offset + VENDOR_ID);
    if (vendor === SHARED) return [];
    const data = Uint8Array.from(
      { length: length - DATA },
      (_, i) => config.read8(offset + DATA + i),
    );
    return [{ vendor, data }];
  });
}
