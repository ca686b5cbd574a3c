import type { BlockDevice } from "../classes/block/protocol.ts";
import type { Buffers } from "./buffers.ts";
import { Transmission } from "./protocol.ts";

/** The largest block that a client can be told of ("Size constraints"). */
export const MOST_BLOCK = 65536;
/** The most bytes of one request that moves data. */
export const MOST_DATA = 32 << 20;

/** A disk that is served. */
export interface Export {
  /** The disk. */
  readonly disk: BlockDevice;
  /** The name that clients may ask for, besides the empty one. */
  readonly name: string;
  /** Whether clients must not write, even if the disk could be written. */
  readonly readOnly: boolean;
  /** Where the data of all clients is kept meanwhile. */
  readonly buffers: Buffers;
}

/** Whether clients must not write. */
export function isReadOnly({ disk, readOnly }: Export): boolean {
  return readOnly || disk.readOnly;
}

/**
 * What clients are told that they can do.
 *
 * @param structured Whether replies are structured: others are never in fragments.
 */
export function transmissionFlags(served: Export, structured: boolean): number {
  const { disk } = served;
  let flags = Transmission.HAS_FLAGS | Transmission.SEND_FLUSH | Transmission.SEND_FUA |
    Transmission.SEND_CACHE;
  if (structured) flags |= Transmission.SEND_DF;
  // A flush makes durable what any connection has written.
  flags |= Transmission.CAN_MULTI_CONN;
  if (isReadOnly(served)) return flags | Transmission.READ_ONLY;
  flags |= Transmission.SEND_WRITE_ZEROES;
  if (disk.canWriteZeroes) flags |= Transmission.SEND_FAST_ZERO;
  if (disk.canDiscard) flags |= Transmission.SEND_TRIM;
  return flags;
}
