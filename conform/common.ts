/** Offsets of the common configuration structure (virtio 1.4, 4.1.4.3). Behind each, its width in bits. */
export const COMMON = {
  /** 32. */
  deviceFeatureSelect: 0x00,
  /** 32. */
  deviceFeature: 0x04,
  /** 32. */
  driverFeatureSelect: 0x08,
  /** 32. */
  driverFeature: 0x0c,
  /** 16. */
  configVector: 0x10,
  /** 16. */
  numQueues: 0x12,
  /** 8. */
  deviceStatus: 0x14,
  /** 8. */
  configGeneration: 0x15,
  /** 16. */
  queueSelect: 0x16,
  /** 16. */
  queueSize: 0x18,
  /** 16. */
  queueVector: 0x1a,
  /** 16. */
  queueEnable: 0x1c,
  /** 16. */
  queueNotifyOffset: 0x1e,
  /** 64. */
  queueDescriptors: 0x20,
  /** 64. */
  queueDriver: 0x28,
  /** 64. */
  queueDevice: 0x30,
  /** 16. */
  queueReset: 0x3a,
} as const;
