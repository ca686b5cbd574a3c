/** Feature bits of ring and transport, by number (virtio 1.4, 6). */
export const Feature = {
  /** Legacy: a device takes requests however they are cut into descriptors. */
  ANY_LAYOUT: 27,
  /** Requests may use a table of descriptors. */
  INDIRECT_DESC: 28,
  /** Each side says at which index it wants to be told. */
  EVENT_IDX: 29,
  /** The device follows version 1 of the specification or a later one. */
  VERSION_1: 32,
  /** The device's addresses go through an IOMMU. */
  ACCESS_PLATFORM: 33,
  /** The packed ring layout. */
  RING_PACKED: 34,
  /** The device finishes requests in their order. */
  IN_ORDER: 35,
  /** The platform orders memory accesses of the device. */
  ORDER_PLATFORM: 36,
  /** Single-root I/O virtualisation. */
  SR_IOV: 37,
  /** Notifications carry more than the queue's index. */
  NOTIFICATION_DATA: 38,
  /** Notifications carry what the device says for each queue. */
  NOTIF_CONFIG_DATA: 39,
  /** Queues can be reset one by one. */
  RING_RESET: 40,
  /** There are administration queues. */
  ADMIN_VQ: 41,
} as const;

/** Bits 24 to 41 belong to ring and transport and are the core's; the others are the driver's (2.2). */
const CORE_BITS = Array.from({ length: 18 }, (_, i) => 1n << BigInt(24 + i))
  .reduce((all, bit) => all | bit);

/** A set with one feature. */
export function bit(feature: number): bigint {
  return 1n << BigInt(feature);
}

/** Whether a set has a feature. */
export function has(features: bigint, feature: number): boolean {
  return (features & bit(feature)) !== 0n;
}

/** The part of a set that a driver chooses from. */
export function driverFeatures(features: bigint): bigint {
  return features & ~CORE_BITS;
}

/** What the core itself makes use of, as far as it is offered. */
export const CORE_FEATURES: bigint = [
  Feature.ANY_LAYOUT,
  Feature.INDIRECT_DESC,
  Feature.EVENT_IDX,
  Feature.VERSION_1,
  Feature.ACCESS_PLATFORM,
  Feature.RING_PACKED,
  Feature.IN_ORDER,
  Feature.ORDER_PLATFORM,
  Feature.RING_RESET,
  Feature.NOTIFICATION_DATA,
].map(bit).reduce((all, one) => all | one);

/** Those that change what a doorbell is told, so that drivers' hosts must know of them when they start. */
export const DOORBELL_FEATURES: bigint = bit(Feature.NOTIFICATION_DATA);

/** A feature's name in the specification, or its number if it belongs to a device type. */
export function featureName(feature: number): string {
  const known = Object.entries(Feature).find(([, number]) => number === feature);
  return known ? `VIRTIO_F_${known[0]}` : `bit ${feature}`;
}

/** The numbers of the features in a set, ascending. */
export function featureNumbers(features: bigint): number[] {
  const numbers: number[] = [];
  for (let i = 0; features >> BigInt(i) !== 0n; i++) if (has(features, i)) numbers.push(i);
  return numbers;
}

/** A set as hexadecimal text. */
export function featureText(features: bigint): string {
  return `0x${features.toString(16)}`;
}

/** A feature bit of a device type. */
export interface FeatureRule {
  /** Its name in the specification. */
  readonly name: string;
  /** Its number. */
  readonly bit: number;
  /** Numbers of the features that it needs: one out of each list. */
  readonly needs: readonly (readonly number[])[];
}
