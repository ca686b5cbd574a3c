/**
 * Driver for the VirtIO SCSI host device (virtio 1.4, 5.6).
 *
 * @module
 */

import { type Config, definePlugin, type Plugin, type Properties } from "@virtio/deno/plugin";
import { ScsiTail } from "@virtio/deno/classes/scsi";
import { ANSWER_STRIDE, CONTROL_STRIDE, makeControl } from "./control.ts";
import { makeEvents } from "./events.ts";
import { HEADER_STRIDE, makeRequests, responseStride } from "./requests.ts";
import * as wire from "./wire.ts";

const SLOTS = 128;
const SLOT_BYTES = 65536;
const QUEUE_SIZE = 256;
const CONTROL_SLOTS = 16;
const CONTROL_DEADLINE = 5000;
/** Enough for a device that throttles (5.6.6.3). */
const EVENT_BUFFERS = 16;
const EVENT_SLOTS = 16;

/** More queues than this do not make one thread faster. */
const MOST_QUEUES = 4;
/** An event has 16 bytes; a device that wants more than this for one is not to be believed. */
const MOST_EVENT_BYTES = 65536;
/** What a LUN field has room for (5.6.6.1). */
const MOST_TARGET = 255, MOST_LUN = 16383;
const PAGE = 4096;

const WANTED = wire.F_INOUT | wire.F_HOTPLUG | wire.F_CHANGE | wire.F_T10_PI;

/** The driver. */
const scsi: Plugin = definePlugin({
  plan({ features: offered, config, queues: present, tunables }) {
    const features = offered & WANTED;
    if (config.length < wire.CONFIG_BYTES) {
      return {
        decline: `its configuration has ${config.length} bytes instead of ${wire.CONFIG_BYTES}`,
      };
    }
    const requestQueues = queueCount(config, present);
    if (requestQueues === 0) return { decline: "it has no request queue" };
    if (config.u32(wire.CONFIG_EVENT_INFO_SIZE) > MOST_EVENT_BYTES) {
      const size = config.u32(wire.CONFIG_EVENT_INFO_SIZE);
      return { decline: `it wants ${size} bytes for an event, which has ${wire.EVENT_BYTES}` };
    }
    const slots = slotCount(config, present);
    const requests = Array.from({ length: requestQueues }, (_, i) =>
      [
        `requests${i}`,
        // Header, protection information and data each way, response.
        { index: wire.REQUEST_QUEUE + i, size: QUEUE_SIZE, buffers: 6 },
      ] as const);
    return {
      features,
      queues: {
        control: { index: wire.CONTROL_QUEUE, size: 2 * CONTROL_SLOTS, buffers: 2 },
        event: { index: wire.EVENT_QUEUE, size: EVENT_BUFFERS },
        ...Object.fromEntries(requests),
      },
      lanes: {
        requests: { slots, slotBytes: dataBytes(config) + ScsiTail.bytes },
        control: { slots: CONTROL_SLOTS, slotBytes: 4, deadline: CONTROL_DEADLINE },
        events: { slots: EVENT_SLOTS, slotBytes: 4, deadline: 0 },
      },
      buffers: {
        headers: slots * HEADER_STRIDE,
        responses: slots * responseStride(Number(tunables.sense_size)),
        controls: CONTROL_SLOTS * CONTROL_STRIDE,
        answers: CONTROL_SLOTS * ANSWER_STRIDE,
        events: EVENT_BUFFERS * eventBytes(config),
      },
      properties: {
        ...properties(features, config),
        busReset: tunables.bus_reset_disable !== true,
      },
    };
  },

  start({ features, config, queues, lanes, buffers, tunables, writeConfig }) {
    // Usually what they are after a reset (5.6.4), so that a device that does not heed it is understood too.
    const senseSize = Number(tunables.sense_size);
    writeConfig("sense_size", senseSize);
    writeConfig("cdb_size", wire.CDB_SIZE);

    const { control: controlQueue, event: eventQueue, ...requestQueues } = queues;
    const requests = makeRequests({
      queues: Object.values(requestQueues),
      lane: lanes.requests,
      headers: buffers.headers,
      responses: buffers.responses,
      senseSize,
      protection: (features & wire.F_T10_PI) !== 0n,
    });
    const control = makeControl({
      queue: controlQueue,
      lane: lanes.control,
      controls: buffers.controls,
      answers: buffers.answers,
      requests,
    });
    const events = makeEvents({
      queue: eventQueue,
      lane: lanes.events,
      buffer: buffers.events,
      bytes: eventBytes(config),
    });
    const { size } = eventQueue;
    events.provide(Array.from({ length: Math.min(size, EVENT_BUFFERS) }, (_, i) => i));

    return {
      rung() {
        requests.collect();
        control.collect();
        events.collect();
        requests.provide();
        control.provide();
      },
      queueReset(name, cookies) {
        if (name === "control") control.again(cookies);
        else if (name === "event") events.provide(cookies);
        else requests.again(cookies);
      },
      statistics: () => ({ ...requests.counts, ...control.counts, ...events.counts }),
    };
  },
});

function queueCount(config: Config, present: readonly number[]): number {
  const there = present.slice(wire.REQUEST_QUEUE).filter((size) => size > 0).length;
  return Math.min(config.u32(wire.CONFIG_NUM_QUEUES), there, MOST_QUEUES);
}

/** Neither more than a unit takes, nor more than its queue has entries (5.6.4.1). */
function slotCount(config: Config, present: readonly number[]): number {
  const unitTakes = Math.max(1, config.u32(wire.CONFIG_CMD_PER_LUN));
  return Math.min(SLOTS, unitTakes, present[wire.REQUEST_QUEUE]!);
}

/** Bytes of data in a slot. It begins on a page, so it has as many segments as pages at worst. */
function dataBytes(config: Config): number {
  const segments = Math.max(1, config.u32(wire.CONFIG_SEG_MAX));
  const best = config.u32(wire.CONFIG_MAX_SECTORS) * 512;
  const most = Math.min(SLOT_BYTES, segments * PAGE, best || SLOT_BYTES);
  return Math.max(PAGE, most - most % PAGE);
}

/** Bytes of an event buffer: as many as the device may fill, in whole words. */
function eventBytes(config: Config): number {
  const said = config.u32(wire.CONFIG_EVENT_INFO_SIZE);
  return Math.max(wire.EVENT_BYTES, Math.ceil(said / 4) * 4);
}

function properties(features: bigint, config: Config): Properties {
  return {
    maxTarget: Math.min(config.u16(wire.CONFIG_MAX_TARGET), MOST_TARGET),
    maxLun: Math.min(config.u32(wire.CONFIG_MAX_LUN), MOST_LUN),
    bidirectional: (features & wire.F_INOUT) !== 0n,
    protection: (features & wire.F_T10_PI) !== 0n,
    hotplug: (features & wire.F_HOTPLUG) !== 0n,
  };
}

export default scsi;
