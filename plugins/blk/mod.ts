/**
 * Driver for the VirtIO block device (virtio 1.4, 5.2).
 *
 * @module
 */

import {
  BlockOperation,
  BlockWord,
  type Config,
  definePlugin,
  type Plugin,
  type Properties,
  Status,
} from "@virtio/deno/plugin";
import * as wire from "./wire.ts";

const SLOTS = 128;
const SLOT_BYTES = 65536;
const QUEUE_SIZE = 256;

/** More queues than this do not make one thread faster. */
const MOST_QUEUES = 4;

const WANTED = wire.F_SIZE_MAX | wire.F_SEG_MAX | wire.F_RO | wire.F_BLK_SIZE | wire.F_FLUSH |
  wire.F_MQ;

/** A byte that no device writes as a status: it shows whether the device wrote one at all. */
const NO_STATUS = 0xff;

/** Positions are numbers here, and those are exact up to this many sectors: 8 PiB. */
const MOST_SECTORS = BigInt(Number.MAX_SAFE_INTEGER) / BigInt(wire.SECTOR_BYTES);

const TYPES: Readonly<Record<number, number>> = {
  [BlockOperation.read]: wire.T_IN,
  [BlockOperation.write]: wire.T_OUT,
  [BlockOperation.flush]: wire.T_FLUSH,
  [BlockOperation.identify]: wire.T_GET_ID,
};

/** The driver. */
const blk: Plugin = definePlugin({
  plan({ features: offered, config, queues: present }) {
    const features = offered & WANTED;
    if (config.length < wire.CONFIG_CAPACITY + 8) {
      return { decline: `its configuration of ${config.length} bytes has no room for a capacity` };
    }
    const capacity = config.u64(wire.CONFIG_CAPACITY);
    if (capacity > MOST_SECTORS) {
      return { decline: `its capacity of ${capacity} sectors cannot be true` };
    }
    const largest = features & wire.F_SIZE_MAX ? config.u32(wire.CONFIG_SIZE_MAX) : SLOT_BYTES;
    if (largest < wire.SECTOR_BYTES) {
      return { decline: `it takes ${largest} bytes at a time, less than a sector` };
    }
    // A slot may straddle one page more than it has, each a segment of its own at worst.
    const segments = features & wire.F_SEG_MAX ? config.u32(wire.CONFIG_SEG_MAX) : SLOT_BYTES;
    const pages = Math.max(1, segments - 1) * 4096;
    const slotBytes = Math.min(SLOT_BYTES, pages, largest - largest % wire.SECTOR_BYTES);
    return {
      features,
      // A request is header, data, status.
      queues: Object.fromEntries(
        Array.from(
          { length: queueCount(features, config, present) },
          (_, index) => [`requests${index}`, { index, size: QUEUE_SIZE, buffers: 3 }],
        ),
      ),
      lanes: { requests: { slots: SLOTS, slotBytes } },
      buffers: { headers: SLOTS * wire.HEADER_BYTES, statuses: SLOTS * wire.STATUS_BYTES },
      properties: properties(features, config),
    };
  },

  start(
    { features, queues, lanes: { requests: lane }, buffers: { headers, statuses } },
  ) {
    const header = new Uint32Array(
      headers.bytes.buffer,
      headers.offset,
      SLOTS * wire.HEADER_BYTES / 4,
    );
    const status = statuses.bytes;
    const all = Object.values(queues);
    const flushes = (features & wire.F_FLUSH) !== 0n;

    function provide(slot: number): boolean {
      const operation = lane.word(slot, BlockWord.operation);
      const type = TYPES[operation];
      if (type === undefined) {
        lane.complete(slot, Status.unsupported, 0);
        return true;
      }
      if (type === wire.T_FLUSH && !flushes) {
        // Without the feature there is no cache to flush (5.2.5.1).
        lane.complete(slot, Status.ok, 0);
        return true;
      }
      const length = dataLength(slot, type);
      const at = slot * wire.HEADER_BYTES / 4;
      const positioned = type === wire.T_IN || type === wire.T_OUT;
      header[at] = type;
      header[at + 2] = positioned ? lane.word(slot, BlockWord.sectorLow) : 0;
      header[at + 3] = positioned ? lane.word(slot, BlockWord.sectorHigh) : 0;
      status[slot] = NO_STATUS;

      // Requests have no order among themselves, so any queue will do.
      const requests = all[slot % all.length]!;
      requests.begin(slot);
      requests.readable(headers.offset + slot * wire.HEADER_BYTES, wire.HEADER_BYTES);
      if (type === wire.T_OUT) requests.readable(lane.offset(slot), length);
      else if (length > 0) requests.writable(lane.offset(slot), length);
      requests.writable(statuses.offset + slot, wire.STATUS_BYTES);
      return requests.commit();
    }

    function dataLength(slot: number, type: number): number {
      if (type === wire.T_FLUSH) return 0;
      if (type === wire.T_GET_ID) return wire.ID_BYTES;
      return Math.min(lane.word(slot, BlockWord.length), lane.slotBytes);
    }

    function collect(slot: number, written: number): void {
      const operation = lane.word(slot, BlockWord.operation);
      const length = dataLength(slot, TYPES[operation]!);
      let result = outcome(status[slot]!);
      // A read that did not fill its buffer up to the status byte is none (5.2.6).
      const reads = operation === BlockOperation.read || operation === BlockOperation.identify;
      if (result === Status.ok && reads && written < length + wire.STATUS_BYTES) {
        result = Status.invalid;
      }
      lane.complete(slot, result, length);
    }

    return {
      queueReset: (_, slots) => slots.forEach(provide),
      rung() {
        for (let i = 0; i < all.length; i++) all[i]!.drain(collect);
        lane.take(provide);
      },
      configured: (config) => properties(features, config),
    };
  },
});

function queueCount(features: bigint, config: Config, present: readonly number[]): number {
  if (!(features & wire.F_MQ)) return 1;
  const said = Math.max(1, config.u16(wire.CONFIG_NUM_QUEUES));
  const there = present.filter((size) => size > 0).length;
  return Math.max(1, Math.min(said, there, MOST_QUEUES));
}

function properties(features: bigint, config: Config): Properties {
  return {
    sectors: Number(config.u64(wire.CONFIG_CAPACITY)),
    blockSize: blockSize(features, config),
    readOnly: (features & wire.F_RO) !== 0n,
    writeCache: (features & wire.F_FLUSH) !== 0n,
  };
}

/** What the device says of its blocks, if that can be true; it is advice only. */
function blockSize(features: bigint, config: Config): number {
  const size = config.u32(wire.CONFIG_BLK_SIZE);
  const plausible = size >= wire.SECTOR_BYTES && size <= 2 ** 20 && (size & size - 1) === 0;
  return features & wire.F_BLK_SIZE && plausible ? size : wire.SECTOR_BYTES;
}

function outcome(status: number): number {
  if (status === wire.S_OK) return Status.ok;
  if (status === wire.S_IOERR) return Status.failed;
  if (status === wire.S_UNSUPP) return Status.unsupported;
  return Status.invalid;
}

export default blk;
