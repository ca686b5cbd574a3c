// The driver's side of the bus, the same in every driver host.

import { type Bell, Cause } from "../bus/bell.ts";
import { FRAMES } from "../bus/control.ts";
import type { Mailbox } from "../bus/mailbox.ts";
import type { FromDriver, Grant, QueueGrant, ToDriver } from "../bus/message.ts";
import { DriverLane } from "../bus/driver_lane.ts";
import { addressTable, deviceAddress, PAGE } from "../dma/address_table.ts";
import type { AnyPlugin, DefinedPciPlugin, RegisterWindow } from "../plugin/pci_plugin.ts";
import {
  apiOf,
  type Decline,
  type Driver,
  type Plugin,
  type Properties,
} from "../plugin/plugin.ts";
import { CountedQueue } from "../virtqueue/counted_queue.ts";
import { makeDriverQueue } from "../virtqueue/driver_queue.ts";
import type { DriverQueue, QueueFault } from "../virtqueue/virtqueue.ts";
import { configView } from "../binding/virtio/config_view.ts";
import { Kind, type TraceWriter } from "../trace/ring.ts";
import { TracedDriverLane } from "../trace/traced_lanes.ts";
import { TracedQueue } from "../trace/traced_queue.ts";
import { tracedRegisters } from "../trace/traced_registers.ts";
import { type AnyPlan, wirePlan } from "./wire_plan.ts";

const POLL_MS = 1;

/** How often a device is notified again of what it does not finish: it may have missed it, but not for ever. */
const KICKS = 3;

/** What a driver host gives to the session in it. */
export interface SessionPort {
  /** Control memory. */
  readonly control: SharedArrayBuffer;
  /** The arena. */
  readonly arena: SharedArrayBuffer;
  /** Messages from the core. */
  readonly inbox: Mailbox;
  /** Messages to the core. */
  readonly outbox: Mailbox;
  /** The core's bell. */
  readonly core: Bell;
  /** The windows of registers that were granted, by name. */
  readonly registers: Readonly<Record<string, RegisterWindow>>;
  /** The function that rings the doorbell of the queue with that index. */
  readonly doorbell: (index: number) => (data: number) => void;
  /** Milliseconds after which a device that should interrupt is looked at all the same. */
  readonly watch: number;
  /** Where it is told what the driver does, if that is wanted. */
  readonly trace?: TraceWriter;
  /** Whether the bytes of its queues are counted. */
  readonly counted: boolean;
  /** How many interrupts it hears. */
  readonly vectors: number;
}

/**
 * One driver and its device, from `hello` to `stopped`: the same in every kind of host. It answers the core's
 * messages and runs the driver; when and on which thread, its host decides.
 */
export class DriverSession {
  readonly #plugin: AnyPlugin;
  readonly #port: SessionPort;
  #offer!: Offered;
  #queues: readonly { grant: QueueGrant; queue: DriverQueue }[] = [];
  /** Of each queue: requests that came and went until it was looked at, and how often it may be kicked since. */
  #kicks: { moved: number; left: number }[] = [];
  #polled = false;
  #lanes: readonly DriverLane[] = [];
  #driver: Driver | undefined;
  #going = false;
  #resettable = false;
  /** Whether the core waits to hear that an interrupt was answered. */
  #unmask = false;
  /** How often each came. */
  readonly #interrupts: number[];
  /** Whether an interrupt came since the driver last worked. */
  #interrupted = false;
  /** Queues that are being reset, with what they held once that is known. The driver rests meanwhile. */
  readonly #resetting = new Map<string, readonly number[]>();
  #ended = false;
  /** Queues that were published before the device was live; it must not be notified then (3.1.1). */
  readonly #early = new Set<string>();

  constructor(plugin: AnyPlugin, port: SessionPort) {
    this.#plugin = plugin;
    this.#port = port;
    this.#interrupts = new Array(port.vectors).fill(0);
    this.#send({ type: "hello", api: apiOf(plugin) });
  }

