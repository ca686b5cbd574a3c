import type { TraceEvent } from "../../../mod.ts";
import { arrow, box, COLOURS, dashed, picture, text } from "./svg.ts";

const COLUMNS = { client: 110, core: 330, driver: 550, device: 770 } as const;
type Column = keyof typeof COLUMNS;
type Step = readonly [from: Column, to: Column, words: string];

/** The life of a device: each step of the handshake, a request, and the end. */
export function life(events: readonly TraceEvent[]): string {
  const steps = events.flatMap(stepOf);
  // What repeats itself says nothing new.
  const told = steps.filter((step, i) => step[2] !== steps[i - 1]?.[2]);
  const height = 110 + 30 * told.length;
  const parts = Object.entries(COLUMNS).flatMap(([name, x]) => [
    box(x - 80, 14, 160, 34, [name === "client" ? "application" : name], COLOURS[name as Column]),
    dashed(x, 48, x, height - 20),
  ]);
  told.forEach(([from, to, words], i) => {
    const y = 84 + 30 * i;
    const [a, b] = [COLUMNS[from], COLUMNS[to]];
    if (a === b) {
      parts.push(
        `<circle cx="${a}" cy="${y}" r="4" fill="${COLOURS.line}"/>`,
        text(a + 10, y + 4, words),
      );
      return;
    }
    const middle = (a + b) / 2;
    parts.push(
      arrow([a, y], [b, y]),
      text(middle, y - 5, words, { anchor: "middle" }),
    );
  });
  return picture(900, height, "The life of a device, from its reset to its end", parts);
}

/** What a step of the trace is in the picture, if it is there. */
function stepOf(event: TraceEvent): Step[] {
  switch (event.kind) {
    case "state":
      return [["core", "core", event.state]];
    case "message":
      return [
        event.by === "core" ? ["core", "driver", event.type] : ["driver", "core", event.type],
      ];
    case "register":
      return register(event);
    case "lane":
      return event.step === "submit"
        ? [["client", "driver", `submit slot ${event.slot}`]]
        : event.step === "complete"
        ? [["driver", "client", `complete slot ${event.slot}`]]
        : [];
    case "doorbell":
      return [["driver", "device", `doorbell ${event.queue}`]];
    case "used":
      return [["device", "driver", `used: ${event.written} bytes written`]];
    default:
      return [];
  }
}

function register(
  { access, name, value, meaning = "" }: Extract<TraceEvent, { kind: "register" }>,
): Step[] {
  if (access !== "write") return [];
  if (name === "device_status") {
    const last = meaning.split(",")[0]!.split(" | ").at(-1)!;
    return [["core", "device", `status ${value}: ${value === 0 ? "reset" : last}`]];
  }
  if (name === "queue_enable") return [["core", "device", `queue_enable ${value}`]];
  if (name === "driver_feature" && value !== 0) {
    return [["core", "device", `driver_feature 0x${value.toString(16)}`]];
  }
  return [];
}
