/** A field of the common configuration structure, by its name in the specification (virtio 1.4, 4.1.4.3). */
export type CommonField = keyof typeof COMMON_FIELDS;

/** Offset and width of each field in bytes. The 64-bit fields are two of 32 bits (4.1.3.1). */
export const COMMON_FIELDS = {
  device_feature_select: [0x00, 4],
  device_feature: [0x04, 4],
  driver_feature_select: [0x08, 4],
  driver_feature: [0x0c, 4],
  config_msix_vector: [0x10, 2],
  num_queues: [0x12, 2],
  device_status: [0x14, 1],
  config_generation: [0x15, 1],
  queue_select: [0x16, 2],
  queue_size: [0x18, 2],
  queue_msix_vector: [0x1a, 2],
  queue_enable: [0x1c, 2],
  queue_notify_off: [0x1e, 2],
  queue_desc_low: [0x20, 4],
  queue_desc_high: [0x24, 4],
  queue_driver_low: [0x28, 4],
  queue_driver_high: [0x2c, 4],
  queue_device_low: [0x30, 4],
  queue_device_high: [0x34, 4],
  queue_notif_config_data: [0x38, 2],
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
