// What is told of the devices of a machine that is watched, as cells of tables.

import type { SeenDevice, Snapshot } from "../../watch/mod.ts";
import { formatSize } from "../block/size.ts";
import { printable } from "../printable.ts";

/** What happened in a second. */
export interface Rates {
  readonly requests: number;
  readonly bytes: number;
  readonly interrupts: number;
  readonly doorbells: number;
  /** Of a processor, 1 for all of one; undefined if the driver has no process of its own. */
  readonly processor: number | undefined;
}

interface Totals extends Omit<Rates, "processor"> {
  readonly processor: number;
}

function totals({ lanes, queues, interruptCounts, host }: SeenDevice): Totals {
  const sum = <T>(list: readonly T[], of: (each: T) => number | undefined) =>
    list.reduce((all, each) => all + (of(each) ?? 0), 0);
  return {
    // A served device has no lanes: what it was asked is in its queues.
    requests: lanes.length > 0
      ? sum(lanes, ({ ended }) => ended)
      : sum(queues, ({ completed }) => completed),
    bytes: sum(queues, ({ bytes }) => bytes && bytes.read + bytes.written),
    interrupts: sum(interruptCounts, (count) => count),
    doorbells: sum(queues, ({ notifications }) => notifications),
    processor: host.processor ?? 0,
  };
}

/** What happened in a second, between two looks at a device; since its driver was started if there was none before. */
export function ratesOf(
  device: SeenDevice,
  seconds: number,
  before: SeenDevice | undefined,
): Rates {
  // Another driver counts anew.
  const same = before?.pid === device.pid && before && before.host.uptime <= device.host.uptime;
  const [now, then] = [totals(device), same ? totals(before) : undefined];
  const time = then ? seconds : device.host.uptime;
  const rate = (of: (each: Totals) => number) =>
    time > 0 ? Math.max(0, of(now) - (then ? of(then) : 0)) / time : 0;
  return {
    requests: rate(({ requests }) => requests),
    bytes: rate(({ bytes }) => bytes),
    interrupts: rate(({ interrupts }) => interrupts),
    doorbells: rate(({ doorbells }) => doorbells),
    processor: device.host.processor === undefined ? undefined : rate(({ processor }) => processor),
  };
}

/** Heads of {@linkcode topRow}. */
export const TOP_HEAD = [
  "device",
  "driver",
  "state",
  "req/s",
  "bytes/s",
  "in flight",
  "bells/s",
  "irq/s",
  "CPU",
  "restarts",
] as const;

/** A device at work. */
export function topRow(device: SeenDevice, rates: Rates): string[] {
  const flying = (device.lanes.length > 0 ? device.lanes : device.queues)
    .reduce((sum, { inFlight = 0 }) => sum + inFlight, 0);
  const count = (number: number) => number >= 10 ? String(Math.round(number)) : number.toFixed(1);
  return [
    device.address,
    device.driver,
    device.state,
    count(rates.requests),
    formatSize(Math.round(rates.bytes)),
    String(flying),
    count(rates.doorbells),
    count(rates.interrupts),
    percent(rates.processor),
    String(device.restarts),
  ].map(printable);
}

/** Heads of {@linkcode hostRow}. */
export const HOST_HEAD = [
  "device",
  "driver",
  "process",
  "heap",
  "memory",
  "CPU",
  "uptime",
  "restarts",
  "state",
] as const;

/** The host of a driver. */
export function hostRow(device: SeenDevice): string[] {
  const { host: { heap, memory, processor, uptime }, pid } = device;
  return [
    device.address,
    device.driver,
    pid === undefined ? "inline" : String(pid),
    heap === undefined ? "-" : formatSize(heap),
    memory === undefined ? "-" : formatSize(memory),
    processor === undefined ? "-" : `${processor.toFixed(1)} s`,
    duration(uptime),
    String(device.restarts),
    device.state,
  ].map(printable);
}

/** One line about the machine. */
export function machineLine({ machine, pid, uptime }: Snapshot): string {
  const by = machine.kind === "served" ? "at work in" : "driven by";
  return printable(`${machine.description}, ${by} process ${pid} for ${duration(uptime)}`);
}

function percent(part: number | undefined): string {
  return part === undefined ? "-" : `${Math.round(part * 100)} %`;
}

function duration(seconds: number): string {
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 100) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
