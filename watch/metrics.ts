// A machine's figures in the text format of Prometheus.

import type { SeenDevice, Snapshot } from "./snapshot.ts";

type Labels = Readonly<Record<string, string | number>>;
type Sample = readonly [labels: Labels, value: number | undefined];

/** What is told of a machine, by the name of the metric. */
interface Metric {
  readonly type: "counter" | "gauge";
  readonly help: string;
  /** The samples of one device. */
  readonly of: (device: SeenDevice) => readonly Sample[];
}

const one = (value: number | undefined): readonly Sample[] => [[{}, value]];
const perQueue =
  (of: (queue: SeenDevice["queues"][number]) => number | undefined) => ({ queues }: SeenDevice) =>
    queues.map((queue): Sample => [{ queue: queue.name }, of(queue)]);
const perLane = (of: (lane: SeenDevice["lanes"][number]) => number) => ({ lanes }: SeenDevice) =>
  lanes.map((lane): Sample => [{ lane: lane.name }, of(lane)]);

/** How often the interrupt of a queue was heard; undefined where it has none of its own. */
function interruptsOf(
  { interrupts, interruptCounts }: SeenDevice,
  vector: number | undefined,
): number | undefined {
  // Vector 0 is that of the configuration, which is the core's.
  return interrupts === "msix" && vector !== undefined ? interruptCounts[vector - 1] : undefined;
}

/**
 * By the conventions of Prometheus: base units, `_total` for what only grows. All but the restarts begin anew with their driver, which
 * Prometheus bears as it bears any restart.
 */
const METRICS: Readonly<Record<string, Metric>> = {
  virtio_device_info: {
    type: "gauge",
    help: "A device at work; the value is always 1.",
    of: (device) => [[{
      class: device.class,
      state: device.state,
      isolation: device.isolation,
      ...(device.transport && { transport: device.transport }),
      ...(device.interrupts && { interrupts: device.interrupts }),
    }, 1]],
  },
  virtio_queue_requests_total: {
    type: "counter",
    help: "Requests that were made available to the device.",
    of: perQueue(({ published }) => published),
  },
  virtio_queue_requests_used_total: {
    type: "counter",
    help: "Requests that the device has used.",
    of: perQueue(({ completed }) => completed),
  },
  virtio_queue_requests_in_flight: {
    type: "gauge",
    help: "Requests that the device has.",
    of: perQueue(({ inFlight }) => inFlight),
  },
  virtio_queue_doorbells_total: {
    type: "counter",
    help: "Notifications that were sent to the device.",
    of: perQueue(({ notifications }) => notifications),
  },
  virtio_queue_interrupts_total: {
    type: "counter",
    help: "Interrupts of the queue's vector that were heard; queues may share one.",
    of: (device) =>
      device.queues.map(({ name, vector }): Sample => [
        { queue: name },
        interruptsOf(device, vector),
      ]),
  },
  virtio_queue_read_bytes_total: {
    type: "counter",
    help: "Bytes that the device was given to read.",
    of: perQueue(({ bytes }) => bytes?.read),
  },
  virtio_queue_written_bytes_total: {
    type: "counter",
    help: "Bytes that the device says it wrote.",
    of: perQueue(({ bytes }) => bytes?.written),
  },
  virtio_device_interrupts_total: {
    type: "counter",
    help: "Interrupts of the device that its driver heard.",
    of: ({ interruptCounts }) => one(interruptCounts.reduce((sum, count) => sum + count, 0)),
  },
  virtio_lane_requests_total: {
    type: "counter",
    help: "Requests that the application submitted.",
    of: perLane(({ submitted }) => submitted),
  },
  virtio_lane_requests_ended_total: {
    type: "counter",
    help: "Requests of the application that have ended.",
    of: perLane(({ ended }) => ended),
  },
  virtio_lane_requests_in_flight: {
    type: "gauge",
    help: "Requests of the application that have not ended.",
    of: perLane(({ inFlight }) => inFlight),
  },
  virtio_driver_restarts_total: {
    type: "counter",
    help: "How often device and driver were started anew.",
    of: ({ host: { starts } }) => one(Math.max(0, starts - 1)),
  },
  virtio_driver_uptime_seconds: {
    type: "gauge",
    help: "Time since the driver was started.",
    of: ({ host: { uptime } }) => one(uptime),
  },
  virtio_driver_cpu_seconds_total: {
    type: "counter",
    help: "Processor time that the driver's process has used.",
    of: ({ host: { processor } }) => one(processor),
  },
  virtio_driver_heap_bytes: {
    type: "gauge",
    help: "Heap in use where the driver runs.",
    of: ({ host: { heap } }) => one(heap),
  },
  virtio_driver_resident_memory_bytes: {
    type: "gauge",
    help: "Memory in use by the driver's process, shared memory included.",
    of: ({ host: { memory } }) => one(memory),
  },
};

/** The type of what {@linkcode metricsText} writes, for HTTP. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A machine's figures in Prometheus' text format. */
export function metricsText({ devices, uptime, machine }: Snapshot): string {
  const lines = [
    ...head("virtio_machine_uptime_seconds", "gauge", "Time since the machine was opened."),
    sample("virtio_machine_uptime_seconds", { machine: machine.kind }, uptime),
  ];
  for (const [name, { type, help, of }] of Object.entries(METRICS)) {
    const samples = devices.flatMap((device) =>
      of(device).flatMap(([labels, value]) =>
        value === undefined
          ? []
          : [sample(name, { device: device.address, driver: device.driver, ...labels }, value)]
      )
    );
    if (samples.length > 0) lines.push(...head(name, type, help), ...samples);
  }
  return lines.map((line) => `${line}\n`).join("");
}

function head(name: string, type: Metric["type"], help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function sample(name: string, labels: Labels, value: number): string {
  const list = Object.entries(labels).map(([label, text]) => `${label}="${escaped(String(text))}"`);
  return `${name}{${list.join()}} ${value}`;
}

/** Names of queues and lanes are a driver's. */
function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => character === "\n" ? "\\n" : `\\${character}`);
}
