import type { TraceEvent } from "../../core/trace/event.ts";
import type { Format } from "./file.ts";
import { explain } from "./explain.ts";

/** A trace as lines: when, by which part, of which device, and what. */
export function textFormat(): Format {
  let start: number | undefined;
  return {
    begin: () =>
      "# What happened, in milliseconds since the first event, on the monotonic clock of the machine: one for all\n" +
      "# processes. Numbers in brackets are sections of virtio 1.4.\n",
    event(event) {
      start ??= event.at;
      return line(event, event.at - start);
    },
    end: (missing) =>
      missing === undefined ? "# The end: nothing is missing.\n" : `# ${missing}.\n`,
  };
}

function line(event: TraceEvent, at: number): string {
  const { what, section } = explain(event);
  return [
    at.toFixed(4).padStart(12),
    event.by.padEnd(7),
    event.device,
    event.driver.padEnd(7),
    `${what}${section === undefined ? "" : ` (${section})`}`,
  ].join(" ") + "\n";
}
