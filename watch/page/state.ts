// What a machine looks like after so many events of its trace.

import type { TracedDescriptor, TraceEvent } from "../../core/trace/event.ts";

/** A request that a device has. */
export interface OpenRequest {
  readonly number: number;
  readonly id: number;
  readonly cookie: number;
  readonly indirect: boolean;
  readonly published: boolean;
  readonly descriptors: readonly TracedDescriptor[];
}

/** A queue. */
export interface QueueState {
  readonly size: number;
  readonly kind: string;
  readonly open: readonly OpenRequest[];
  readonly made: number;
  readonly used: number;
  readonly doorbells: number;
}

/** Where a slot of a lane is. */
export type SlotState = "submitted" | "taken" | "complete";

/** A lane. */
export interface LaneState {
  readonly slots: number;
  readonly busy: Readonly<Record<number, SlotState>>;
  readonly ended: number;
}

/** A device. */
export interface DeviceState {
  readonly state: string;
  /** Bits of the status field, as it was last written or read. */
  readonly status: number;
  /** Steps of 3.1.1 that are done, 1 to 8. */
  readonly steps: readonly number[];
  readonly queues: Readonly<Record<string, QueueState>>;
  readonly lanes: Readonly<Record<string, LaneState>>;
  readonly interrupts: number;
}

const NEW: DeviceState = {
  state: "not taken",
  status: 0,
  steps: [],
  queues: {},
  lanes: {},
  interrupts: 0,
};
/** States in which a device keeps what it has. */
const KEEPING = ["running", "ending", "in need of a reset"];

const NO_QUEUE: QueueState = { size: 0, kind: "", open: [], made: 0, used: 0, doorbells: 0 };
const NO_LANE: LaneState = { slots: 0, busy: {}, ended: 0 };

/** The devices of a trace, by their addresses. */
export type States = Readonly<Record<string, DeviceState>>;

/** What they look like after one more event. */
export function after(states: States, event: TraceEvent): States {
  const before = states[event.device] ?? NEW;
  const now = device(before, event);
  return now === before && states[event.device] ? states : { ...states, [event.device]: now };
}

function device(now: DeviceState, event: TraceEvent): DeviceState {
  switch (event.kind) {
    case "state":
      return KEEPING.includes(event.state)
        ? { ...now, state: event.state }
        : { ...NEW, lanes: now.lanes, state: event.state };
    case "register":
      return register(now, event);
    case "message": {
      if (event.type !== "grant") return now;
      const { queues = [], lanes = [] } = event.body.grant as Granted;
      const entries = <T>(list: readonly { readonly name: string }[], make: (i: number) => T) =>
        Object.fromEntries(list.map(({ name }, i) => [name, make(i)]));
      return {
        ...now,
        queues: entries(queues, (i) => {
          const { size, kind } = queues[i]!.layout;
          return { ...NO_QUEUE, size, kind };
        }),
        lanes: entries(lanes, (i) => ({
          ...now.lanes[lanes[i]!.name] ?? NO_LANE,
          slots: lanes[i]!.slots,
        })),
      };
    }
    case "ring": {
      const { queue, layout: kind, size } = event;
      return change(now, queue, { ...NO_QUEUE, kind, size });
    }
    case "request": {
      const { number, id, cookie, indirect, descriptors } = event;
      const queue = now.queues[event.queue] ?? NO_QUEUE;
      const request = {
        number,
        id,
        cookie,
        indirect,
        descriptors,
        published: event.by === "device",
      };
      return change(now, event.queue, {
        open: [...queue.open, request],
        made: queue.made + 1,
      });
    }
    case "publish": {
      const { open } = now.queues[event.queue] ?? NO_QUEUE;
      return change(now, event.queue, { open: open.map((each) => ({ ...each, published: true })) });
    }
    case "used": {
      const { open, used } = now.queues[event.queue] ?? NO_QUEUE;
      const left = open.filter(({ number }) => number !== event.number);
      return change(now, event.queue, { open: left, used: used + 1 });
    }
    case "doorbell": {
      const { doorbells } = now.queues[event.queue] ?? NO_QUEUE;
      return change(now, event.queue, { doorbells: doorbells + 1 });
    }
    case "interrupt":
      return { ...now, interrupts: now.interrupts + 1 };
    case "lane": {
      const lane = now.lanes[event.lane] ?? NO_LANE;
      const { [event.slot]: _, ...busy } = lane.busy;
      const ended = event.step === "end";
      const as = { submit: "submitted", take: "taken", complete: "complete" } as const;
      return {
        ...now,
        lanes: {
          ...now.lanes,
          [event.lane]: {
            ...lane,
            busy: event.step === "end" ? busy : { ...busy, [event.slot]: as[event.step] },
            ended: lane.ended + (ended ? 1 : 0),
          },
        },
      };
    }
  }
  return now;
}

interface Granted {
  readonly queues?: readonly { name: string; layout: { size: number; kind: string } }[];
  readonly lanes?: readonly { name: string; slots: number }[];
}

function change(now: DeviceState, name: string, what: Partial<QueueState>): DeviceState {
  const queue = { ...now.queues[name] ?? NO_QUEUE, ...what };
  return { ...now, queues: { ...now.queues, [name]: queue } };
}

function register(now: DeviceState, event: TraceEvent & { kind: "register" }): DeviceState {
  const [, step] = /step (\d)/.exec(event.meaning ?? "") ?? [];
  const done = step === undefined ? now.steps : [...new Set([...now.steps, Number(step)])];
  if (event.name !== "device_status") return step === undefined ? now : { ...now, steps: done };
  const steps = event.access === "write" && event.value === 0 ? [1] : done;
  return { ...now, status: event.value, steps };
}

const EVERY = 200;

/** Makes what finds the states after the first `count` events, in whatever order it is asked. */
export function history(events: readonly TraceEvent[]): (count: number) => States {
  const kept: States[] = [{}];
  return (count) => {
    const from = Math.min(Math.floor(count / EVERY), kept.length - 1);
    let states = kept[from]!;
    for (let i = from * EVERY; i < count; i++) {
      states = after(states, events[i]!);
      if ((i + 1) % EVERY === 0) kept[(i + 1) / EVERY] = states;
    }
    return states;
  };
}
