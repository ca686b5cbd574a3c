import type { Config, Properties } from "@virtio/deno/plugin";
import { isHostManaged, isPowerOfTwo } from "./limits.ts";
import * as wire from "./wire.ts";

/**
 * What the device's configuration tells its clients. Only what was agreed is looked at: the other fields mean nothing.
 *
 * @param writeCache Whether finished writes need a flush to be durable.
 */
export function properties(features: bigint, config: Config, writeCache: boolean): Properties {
  const block = blockSize(features, config);
  return {
    sectors: Number(config.u64(wire.CONFIG_CAPACITY)),
    blockSize: block,
    readOnly: (features & wire.F_RO) !== 0n,
    writeCache,
    cacheSwitch: (features & wire.F_CONFIG_WCE) !== 0n,
    ...(features & wire.F_TOPOLOGY && topology(config, block)),
    ...(features & wire.F_GEOMETRY && {
      cylinders: config.u16(wire.CONFIG_GEOMETRY),
      heads: config.u8(wire.CONFIG_GEOMETRY + 2),
      sectorsPerTrack: config.u8(wire.CONFIG_GEOMETRY + 3),
    }),
    ...(features & wire.F_DISCARD && {
      discardSectors: config.u32(wire.CONFIG_MAX_DISCARD_SECTORS),
      discardAlignment: config.u32(wire.CONFIG_DISCARD_SECTOR_ALIGNMENT),
    }),
    ...(features & wire.F_WRITE_ZEROES && {
      zeroesSectors: config.u32(wire.CONFIG_MAX_WRITE_ZEROES_SECTORS),
      zeroesUnmap: config.u8(wire.CONFIG_WRITE_ZEROES_MAY_UNMAP) === 1,
    }),
    ...(features & wire.F_SECURE_ERASE && {
      eraseSectors: config.u32(wire.CONFIG_MAX_SECURE_ERASE_SECTORS),
      eraseAlignment: config.u32(wire.CONFIG_SECURE_ERASE_SECTOR_ALIGNMENT),
    }),
    lifetime: (features & wire.F_LIFETIME) !== 0n,
    ...(features & wire.F_ZONED && {
      zoneSectors: config.u32(wire.CONFIG_ZONE_SECTORS),
      hostManaged: isHostManaged(features, config),
      mostOpenZones: config.u32(wire.CONFIG_MAX_OPEN_ZONES),
      mostActiveZones: config.u32(wire.CONFIG_MAX_ACTIVE_ZONES),
      appendSectors: config.u32(wire.CONFIG_MAX_APPEND_SECTORS),
      writeGranularity: config.u32(wire.CONFIG_WRITE_GRANULARITY),
    }),
  };
}

/** Blocks larger than this no device has: those of QEMU may be as large. */
const MOST_BLOCK_BYTES = 2 ** 21;

/** Bytes of the device's blocks, if what it says can be true: devices take requests in whole blocks only. */
export function blockSize(features: bigint, config: Config): number {
  const size = config.u32(wire.CONFIG_BLK_SIZE);
  const plausible = isPowerOfTwo(size) && size >= wire.SECTOR_BYTES && size <= MOST_BLOCK_BYTES;
  return features & wire.F_BLK_SIZE && plausible ? size : wire.SECTOR_BYTES;
}

/** In bytes. Physical blocks that cannot be are as large as the others. */
function topology(config: Config, block: number): Properties {
  const exponent = config.u8(wire.CONFIG_PHYSICAL_BLOCK_EXP);
  return {
    physicalBlockSize: exponent <= 16 ? block * 2 ** exponent : block,
    alignmentOffset: config.u8(wire.CONFIG_ALIGNMENT_OFFSET) * block,
    minimumTransfer: config.u16(wire.CONFIG_MIN_IO_SIZE) * block,
    bestTransfer: config.u32(wire.CONFIG_OPT_IO_SIZE) * block,
  };
}
