/** A field of the common configuration structure, by its name in the specification (virtio 1.4, 4.1.4.3). */
export type CommonField = keyof typeof COMMON_FIELDS;

/** Offset and width of each field in bytes. The 64-bit fields are two of 32 bits (4.1.3.1). */
export const COMMON_FIELDS = {
  /** Which 32 of its features the device shows in `device_feature`. */
  device_feature_select: [0x00, 4],
  /** Features that the device offers, of those selected. */
  device_feature: [0x04, 4],
  /** Which 32 of its features the driver writes to `driver_feature`. */
  driver_feature_select: [0x08, 4],
  /** Features that the driver accepts, of those selected. */
  driver_feature: [0x0c, 4],
  /** The MSI-X vector of changes of the configuration. */
  config_msix_vector: [0x10, 2],
  /** How many virtqueues the device has. */
  num_queues: [0x12, 2],
  /** How far driver and device have come (2.1); a written 0 resets the device. */
  device_status: [0x14, 1],
  /** Another number whenever the device changed its configuration. */
  config_generation: [0x15, 1],
  /** The virtqueue that the fields below are about. */
  queue_select: [0x16, 2],
  /** Entries of the queue: the most of the device, until the driver writes less. */
  queue_size: [0x18, 2],
  /** The MSI-X vector of the queue. */
  queue_msix_vector: [0x1a, 2],
  /** 1 once the driver has set the queue up. */
  queue_enable: [0x1c, 2],
  /** Which doorbell the queue has, in units of `notify_off_multiplier`. */
  queue_notify_off: [0x1e, 2],
  /** The address of the descriptors, the lower half. */
  queue_desc_low: [0x20, 4],
  /** Its upper half. */
  queue_desc_high: [0x24, 4],
  /** The address of what the driver writes, the lower half. */
  queue_driver_low: [0x28, 4],
  /** Its upper half. */
  queue_driver_high: [0x2c, 4],
  /** The address of what the device writes, the lower half. */
  queue_device_low: [0x30, 4],
  /** Its upper half. */
  queue_device_high: [0x34, 4],
  /** What the driver rings the doorbell with, if VIRTIO_F_NOTIF_CONFIG_DATA was agreed on. */
  queue_notif_config_data: [0x38, 2],
  /** A written 1 resets the queue, if VIRTIO_F_RING_RESET was agreed on; 1 while that lasts. */
  queue_reset: [0x3a, 2],
} as const satisfies Record<string, readonly [offset: number, width: 1 | 2 | 4]>;

/** Length of the structure as far as the simulated device has it. */
export const COMMON_BYTES = 0x3c;

const byOffset = new Map(
  Object.entries(COMMON_FIELDS).map(([name, [offset, width]]) => [
    offset as number,
    { name: name as CommonField, width: width as number },
  ]),
);

/** The field at `offset`, if an access of `width` bytes is the natural one for it. */
export function commonField(offset: number, width: number): CommonField | undefined {
  const field = byOffset.get(offset);
  return field?.width === width ? field.name : undefined;
}

/** In a vector field: no interrupt for this (4.1.5.1.2). */
export const NO_VECTOR = 0xffff;