  /** Whether the session is over, in order or not. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Answers all messages that are there. */
  mail(): void {
    try {
      for (;;) {
        const message = this.#port.inbox.receive();
        if (message === undefined || this.#ended) return;
        this.#answer(message as ToDriver);
      }
    } catch (error) {
      this.#fault(error);
    }
  }

  /**
   * Lets the driver work, and shows what it did to device and client.
   *
   * @returns Whether requests ended.
   */
  run(): boolean {
    if (!this.#going || this.#resetting.size > 0) return false;
    try {
      this.#driver!.rung();
      for (let i = 0; i < this.#queues.length; i++) this.#queues[i]!.queue.publish();
      let completed = false;
      for (let i = 0; i < this.#lanes.length; i++) {
        completed = this.#lanes[i]!.publish() || completed;
      }
      if (completed) this.#port.core.ring(Cause.lane);
      if (this.#unmask && this.#interrupted) {
        this.#interrupted = false;
        this.#port.core.ring(Cause.answered);
      }
      return completed;
    } catch (error) {
      this.#fault(error);
      return false;
    }
  }

  /**
   * Asks the device to tell when there is more.
   *
   * @returns Whether the host may sleep; if not, there is something to do already.
   */
  idle(): boolean {
    if (!this.#going || this.#resetting.size > 0) return true;
    let idle = true;
    for (let i = 0; i < this.#queues.length; i++) {
      const { queue, grant } = this.#queues[i]!;
      if (queue.arm()) idle = false;
      if (queue.broken) {
        if (this.#resettable && this.#driver!.queueReset) {
          this.#resetQueue(grant.name, queue.broken);
        } else this.#end({ type: "broken", queue: grant.name, ...queue.broken });
        return true;
      }
    }
    return idle;
  }

  /** An interrupt came, by one of the vectors; for the host. */
  interrupted(vector: number): void {
    this.#interrupted = true;
    this.#interrupts[vector]!++;
    this.#port.trace?.write(Kind.interrupt, vector, 0);
  }

  /** Whether the device does not interrupt. */
  get polled(): boolean {
    return this.#polled;
  }

  /**
   * How often, in milliseconds, to look at a device that has requests: without interrupts this is how it is found
   * that they ended, with them those are found whose interrupt was lost.
   */
  get period(): number {
    return this.#polled ? POLL_MS : this.#port.watch;
  }

  /**
   * Notifies the device of whatever it has, in case it missed that (rules D-58 and D-59). Requests that wait for
   * something to happen are left alone after a few times: each notification makes some devices begin anew to wait.
   */
  kick(): void {
    if (!this.#going) return;
    for (let i = 0; i < this.#queues.length; i++) {
      const { queue } = this.#queues[i]!;
      const kicks = this.#kicks[i]!;
      const { published, completed } = queue.counters;
      // Whatever moves begins the count anew.
      if (kicks.moved !== published + completed) {
        kicks.moved = published + completed;
        kicks.left = KICKS;
      }
      if (queue.inFlight > 0 && kicks.left-- > 0) queue.kick();
    }
  }

  /** Whether the device has requests, so that completions may come soon. */
  get busy(): boolean {
    // What the device has, only the driver knows: it looks now and then, as long as a client waits.
    if (this.#queues.length === 0) return this.#lanes.some((lane) => lane.open || lane.pending);
    for (let i = 0; i < this.#queues.length; i++) {
      if (this.#queues[i]!.queue.inFlight > 0) return true;
    }
    return false;
  }

  #answer(message: ToDriver): void {
    switch (message.type) {
      case "offer": {
        this.#offer = message;
        const plan = this.#plan(message);
        return this.#send(
          isDecline(plan)
            ? { type: "decline", reason: String(plan.decline) }
            : { type: "plan", plan: wirePlan(plan) },
        );
      }
      case "grant":
        this.#start(message.grant);
        // A device that speaks first finds room for it when it is live (3.1.1, step 7).
        for (const { queue } of this.#queues) queue.publish();
        return this.#send({ type: "ready" });
      case "go":
        this.#going = true;
        for (const { grant, queue } of this.#queues) if (this.#early.has(grant.name)) queue.kick();
        this.#early.clear();
        this.run();
        return;
      case "queueReset":
        return this.#empty(message.queue);
      case "queueEnabled":
        return this.#refill(message.queue);
      case "config": {
        const properties = this.#driver?.configured?.(configView(message.config));
        if (properties) this.#send({ type: "properties", properties });
        return;
      }
      case "inspect":
        return this.#send({
          type: "report",
          statistics: this.#driver?.statistics?.() ?? {},
          interrupts: this.#interrupts,
          heap: Deno.memoryUsage().heapUsed,
          queues: this.#queues.map(({ grant, queue }) => ({
            name: grant.name,
            inFlight: queue.inFlight,
            ...queue.counters,
            ...(queue instanceof CountedQueue && {
              bytes: { read: queue.read, written: queue.written },
            }),
            ...(queue.broken && { broken: queue.broken }),
          })),
        });
      case "stop":
        this.#going = false;
        this.#driver?.stop?.();
        return this.#end({ type: "stopped" });
    }
  }

  /** Shows the device to the plugin, as one of the kind that it drives. */
  #plan({ device, tunables }: Offered): AnyPlan | Decline {
    const plugin = this.#plugin;
    if (device.bus === "pci") {
      if (plugin.bus === "pci") return plugin.plan({ ...device, tunables });
      throw new Error(
        'This plugin drives VirtIO devices, and its plugin.json says "bus": "pci"; definePciPlugin() makes one that ' +
          "drives others",
      );
    }
    if (plugin.bus === "pci") {
      throw new Error(
        'This plugin drives PCI devices that are no VirtIO devices; its plugin.json must say "bus": "pci"',
      );
    }
    const { features, config, queues, legacy } = device;
    const offer = { features: BigInt(features), config: configView(config), queues, legacy };
    return plugin.plan({ ...offer, tunables });
  }

  #start(grant: Grant): void {
    const { arena, control, trace, counted } = this.#port;
    const addresses = addressTable(grant.runs);
    this.#polled = grant.polled;
    this.#resettable = grant.resettable;
    this.#queues = grant.queues.map((granted, subject) => {
      const { layout, eventIndex, inOrder } = granted;
      const notify = this.#notifier(granted, subject);
      const queue = makeDriverQueue({
        memory: arena,
        layout,
        addresses,
        eventIndex,
        inOrder,
        notify,
      });
      const traced = trace
        ? new TracedQueue({ queue, subject, memory: arena, layout, addresses, trace })
        : queue;
      return { grant: granted, queue: counted ? new CountedQueue(traced) : traced };
    });
    this.#kicks = this.#queues.map(() => ({ moved: 0, left: KICKS }));
    this.#lanes = grant.lanes.map((layout, subject) =>
      trace
        ? new TracedDriverLane(control, layout, subject, trace)
        : new DriverLane(control, layout)
    );
    this.#unmask = grant.unmask ?? false;
    const { device, tunables } = this.#offer;
    const common = {
      lanes: Object.fromEntries(grant.lanes.map(({ name }, i) => [name, this.#lanes[i]!])),
      buffers: Object.fromEntries(
        grant.buffers.map(({ name, offset, bytes }) => [
          name,
          { offset, bytes: new Uint8Array(arena, offset, bytes) },
        ]),
      ),
      tunables,
      setProperties: (properties: Properties) => this.#send({ type: "properties", properties }),
    };
    if (device.bus === "pci") {
      this.#driver = (this.#plugin as DefinedPciPlugin).start({
        ...common,
        registers: this.#registers(),
        vectors: device.vectors,
        address: (offset) => deviceAddress(grant.runs, offset),
      });
      return;
    }
    this.#driver = (this.#plugin as Plugin).start({
      ...common,
      features: BigInt(grant.features),
      queues: Object.fromEntries(this.#queues.map(({ grant: { name }, queue }) => [name, queue])),
      config: configView(grant.config),
      legacy: device.legacy,
      writeConfig: (field, value) => this.#send({ type: "writeConfig", field, value }),
      readConfig: () => this.#send({ type: "readConfig" }),
      frame: frames(
        grant.physical
          ? new Uint32Array(control, FRAMES, arena.byteLength / PAGE).slice()
          : undefined,
      ),
      canResetQueues: grant.resettable,
      resetQueue: (name) => this.#resetQueue(name),
    });
  }

  /** The windows of registers, which tell of each access if that is wanted. */
  #registers(): Readonly<Record<string, RegisterWindow>> {
    const { registers, trace } = this.#port;
    if (!trace) return registers;
    return Object.fromEntries(
      Object.entries(registers).map(([name, window], subject) => [
        name,
        tracedRegisters(
          window,
          (access, offset, width, value) =>
            trace.write(Kind.register, subject, offset, value, width, access === "write" ? 1 : 0),
        ),
      ]),
    );
  }

  /** Asks the core to reset a queue. Nothing is done with any of them until all are back. */
  #resetQueue(name: string, because?: QueueFault): void {
    if (!this.#resettable) {
      throw new Error(`Cannot reset queue ${name}: the device does not offer it`);
    }
    if (this.#resetting.has(name)) return;
    this.#resetting.set(name, []);
    this.#send({ type: "resetQueue", queue: name, ...(because && { because }) });
  }

  /** The device has let go of a queue. */
  #empty(name: string): void {
    const found = this.#queues.find(({ grant }) => grant.name === name)!;
    const cookies: number[] = [];
    found.queue.takeUnfinished((cookie) => cookies.push(cookie));
    this.#resetting.set(name, cookies);
    this.#send({ type: "emptied", queue: name });
  }

  /** A queue that was reset is enabled again. */
  #refill(name: string): void {
    this.#driver!.queueReset?.(name, this.#resetting.get(name) ?? []);
    this.#resetting.delete(name);
    this.run();
  }

  #notifier({ index, name }: QueueGrant, subject: number): (data: number) => void {
    const bell = this.#port.doorbell(index);
    const { trace } = this.#port;
    const ring = trace
      ? (data: number) => {
        trace.write(Kind.doorbell, subject, data);
        bell(data);
      }
      : bell;
    return (data) => {
      if (this.#going) ring(data);
      else this.#early.add(name);
    };
  }

  #fault(error: unknown): void {
    this.#end({ type: "fault", message: explain(error) });
  }

  /** Ends the session with its last words. */
  #end(message: FromDriver): void {
    this.#going = false;
    if (this.#ended) return;
    this.#ended = true;
    this.#send(message);
  }

  #send(message: FromDriver): void {
    if (!this.#port.outbox.send(message)) {
      throw new Error("Cannot send to the core: the mailbox is full");
    }
    this.#port.core.ring(Cause.mail);
  }
}

type Offered = Extract<ToDriver, { type: "offer" }>;
function isDecline(answer: AnyPlan | Decline): answer is Decline {
  return "decline" in answer;
}

/** Finds the page frame of a place in the arena; the table is a copy of its own, which does not change any more. */
function frames(table: Uint32Array | undefined): (offset: number) => number {
  return (offset) => {
    const frame = table?.[Math.floor(offset / PAGE)];
    if (frame !== undefined) return frame;
    throw new RangeError(
      "Cannot tell a page frame: the plan does not say `physical`, or this is outside of the arena",
    );
  };
}

/** The folder that the core's own modules are in. */
const CORE = new URL("../", import.meta.url).href;

/** What went wrong and where in the driver; the frames of the core would tell its author nothing. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const lines = (error.stack ?? error.message).split("\n").filter((line) => !line.includes(CORE));
  return lines.join("\n").slice(0, 2048);
}
