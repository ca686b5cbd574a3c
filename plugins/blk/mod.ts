/**
 * Driver for the VirtIO block device (virtio 1.4, 5.2).
 *
 * @module
 */

import { type Config, definePlugin, type Plugin } from "@virtio/deno/plugin";
import * as bus from "@virtio/deno/plugin";
import * as protocol from "@virtio/deno/classes/block";
import { isHostManaged, usable, zonesWrong } from "./limits.ts";
import { blockSize, properties } from "./properties.ts";
import { type RequestForm, requestForms } from "./requests.ts";
import { makeStatistics } from "./statistics.ts";
import * as wire from "./wire.ts";

const { Status } = bus;
const { BlockOperation, BlockWord } = protocol;
const { HEADER_BYTES, SEGMENT_BYTES, STATUS_BYTES, APPEND_BYTES, SECTOR_BYTES, S_OK } = wire;

const SLOTS = 128;
const SLOT_BYTES = 65536;
const QUEUE_SIZE = 256;
const CONTROL_SLOTS = 4;
const CONTROL_DEADLINE_MS = 5000;

/** What the device reads of a request besides its data: the header, and a segment where one is needed. */
const HEAD_BYTES = HEADER_BYTES + SEGMENT_BYTES;
/** What it writes: where an append went, which few requests have, and the status. */
const TAIL_BYTES = 16;
const TAIL_STATUS = APPEND_BYTES;

/** A byte that no device writes as a status: it shows whether the device wrote one at all. */
const NO_STATUS = 0xff;

/** Positions are numbers here, and those are exact up to this many sectors: 8 PiB. */
const MOST_SECTORS = BigInt(Number.MAX_SAFE_INTEGER) / BigInt(SECTOR_BYTES);

