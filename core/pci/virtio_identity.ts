/** What a VirtIO device's PCI numbers say about it. */
export interface VirtioIdentity {
  /** Device type, for example 2 for a block device. */
  readonly type: number;
  /** The type's name in the specification, in lower case: `"block"`. */
  readonly name: string;
  /** Modern devices speak version 1 only; transitional ones also the register layout before it. */
  readonly generation: "modern" | "transitional";
}

/** The PCI vendor of all VirtIO devices. */
export const VIRTIO_VENDOR = 0x1af4;

/** Device types by number (virtio 1.3, section 5). */
const TYPES: Readonly<Record<number, string>> = {
  1: "network",
  2: "block",
  3: "console",
  4: "entropy",
  5: "memory balloon",
  6: "ioMemory",
  7: "rpmsg",
  8: "SCSI host",
  9: "9P transport",
  10: "mac80211 wlan",
  11: "rproc serial",
  12: "CAIF",
  13: "memory balloon (not traditional)",
  16: "GPU",
  17: "timer/clock",
  18: "input",
  19: "socket",
  20: "crypto",
  21: "signal distribution",
  22: "pstore",
  23: "IOMMU",
  24: "memory",
  25: "sound",
  26: "file system",
  27: "PMEM",
  28: "RPMB",
  29: "mac80211 hwsim wireless simulation",
  30: "video encoder",
  31: "video decoder",
  32: "SCMI",
  33: "NitroSecureModule",
  34: "I2C adapter",
  35: "watchdog",
  36: "CAN",
  38: "parameter server",
  39: "audio policy",
  40: "Bluetooth",
  41: "GPIO",
  42: "RDMA",
  43: "camera",
  44: "ISM",
  45: "SPI controller",
};

/** The name of a VirtIO device type, for example `"block"` for 2; `"type 99"` if it has none. */
export function virtioTypeName(type: number): string {
  return TYPES[type] ?? `type ${type}`;
}

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
  return { type, name: virtioTypeName(type), generation: modern ? "modern" : "transitional" };
}
