// A trace as the trace-event JSON that Perfetto and Chrome read.

import type { Told, TraceEvent } from "../../core/trace/event.ts";
import { explain } from "./explain.ts";
import type { Format } from "./file.ts";

/** A span begins and ends in the same category, though different events do both. */
const SPANS: Readonly<Partial<Record<Told["kind"], string>>> = { used: "request" };

/** States that are spans of a device's life. */
const STARTS: Readonly<Record<string, string>> = { starting: "start", recovering: "start anew" };

/** The fields of a trace event, as the format names them. */
interface Entry {
  readonly ph: "M" | "i" | "b" | "e" | "B" | "E";
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds. */
  readonly ts: number;
  readonly cat?: string;
  readonly id?: string;
  /** An instant concerns its thread. */
  readonly s?: "t";
  readonly args?: object;
}

/**
 * A trace as a list of trace events: a process of Perfetto's for each device, in it a thread for each part of the program and
 * each of its queues and lanes. A request is a span from where it was made to where it was found used, one of a client
 * from its submission to its end, a device's start one from `starting` to what comes next, and one anew from `recovering`.
 *
 * The list need not be closed, so a file that ends early can be read, too.
 */
export function perfettoFormat(): Format {
  const numbers = new Map<string, number>();
  /** Of devices, by their addresses, the span that is open. */
  const starts = new Map<string, string | undefined>();
  let start: number | undefined;
  let entries: Entry[] = [];

  /** The number of something that has a name, which is told at first. */
  function numberOf(key: string, tell: (number: number) => Entry): number {
    let number = numbers.get(key);
    if (number === undefined) {
      numbers.set(key, number = numbers.size + 1);
      entries.push(tell(number));
    }
    return number;
  }

  function place(event: TraceEvent): Pick<Entry, "pid" | "tid" | "ts"> {
    const ts = (event.at - (start ?? event.at)) * 1000;
    const pid = numberOf(event.device, (pid) => ({
      ...{ ph: "M", name: "process_name", pid, tid: 0, ts: 0 },
      args: { name: `${event.driver} ${event.device}` },
    }));
    const thread = threadOf(event);
    const tid = numberOf(`${event.device} ${thread}`, (tid) => ({
      ...{ ph: "M", name: "thread_name", pid, tid, ts: 0 },
      args: { name: thread },
    }));
    return { pid, tid, ts };
  }

  /** A span ends where a device becomes something else, and never twice. */
  function lifeSpan(device: string, state: string, at: Pick<Entry, "cat" | "pid" | "tid" | "ts">) {
    const open = starts.get(device);
    if (open !== undefined) entries.push({ ph: "E", name: open, ...at });
    const name = STARTS[state];
    if (name !== undefined) entries.push({ ph: "B", name, ...at });
    starts.set(device, name);
  }

  function add(event: TraceEvent): void {
    const at = place(event);
    const { what, section } = explain(event);
    const { at: _at, device, driver: _driver, by: _by, kind, ...facts } = event;
    const args = {
      ...facts,
      what,
      ...(section !== undefined && { section: `virtio 1.4, ${section}` }),
    };
    const instant = (name: string): Entry => ({ ph: "i", s: "t", name, cat: kind, ...at, args });
    const span = (ph: "b" | "e", name: string, id: string): Entry => (
      { ph, name, cat: SPANS[kind] ?? kind, id: `${device} ${id}`, ...at, args }
    );
    switch (event.kind) {
      case "request":
      case "used": {
        if (event.number === 0) return void entries.push(instant("used what it does not have"));
        const id = `${event.queue} ${event.number}`;
        entries.push(span(event.kind === "request" ? "b" : "e", `request of ${event.queue}`, id));

        return;
      }
      case "lane": {
        const name = `slot of ${event.lane}`;
        const id = `${event.lane} ${event.slot}`;
        if (event.step === "submit") entries.push(span("b", name, id));
        else if (event.step === "end") entries.push(span("e", name, id));
        else entries.push(instant(`${event.step} slot ${event.slot}`));
        return;
      }
      case "check":
        entries.push(
          event.step === "begin"
            ? { ph: "B", name: event.name, cat: kind, ...at, args }
            : { ph: "E", name: event.name, cat: kind, ...at, args },
        );
        return;
      case "state":
        lifeSpan(event.device, event.state, { cat: kind, ...at });
        entries.push(instant(event.state));
        return;
      case "register":
        entries.push(instant(`${event.access} ${event.name ?? event.window}`));
        return;
      case "message":
        entries.push(instant(event.type));
        return;
      default:
        entries.push(instant(kind));
    }
  }

  /** What there is now as text, for the list. */
  function taken(): string {
    const text = entries.map((entry) => `${JSON.stringify(entry)},\n`).join("");
    entries = [];
    return text;
  }

  return {
    begin: () => "[\n",
    event(event) {
      start ??= event.at;
      add(event);
      return taken();
    },
    end(missing) {
      const name = missing === undefined ? "nothing is missing" : missing;
      const last: Entry = { ph: "i", s: "t", name, cat: "end", pid: 0, tid: 0, ts: 0 };
      return `${JSON.stringify(last)}\n]\n`;
    },
  };
}

function threadOf(event: Told): string {
  switch (event.kind) {
    case "request":
    case "publish":
    case "used":
    case "doorbell":
    case "ring":
      return `${event.by}: ${event.by === "driver" ? "queue " : ""}${event.queue}`;
    case "lane":
      return `${event.by}: lane ${event.lane}`;
    case "register":
      return `${event.by}: registers`;
    case "message":
      return `${event.by}: messages`;
    case "check":
      return "checks";
    default:
      return event.by;
  }
}
