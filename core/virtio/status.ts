/** Bits of the device status field (virtio 1.4, 2.1). */
export const DeviceStatus = {
  /** The driver has noticed the device. */
  ACKNOWLEDGE: 1,
  /** It knows how to drive it. */
  DRIVER: 2,
  /** It is set up. */
  DRIVER_OK: 4,
  /** The features are agreed. */
  FEATURES_OK: 8,
  /** The device met an error that it cannot recover from without a reset. */
  DEVICE_NEEDS_RESET: 64,
  /** The driver gave up. */
  FAILED: 128,
} as const;

/** The names of the bits that are set, in the order in which they are set. */
export function statusNames(status: number): string[] {
  return Object.entries(DeviceStatus).filter(([, bit]) => status & bit)
    .sort(([, a], [, b]) => LADDER.indexOf(a) - LADDER.indexOf(b)).map(([name]) => name);
}

const LADDER: readonly number[] = [1, 2, 8, 4, 64, 128];
