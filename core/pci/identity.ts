// What a PCI function says it is.

import type { Registers } from "./registers.ts";
import { type VirtioIdentity, virtioIdentity } from "./virtio_identity.ts";

/** What a PCI function says that it is. */
export interface PciIdentity {
  /** Its maker, 16 bits. */
  readonly vendor: number;
  /** What it is among its vendor's devices, 16 bits. */
  readonly device: number;
  /** The maker of the board, 16 bits; 0 where the header has no such field (bridges). */
  readonly subsystemVendor: number;
  /** Which board, 16 bits; 0 where the header has no such field. */
  readonly subsystem: number;
  /** Base class, subclass and programming interface: 24 bits, for example `0x020000`. */
  readonly class: number;
  /** Revision, 8 bits. */
  readonly revision: number;
  /** Filled in if it is a VirtIO device. */
  readonly virtio?: VirtioIdentity;
}

/** Reads what a function is from the first 64 bytes of its configuration space. */
export function readIdentity(config: Registers): PciIdentity {
  const revisionAndClass = config.read32(0x08);
  // Only header type 0, an endpoint, has its subsystem here; bit 7 says that there are more functions.
  const endpoint = (config.read8(0x0e) & 0x7f) === 0;
  const ids = {
    vendor: config.read16(0x00),
    device: config.read16(0x02),
    subsystemVendor: endpoint ? config.read16(0x2c) : 0,
    subsystem: endpoint ? config.read16(0x2e) : 0,
    class: revisionAndClass >>> 8,
    revision: revisionAndClass & 0xff,
  };
  const virtio = virtioIdentity(ids);
  return virtio ? { ...ids, virtio } : ids;
}
