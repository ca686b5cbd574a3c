/**
 * The vocabulary of the bus. Nothing else crosses between the core and a driver host, apart from integers in lanes.
 *
 * What comes from a driver host is decoded field by field; a message outside the vocabulary is the fault of its
 * sender. What comes from the core is believed: a driver that doubts the core has no ground to stand on.
 *
 * @module
 */

import type { LaneLayout } from "./lane.ts";
import type { DmaRun } from "../dma/address_table.ts";
import type { PciIdentity } from "../pci/identity.ts";
import type { QueueCounters, QueueFault } from "../virtqueue/virtqueue.ts";
import type { QueueLayout } from "../virtqueue/layout.ts";
import { BusFault } from "./mailbox.ts";

/** From the core to a driver host. */
export type ToDriver =
  | {
    readonly type: "offer";
    readonly tunables: Readonly<Record<string, boolean | number | string>>;
    readonly device: WireOffer;
  }
  | { readonly type: "grant"; readonly grant: Grant }
  | { readonly type: "go" }
  | { readonly type: "config" } & ConfigCopy
  | { readonly type: "queueReset"; readonly queue: string }
  | { readonly type: "queueEnabled"; readonly queue: string }
  | { readonly type: "inspect" }
  | { readonly type: "stop" };

/** What a device offers, by its kind. */
export type WireOffer =
  | {
    readonly bus: "virtio";
    readonly features: string;
    readonly queues: readonly number[];
    readonly legacy: boolean;
  } & ConfigCopy
  | { readonly bus: "pci"; readonly identity: PciIdentity; readonly vectors: number };

/** Device configuration as it stood at one moment. */
export interface ConfigCopy {
  /** Its bytes. */
  readonly config: readonly number[];
}

/** What a driver host is given: plain data, offsets and numbers. */
export interface Grant {
  /** Features of the device type that were agreed, in hexadecimal. */
  readonly features: string;
  /** Where the device finds the arena. */
  readonly runs: readonly DmaRun[];
  /** Whether the device does not interrupt, so that it must be looked at. */
  readonly polled: boolean;
  /** Whether VIRTIO_F_RING_RESET was agreed. */
  readonly resettable: boolean;
  /** The device's configuration, read after the features were agreed. */
  readonly config: readonly number[];
  /** Whether control memory has the page frames of the arena. */
  readonly physical: boolean;
  /** Whether the core waits to hear that an interrupt was answered, before it lets the next one come. */
  readonly unmask?: boolean;
  /** Virtqueues. */
  readonly queues: readonly QueueGrant[];
  /** Lanes. */
  readonly lanes: readonly LaneLayout[];
  /** Memory of the driver's own. */
  readonly buffers: readonly {
    readonly name: string;
    readonly offset: number;
    readonly bytes: number;
  }[];
}

/** One granted virtqueue. */
export interface QueueGrant {
  /** Its name in the plan. */
  readonly name: string;
  /** Its index on the device. */
  readonly index: number;
  /** Where it is in the arena. */
  readonly layout: QueueLayout;
  /** Whether VIRTIO_F_EVENT_IDX was agreed. */
  readonly eventIndex: boolean;
  /** Whether VIRTIO_F_IN_ORDER was agreed. */
  readonly inOrder: boolean;
}

/** From a driver host to the core. */
export type FromDriver =
  | { readonly type: "hello"; readonly api: number }
  | { readonly type: "plan"; readonly plan: WirePlan }
  | { readonly type: "decline"; readonly reason: string }
  | { readonly type: "ready" }
  | { readonly type: "properties"; readonly properties: WireProperties }
  | { readonly type: "writeConfig"; readonly field: string; readonly value: number }
  | { readonly type: "readConfig" }
  | { readonly type: "report" } & DriverReport
  | { readonly type: "stopped" }
  | { readonly type: "broken"; readonly queue: string } & QueueFault
  | { readonly type: "resetQueue"; readonly queue: string; readonly because?: QueueFault }
  | { readonly type: "emptied"; readonly queue: string }
  | { readonly type: "fault"; readonly message: string };

/** A plan as it crosses the bus. */
export interface WirePlan {
  /** In hexadecimal. */
  readonly features: string;
  readonly queues: readonly { name: string; index: number; size: number; buffers: number }[];
  readonly lanes: readonly { name: string; slots: number; slotBytes: number; deadline?: number }[];
  readonly buffers: readonly { name: string; bytes: number }[];
  /** Left out where the driver learns them while it starts. */
  readonly properties?: WireProperties;
  readonly physical: boolean;
}

/** Facts for clients. */
export type WireProperties = Readonly<Record<string, number | string | boolean>>;

/** What a driver host knows of itself. */
export interface DriverReport {
  readonly queues: readonly QueueReport[];
  /** What the driver has counted, by its own names. */
  readonly statistics: Readonly<Record<string, number>>;
  /** How often each of its interrupts was heard. */
  readonly interrupts: readonly number[];
  /** Bytes of its heap that are in use. */
  readonly heap: number;
}

/** What a driver host knows of one of its queues. */
export interface QueueReport extends QueueCounters {
  /** Its name in the plan. */
  readonly name: string;
  /** Requests that have not ended. */
  readonly inFlight: number;
  /** Bytes that the device was given to read, and that it says it wrote; where they are counted. */
  readonly bytes?: { readonly read: number; readonly written: number };
  /** Why it is used no more, if so. */
  readonly broken?: QueueFault;
}

/**
 * Decodes a message from a driver host.
 *
 * @param value What the mailbox gave.
 * @throws BusFault If it is not in the vocabulary; the message names the field.
 */
