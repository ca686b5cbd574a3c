/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />

// All of the trace, from left to right.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { TraceEvent } from "../../core/trace/event.ts";

const WIDTH = 1240;
const LABEL = 80;
const ROW = 20;
const ROWS = [
  ["client", (event: TraceEvent) => event.by === "client"],
  ["registers", (event: TraceEvent) => event.kind === "register"],
  ["messages", (event: TraceEvent) => event.kind === "message" || event.kind === "state"],
  ["checks", (event: TraceEvent) => event.kind === "check"],
  ["driver", (event: TraceEvent) => event.by === "driver" && event.kind === "lane"],
  ["requests", (event: TraceEvent) => event.kind === "request" || event.kind === "used"],
  ["doorbells", (event: TraceEvent) => event.kind === "doorbell"],
  ["interrupts", (event: TraceEvent) => event.kind === "interrupt"],
] as const;
/** What a zoom makes of the time that is shown. */
const ZOOM = 4;

interface TimelineProps {
  readonly events: readonly TraceEvent[];
  readonly device: string;
  readonly place: number;
  readonly goTo: (place: number) => void;
}

/** Ticks for all events, and a line for the one that is shown; a click goes there. */
export function Timeline({ events, device, place, goTo }: TimelineProps): JSX.Element {
  const [zoom, setZoom] = useState(1);
  const rows = useMemo(() => ROWS.filter(([, is]) => events.some(is)), [events]);
  const first = events[0]!.at;
  const whole = Math.max(events.at(-1)!.at - first, 0.001);
  const now = events[place]!.at - first;
  const span = whole / zoom;
  // While it is zoomed, what is shown stays in sight.
  const from = zoom === 1 ? 0 : Math.max(0, Math.min(whole - span, now - span / 2));
  const x = (time: number) => LABEL + (time - from) / span * (WIDTH - LABEL - 4);
  const ticks = useMemo(() =>
    rows.map(([, is]) => {
      const seen = new Set<number>();
      for (const event of events) {
        if ((device !== "" && event.device !== device) || !is(event)) continue;
        const time = event.at - first;
        if (time < from || time > from + span) continue;
        seen.add(Math.round(x(time) * 2) / 2);
      }
      return [...seen].map((at) => `M${at} 3v${ROW - 6}`).join("");
    }), [device, zoom, from]);
  const height = rows.length * ROW + 18;
  const click = (event: MouseEvent) => {
    const box = (event.currentTarget as SVGSVGElement).getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width * WIDTH;
    const time = first + from + (at - LABEL) / (WIDTH - LABEL - 4) * span;
    goTo(events.findLastIndex((each) => each.at <= time));
  };
  return (
    <section class="card timeline">
      <h2>
        timeline <button type="button" onClick={() => setZoom(zoom * ZOOM)}>closer</button>{" "}
        <button type="button" disabled={zoom === 1} onClick={() => setZoom(zoom / ZOOM)}>
          wider
        </button>
      </h2>
      <div class="strip">
        <svg viewBox={`0 0 ${WIDTH} ${height}`} onClick={click} role="img" aria-label="timeline">
          {rows.map(([name], row) => (
            <g key={name} class={name} transform={`translate(0 ${row * ROW})`}>
              <rect class="lane" x={LABEL} y={1} width={WIDTH - LABEL} height={ROW - 2} />
              <text x={LABEL - 8} y={ROW - 6}>{name}</text>
              <path d={ticks[row]!} />
            </g>
          ))}
          {[0, 0.25, 0.5, 0.75, 1].map((part) => (
            <text
              key={part}
              class={`scale ${part === 0 ? "right" : part === 1 ? "left" : "middle"}`}
              x={x(from + part * span)}
              y={height - 3}
            >
              {(from + part * span).toFixed(2)} ms
            </text>
          ))}
          <line class="cursor" x1={x(now)} x2={x(now)} y1={0} y2={rows.length * ROW} />
        </svg>
      </div>
    </section>
  );
}
