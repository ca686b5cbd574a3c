import type { Config } from "@virtio/deno/plugin";
import * as wire from "./wire.ts";

/** Everything that the driver can make use of. */
const KNOWN = wire.F_SIZE_MAX | wire.F_SEG_MAX | wire.F_GEOMETRY | wire.F_RO | wire.F_BLK_SIZE |
  wire.F_FLUSH | wire.F_TOPOLOGY | wire.F_CONFIG_WCE | wire.F_MQ | wire.F_DISCARD |
  wire.F_WRITE_ZEROES | wire.F_LIFETIME | wire.F_SECURE_ERASE | wire.F_ZONED;

/**
 * For each feature with limits, the fields that must not be 0: with one that is, nothing can be asked for. With a
 * largest segment of 0 a device means that it has no limit (qemu-storage-daemon).
 */
const LIMITS: readonly (readonly [feature: bigint, fields: readonly number[]])[] = [
  [wire.F_SIZE_MAX, [wire.CONFIG_SIZE_MAX]],
  [wire.F_DISCARD, [wire.CONFIG_MAX_DISCARD_SECTORS, wire.CONFIG_MAX_DISCARD_SEG]],
  [wire.F_WRITE_ZEROES, [wire.CONFIG_MAX_WRITE_ZEROES_SECTORS, wire.CONFIG_MAX_WRITE_ZEROES_SEG]],
  [wire.F_SECURE_ERASE, [
    wire.CONFIG_MAX_SECURE_ERASE_SECTORS,
    wire.CONFIG_MAX_SECURE_ERASE_SEG,
    wire.CONFIG_SECURE_ERASE_SECTOR_ALIGNMENT,
  ]],
];

/** The features to accept: those that are offered, and whose limits can be true (D-90). */
export function usable(offered: bigint, config: Config): bigint {
  let features = offered & KNOWN;
  for (const [feature, fields] of LIMITS) {
    if (fields.some((field) => config.u32(field) === 0)) features &= ~feature;
  }
  if (zonesWrong(features, config) !== undefined) features &= ~wire.F_ZONED;
  // Such a disk frees storage by resets of its zones, and must not offer the other way (5.2.5).
  if (isHostManaged(features, config)) features &= ~wire.F_DISCARD;
  return features;
}

/** Whether the device's sequential zones take writes at their write pointers only. */
export function isHostManaged(features: bigint, config: Config): boolean {
  return (features & wire.F_ZONED) !== 0n && config.u8(wire.CONFIG_ZONE_MODEL) === wire.ZONED_HM;
}

/** Why the zones of a device cannot be used; undefined if they can. */
export function zonesWrong(features: bigint, config: Config): string | undefined {
  if (!(features & wire.F_ZONED)) return "it has none";
  const model = config.u8(wire.CONFIG_ZONE_MODEL);
  if (model !== wire.ZONED_HM && model !== wire.ZONED_HA) return `their model is ${model}`;
  const sectors = config.u32(wire.CONFIG_ZONE_SECTORS);
  if (!isPowerOfTwo(sectors)) return `a zone has ${sectors} sectors, which is no power of two`;
  const granularity = config.u32(wire.CONFIG_WRITE_GRANULARITY);
  if (!isPowerOfTwo(granularity) || granularity < wire.SECTOR_BYTES) {
    return `writes come in units of ${granularity} bytes`;
  }
  const append = config.u32(wire.CONFIG_MAX_APPEND_SECTORS) * wire.SECTOR_BYTES;
  if (append < granularity) return `an append has at most ${append} bytes`;
  const [open, active] = [
    config.u32(wire.CONFIG_MAX_OPEN_ZONES),
    config.u32(wire.CONFIG_MAX_ACTIVE_ZONES),
  ];
  if (active !== 0 && open > active) return `${open} may be open, and ${active} active`;
  return undefined;
}

/** Whether a number is 1, 2, 4 and so on. */
export function isPowerOfTwo(number: number): boolean {
  return number > 0 && Number.isInteger(Math.log2(number));
}