export function fromDriver(value: unknown): FromDriver {
  const message = record(value, "message");
  const type = message.type;
  switch (type) {
    case "hello":
      return { type, api: whole(message.api, "hello.api") };
    case "plan":
      return { type, plan: plan(message.plan) };
    case "decline":
      return { type, reason: text(message.reason, "decline.reason") };
    case "properties":
      return { type, properties: properties(message.properties, "properties") };
    case "report":
      return {
        type,
        queues: list(message.queues, "report.queues").map(queueReport),
        statistics: statistics(message.statistics),
        interrupts: list(message.interrupts, "report.interrupts").map((count, i) =>
          whole(count, `report.interrupts[${i}]`)
        ),
        heap: whole(message.heap, "report.heap"),
      };
    case "writeConfig":
      return {
        type,
        field: text(message.field, "writeConfig.field"),
        value: whole(message.value, "writeConfig.value"),
      };
    case "broken":
      return { type, queue: text(message.queue, "broken.queue"), ...queueFault(message, "broken") };
    case "resetQueue":
      return {
        type,
        queue: text(message.queue, "resetQueue.queue"),
        ...(message.because !== undefined && {
          because: queueFault(message.because, "resetQueue.because"),
        }),
      };
    case "emptied":
      return { type, queue: text(message.queue, "emptied.queue") };
    case "fault":
      return { type, message: text(message.message, "fault.message") };
    case "ready":
    case "readConfig":
    case "stopped":
      return { type };
    default:
      throw new BusFault(
        `A driver sent a message of unknown type ${String(JSON.stringify(type)).slice(0, 40)}`,
      );
  }
}

function plan(value: unknown): WirePlan {
  const { features, queues, lanes, buffers, properties: facts, physical } = record(value, "plan");
  return {
    features: hex(features, "plan.features"),
    queues: list(queues, "plan.queues").map((item, i) => {
      const at = `plan.queues[${i}]`;
      const { name, index, size, buffers } = record(item, at);
      return {
        name: text(name, `${at}.name`),
        index: whole(index, `${at}.index`),
        size: whole(size, `${at}.size`),
        buffers: whole(buffers, `${at}.buffers`),
      };
    }),
    lanes: list(lanes, "plan.lanes").map((item, i) => {
      const at = `plan.lanes[${i}]`;
      const { name, slots, slotBytes, deadline } = record(item, at);
      return {
        name: text(name, `${at}.name`),
        slots: whole(slots, `${at}.slots`),
        slotBytes: whole(slotBytes, `${at}.slotBytes`),
        ...(deadline !== undefined && { deadline: whole(deadline, `${at}.deadline`) }),
      };
    }),
    buffers: list(buffers, "plan.buffers").map((item, i) => {
      const at = `plan.buffers[${i}]`;
      const { name, bytes } = record(item, at);
      return { name: text(name, `${at}.name`), bytes: whole(bytes, `${at}.bytes`) };
    }),
    ...(facts !== undefined && { properties: properties(facts, "plan.properties") }),
    physical: typeof physical === "boolean"
      ? physical
      : wrong("plan.physical", physical, "true or false"),
  };
}

/** Names are for people, so nothing in them may steer a terminal either. */
function statistics(value: unknown): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(record(value, "report.statistics")).map(([name, count]) => [
      text(name, "report.statistics"),
      whole(count, `report.statistics.${name}`),
    ]),
  );
}

function queueReport(value: unknown, i: number): QueueReport {
  const at = `report.queues[${i}]`;
  const queue = record(value, at);
  return {
    name: text(queue.name, `${at}.name`),
    inFlight: whole(queue.inFlight, `${at}.inFlight`),
    published: whole(queue.published, `${at}.published`),
    completed: whole(queue.completed, `${at}.completed`),
    notifications: whole(queue.notifications, `${at}.notifications`),
    overlong: whole(queue.overlong, `${at}.overlong`),
    ...(queue.bytes !== undefined && { bytes: queueBytes(queue.bytes, `${at}.bytes`) }),
    ...(queue.broken !== undefined && { broken: queueFault(queue.broken, `${at}.broken`) }),
  };
}

function queueBytes(value: unknown, at: string): { read: number; written: number } {
  const { read, written } = record(value, at);
  return { read: whole(read, `${at}.read`), written: whole(written, `${at}.written`) };
}

function queueFault(value: unknown, at: string): QueueFault {
  const { rule, what } = record(value, at);
  return { rule: text(rule, `${at}.rule`), what: text(what, `${at}.what`) };
}

function properties(value: unknown, at: string): WireProperties {
  for (const [name, fact] of Object.entries(record(value, at))) {
    if (!["number", "string", "boolean"].includes(typeof fact)) {
      wrong(`${at}.${name}`, fact, "a plain value");
    }
  }
  return value as WireProperties;
}

function record(value: unknown, at: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  return wrong(at, value, "an object");
}

function list(value: unknown, at: string): readonly unknown[] {
  return Array.isArray(value) && value.length <= 1024
    ? value
    : wrong(at, value, "a list of at most 1024");
}

function whole(value: unknown, at: string): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0
    ? value
    : wrong(at, value, "a whole number");
}

/** A text for people: nothing in it may steer a terminal. */
function text(value: unknown, at: string): string {
  return typeof value === "string" && value.length <= 16384
    ? value.replace(/[^\P{Cc}\n]/gu, "\ufffd")
    : wrong(at, value, "a short text");
}

function hex(value: unknown, at: string): string {
  return typeof value === "string" && /^0x[0-9a-f]{1,32}$/.test(value)
    ? value
    : wrong(at, value, "a hexadecimal number");
}

function wrong(at: string, value: unknown, wanted: string): never {
  throw new BusFault(
    `A driver sent ${at} = ${String(JSON.stringify(value)).slice(0, 60)}: ${wanted} is wanted`,
  );
}
