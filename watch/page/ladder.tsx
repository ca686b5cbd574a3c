/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />

// The ladder: which part of the program, or the device, tells something to which.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import type { Actor, Told, TraceEvent } from "../../core/trace/event.ts";

const ALL: readonly Actor[] = ["client", "core", "driver", "machine", "device"];
const WIDTH = 700;
const ROW = 26;
const ROWS = 22;
const HEAD = 34;
const TIME = 76;

/** Where each part has its line. */
type Lines = ReadonlyMap<Actor, number>;

/** Lines for the parts that tell something, and the device. */
function linesOf(events: readonly TraceEvent[]): Lines {
  const seen = new Set<Actor>();
  for (const event of events) {
    const { from, to } = arrow(event);
    seen.add(from).add(to);
  }
  const actors = ALL.filter((actor) => actor === "device" || seen.has(actor));
  const step = (WIDTH - TIME - 90) / Math.max(1, actors.length - 1);
  return new Map(actors.map((actor, i) => [actor, TIME + 45 + i * step]));
}

/** From where to where an event goes, and what stands at its arrow. */
interface Arrow {
  readonly from: Actor;
  readonly to: Actor;
  readonly label: string;
  /** Whether it is an answer, or carries nothing but a signal. */
  readonly kind: "plain" | "answer" | "signal";
}

function arrow(event: Told): Arrow {
  switch (event.kind) {
    case "register": {
      const { access, name, window, offset, value, width } = event;
      const place = name ?? `${window} + ${offset}`;
      const number = `0x${value.toString(16).padStart(2 * width, "0")}`;
      return access === "write"
        ? { from: event.by, to: "device", label: `${place} := ${number}`, kind: "plain" }
        : { from: "device", to: event.by, label: `${place} is ${number}`, kind: "answer" };
    }
    case "message": {
      const to = { core: "driver", driver: "core", machine: "device" } as const;
      return { from: event.by, to: to[event.by], label: event.type, kind: "plain" };
    }
    case "ring": {
      const label = `${event.queue}: ${event.layout} ring of ${event.size}`;
      return { from: "device", to: "device", label, kind: "plain" };
    }
    case "request": {
      const { number, descriptors: { length } } = event;
      const what = `request ${number}, ${length} ${length === 1 ? "descriptor" : "descriptors"}`;
      return { from: event.by, to: event.by, label: what, kind: "plain" };
    }
    case "publish": {
      const label = event.requests === 1 ? "available" : `${event.requests} available`;
      return { from: "driver", to: "device", label, kind: "plain" };
    }
    case "used":
      return {
        from: "device",
        to: "driver",
        label: event.number === 0
          ? `id ${event.cookie} used, which it does not have`
          : `request ${event.number} used, ${event.written} bytes written`,
        kind: "answer",
      };
    case "doorbell":
      return { from: "driver", to: "device", label: `doorbell of ${event.queue}`, kind: "signal" };
    case "interrupt":
      return {
        from: "device",
        to: event.by === "device" ? "driver" : event.by,
        label: event.source,
        kind: "signal",
      };
    case "lane": {
      const label = `${event.lane}: ${event.step} slot ${event.slot}`;
      if (event.step === "submit") return { from: "client", to: "driver", label, kind: "plain" };
      if (event.step === "complete") return { from: "driver", to: "client", label, kind: "answer" };
      return { from: event.by, to: event.by, label, kind: "plain" };
    }
    case "state":
      return { from: event.by, to: event.by, label: event.state, kind: "plain" };
    case "check": {
      const label = event.step === "begin" ? event.name : `${event.name}: ${event.verdict}`;
      return { from: "core", to: "core", label, kind: "plain" };
    }
    case "clock":
      return { from: event.by, to: event.by, label: "clock compared", kind: "plain" };
    case "lost":
      return { from: event.by, to: event.by, label: `${event.count} events lost`, kind: "plain" };
  }
}

interface LadderProps {
  readonly events: readonly TraceEvent[];
  readonly shown: readonly number[];
  readonly now: number;
  readonly go: (to: number) => void;
}

/** The events around the one that is shown, from top to bottom. */
export function Ladder({ events, shown, now, go }: LadderProps): JSX.Element {
  const first = Math.max(0, Math.min(now - (ROWS >> 1), shown.length - ROWS));
  const rows = shown.slice(first, first + ROWS);
  const height = HEAD + ROWS * ROW;
  const start = events[0]!.at;
  const lines = useMemo(() => linesOf(events), [events]);
  const several = new Set(rows.map((place) => events[place]!.device)).size > 1;
  return (
    <svg class="ladder" viewBox={`0 0 ${WIDTH} ${height}`} role="img" aria-label="ladder">
      {[...lines].map(([actor, x]) => (
        <g key={actor} class={actor}>
          <line class="life" x1={x} x2={x} y1={HEAD - 6} y2={height} />
          <rect class="head" x={x - 42} y={4} width={84} height={22} rx={4} />
          <text class="actor" x={x} y={19}>{actor}</text>
        </g>
      ))}
      {rows.map((place, i) => {
        const event = events[place]!;
        const at = first + i;
        const y = HEAD + i * ROW + ROW / 2;
        const when = at === now ? "current" : at > now ? "future" : "past";
        return (
          <g
            key={place}
            class={`step ${when} ${event.by} ${event.kind}`}
            onClick={() => go(at)}
          >
            <rect class="row" x={0} y={y - ROW / 2} width={WIDTH} height={ROW} />
            <text class="time" x={TIME - 14} y={y + 4}>{(event.at - start).toFixed(3)}</text>
            <Step
              {...arrow(event)}
              lines={lines}
              y={y}
              prefix={several ? `${event.driver}: ` : ""}
            />
          </g>
        );
      })}
    </svg>
  );
}

interface StepProps extends Arrow {
  readonly lines: Lines;
  readonly y: number;
  readonly prefix: string;
}

function Step({ from, to, label, kind, lines, y, prefix }: StepProps) {
  const [a, b] = [lines.get(from)!, lines.get(to)!];
  if (a === b) {
    const last = a > WIDTH / 2;
    return (
      <>
        <circle cx={a} cy={y} r={4} />
        <text class={`label ${last ? "left" : "right"}`} x={a + (last ? -9 : 9)} y={y + 4}>
          {prefix + label}
        </text>
      </>
    );
  }
  const way = Math.sign(b - a);
  return (
    <>
      <line class={`arrow ${kind}`} x1={a} x2={b - way * 7} y1={y + 5} y2={y + 5} />
      <path d={`M ${b} ${y + 5} l ${-way * 8} -4 v 8 z`} />
      <text class="label middle" x={(a + b) / 2} y={y}>{prefix + label}</text>
    </>
  );
}