/** The driver. */
const blk: Plugin = definePlugin({
  plan({ features: offered, config, queues: present, tunables }) {
    if (config.length < wire.CONFIG_CAPACITY + 8) {
      return { decline: `its configuration of ${config.length} bytes has no room for a capacity` };
    }
    const capacity = config.u64(wire.CONFIG_CAPACITY);
    if (capacity > MOST_SECTORS) {
      return { decline: `its capacity of ${capacity} sectors cannot be true` };
    }
    const features = usable(offered, config);
    if (isHostManaged(offered, config) && !(features & wire.F_ZONED)) {
      // A driver that cannot make use of such zones must not use the disk (5.2.5).
      return { decline: `its zones cannot be true: ${zonesWrong(offered, config)}` };
    }
    const largest = features & wire.F_SIZE_MAX ? config.u32(wire.CONFIG_SIZE_MAX) : SLOT_BYTES;
    if (largest < SECTOR_BYTES) {
      return { decline: `it takes ${largest} bytes at a time, less than a sector` };
    }
    // A slot may straddle one page more than it has, each a segment of its own at worst.
    const segments = features & wire.F_SEG_MAX ? config.u32(wire.CONFIG_SEG_MAX) : SLOT_BYTES;
    const pages = Math.max(1, segments - 1) * 4096;
    const most = Math.min(SLOT_BYTES, pages, largest - largest % SECTOR_BYTES);
    const block = blockSize(features, config);
    if (most < block) {
      return { decline: `its blocks have ${block} bytes, and a request takes ${most}` };
    }
    const slotBytes = most - most % block;
    // More than a few do not make one thread faster.
    const mostQueues = Number(tunables.num_request_queues);
    return {
      features,
      // A request is header, data or segment, status.
      queues: Object.fromEntries(
        Array.from(
          { length: Math.min(queueCount(features, config, present), mostQueues) },
          (_, index) => [`requests${index}`, { index, size: QUEUE_SIZE, buffers: 3 }],
        ),
      ),
      lanes: {
        requests: { slots: SLOTS, slotBytes },
        control: { slots: CONTROL_SLOTS, slotBytes: 8, deadline: CONTROL_DEADLINE_MS },
      },
      buffers: { heads: SLOTS * HEAD_BYTES, tails: SLOTS * TAIL_BYTES },
      // The field with the mode of the cache must not be read yet (5.2.5).
      properties: properties(features, config, (features & wire.F_FLUSH) !== 0n),
    };
  },

  start(device) {
    const { features, queues, tunables } = device;
    const { lanes: { requests: lane, control }, buffers: { heads, tails } } = device;
    const head = new Uint32Array(heads.bytes.buffer, heads.offset, SLOTS * HEAD_BYTES / 4);
    const tail = new Uint32Array(tails.bytes.buffer, tails.offset, SLOTS * TAIL_BYTES / 4);
    const status = tails.bytes;
    const all = Object.values(queues);
    const forms = requestForms(features);
    const anonymous = tunables.no_ident === true;
    const flushes = (features & wire.F_FLUSH) !== 0n;
    const switches = (features & wire.F_CONFIG_WCE) !== 0n;
    const zoned = (features & wire.F_ZONED) !== 0n;
    const readOnly = (features & wire.F_RO) !== 0n;
    const statistics = makeStatistics();
    let config = device.config;
    let sectors = 0;
    let writeCache = flushes;

    /** What holds now; with {@linkcode wire.F_CONFIG_WCE} the device says how it caches, else as it must be (5.2.5.1). */
    function learn(now: Config) {
      config = now;
      sectors = Number(config.u64(wire.CONFIG_CAPACITY));
      if (switches) writeCache = config.u8(wire.CONFIG_WRITEBACK) === 1;
      return properties(features, config, writeCache);
    }

    function provide(slot: number): boolean {
      const operation = lane.word(slot, BlockWord.operation);
      const form = forms[operation];
      if (form === undefined) {
        // Without the feature there is no cache to flush (5.2.5.1).
        const nothing = operation === BlockOperation.flush;
        lane.complete(slot, nothing ? Status.ok : Status.unsupported, 0);
        return true;
      }
      if (operation === BlockOperation.identify && anonymous) {
        lane.complete(slot, Status.ok, 0);
        return true;
      }
      const length = dataLength(slot, operation);
      if (!fits(slot, operation, form, length)) {
        statistics.refuse();
        lane.complete(slot, Status.refused, 0);
        return true;
      }
      const at = slot * HEAD_BYTES / 4;
      head[at] = form.type;
      head[at + 2] = form.placed ? lane.word(slot, BlockWord.sectorLow) : 0;
      head[at + 3] = form.placed ? lane.word(slot, BlockWord.sectorHigh) : 0;
      status[slot * TAIL_BYTES + TAIL_STATUS] = NO_STATUS;

      // Requests have no order among themselves, so any queue will do.
      const requests = all[slot % all.length]!;
      const place = heads.offset + slot * HEAD_BYTES;
      requests.begin(slot);
      requests.readable(place, HEADER_BYTES);
      if (form.carries === "output") requests.readable(lane.offset(slot), length);
      else if (form.carries === "input") requests.writable(lane.offset(slot), length);
      else if (form.carries === "segment") {
        head[at + 4] = lane.word(slot, BlockWord.sectorLow);
        head[at + 5] = lane.word(slot, BlockWord.sectorHigh);
        head[at + 6] = lane.word(slot, BlockWord.sectors);
        head[at + 7] = lane.word(slot, BlockWord.flags);
        requests.readable(place + HEADER_BYTES, SEGMENT_BYTES);
      }
      const end = tails.offset + slot * TAIL_BYTES;
      if (operation === BlockOperation.zoneAppend) {
        requests.writable(end, APPEND_BYTES + STATUS_BYTES);
      } else requests.writable(end + TAIL_STATUS, STATUS_BYTES);
      return requests.commit();
    }

    function dataLength(slot: number, operation: number): number {
      switch (operation) {
        case BlockOperation.read:
        case BlockOperation.write:
        case BlockOperation.zoneAppend:
        case BlockOperation.zoneReport:
          return Math.min(lane.word(slot, BlockWord.length), lane.slotBytes);
        case BlockOperation.identify:
          return wire.ID_BYTES;
        case BlockOperation.lifetime:
          return wire.LIFETIME_BYTES;
        default:
          return 0;
      }
    }

    /** Whether the device is large enough and takes writes: it may have changed since the client asked (5.2.6.1). */
    function fits(slot: number, operation: number, form: RequestForm, length: number): boolean {
      if (form.changes && readOnly) return false;
      let count = 0;
      if (form.carries === "segment") {
        count = lane.word(slot, BlockWord.sectors);
        if (count === 0) return false;
      } else if (
        operation === BlockOperation.read || operation === BlockOperation.write ||
        operation === BlockOperation.zoneAppend
      ) {
        count = length / SECTOR_BYTES;
        if (count === 0 || count !== Math.floor(count)) return false;
      } else if (operation === BlockOperation.zoneReport) {
        if (length < wire.REPORT_BYTES + wire.ZONE_BYTES) return false;
      } else if (!form.placed) return true;
      const sector = lane.word(slot, BlockWord.sectorHigh) * 2 ** 32 +
        lane.word(slot, BlockWord.sectorLow);
      return sector + count <= sectors;
    }

    function collect(slot: number, written: number): void {
      const operation = lane.word(slot, BlockWord.operation);
      const form = forms[operation]!;
      let length = dataLength(slot, operation);
      const answer = status[slot * TAIL_BYTES + TAIL_STATUS]!;
      let result = outcome(answer, zoned);
      if (result === Status.ok) {
        if (operation === BlockOperation.zoneReport) {
          length = Math.min(length, Math.max(0, written - STATUS_BYTES));
        } else if (form.carries === "input" && written < length + STATUS_BYTES) {
          // A read that did not fill its buffer up to the status byte is none (5.2.6).
          result = Status.invalid;
        } else if (operation === BlockOperation.zoneAppend) {
          if (written < APPEND_BYTES + STATUS_BYTES) result = Status.invalid;
          lane.setWord(slot, BlockWord.sectorLow, tail[slot * TAIL_BYTES / 4]!);
          lane.setWord(slot, BlockWord.sectorHigh, tail[slot * TAIL_BYTES / 4 + 1]!);
        }
      }
      const moved = form.carries === "segment"
        ? lane.word(slot, BlockWord.sectors)
        : length / SECTOR_BYTES;
      statistics.count(operation, result, moved);
      lane.setWord(slot, BlockWord.answer, answer);
      lane.complete(slot, result, length);
    }

    function switchOver(slot: number): boolean {
      const operation = control.word(slot, BlockWord.operation);
      const mode = control.word(slot, BlockWord.sectors);
      if (operation !== BlockOperation.setWriteCache || !switches || mode > 1) {
        control.complete(slot, Status.unsupported, 0);
        return true;
      }
      setCache(mode);
      control.complete(slot, Status.ok, 0);
      return true;
    }

    function setCache(mode: number): void {
      device.writeConfig("writeback", mode);
      writeCache = mode === 1;
      device.setProperties(properties(features, config, writeCache));
    }

    const first = learn(config);
    const wantedMode = Number(tunables.writecache_mode);
    if (switches && wantedMode >= 0) setCache(wantedMode);
    else if (writeCache !== flushes) device.setProperties(first);
    return {
      queueReset: (_, slots) => slots.forEach(provide),
      rung() {
        for (let i = 0; i < all.length; i++) all[i]!.drain(collect);
        control.take(switchOver);
        lane.take(provide);
      },
      configured: learn,
      statistics: statistics.read,
    };
  },
});

function queueCount(features: bigint, config: Config, present: readonly number[]): number {
  if (!(features & wire.F_MQ)) return 1;
  const said = Math.max(1, config.u16(wire.CONFIG_NUM_QUEUES));
  const there = present.filter((size) => size > 0).length;
  return Math.max(1, Math.min(said, there));
}

function outcome(status: number, zoned: boolean): number {
  if (status === S_OK) return Status.ok;
  if (status === wire.S_UNSUPP) return Status.unsupported;
  const last = zoned ? wire.S_ZONE_ACTIVE_RESOURCE : wire.S_IOERR;
  return status === wire.S_IOERR || status > wire.S_UNSUPP && status <= last
    ? Status.failed
    : Status.invalid;
}

export default blk;
