/** What a VirtIO device's PCI numbers say about it. */
export interface VirtioIdentity {
  /** Device type (virtio 1.4, 5), for example 2 for a block device. */
  readonly type: number;
  /** Modern devices speak version 1 only; transitional ones also the register layout before it. */
  readonly generation: "modern" | "transitional";
}

/** The PCI vendor of all VirtIO devices. */
export const VIRTIO_VENDOR = 0x1af4;

/**
 * Tells a VirtIO device by its PCI numbers (virtio 1.3, section 4.1.2): 0x1040 + type is modern; 0x1000 to
 * 0x103f is transitional, and then the subsystem is the type.
 *
 * @returns undefined if it is no VirtIO device.
 */
export function virtioIdentity(
  ids: { readonly vendor: number; readonly device: number; readonly subsystem: number },
): VirtioIdentity | undefined {
  if (ids.vendor !== VIRTIO_VENDOR || ids.device < 0x1000 || ids.device > 0x107f) return undefined;
  const modern = ids.device >= 0x1040;
  const type = modern ? ids.device - 0x1040 : ids.subsystem;
  return { type, generation: modern ? "modern" : "transitional" };
}
