/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference no-default-lib="true" />
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/// <reference lib="esnext" />

// The page of a trace: it plays what happened forward and back.

import { render } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { TraceEvent } from "../../core/trace/event.ts";
import { explain } from "../trace/explain.ts";
import { Ladder } from "./ladder.tsx";
import { Lanes, Queues } from "./queues.tsx";
import { history } from "./state.ts";
import { Status } from "./status.tsx";
import { Timeline } from "./timeline.tsx";

/** What can be left out when the trace is played. */
const KINDS = [
  ["registers", ({ kind, by }: TraceEvent) => kind === "register" && by !== "driver"],
  [
    "configuration",
    (event: TraceEvent) =>
      event.kind === "register" &&
      (event.window === "device" || event.name === "config_generation"),
  ],
  ["messages", ({ kind }: TraceEvent) => kind === "message"],
  ["requests", ({ kind }: TraceEvent) => ["request", "publish", "used"].includes(kind)],
  [
    "doorbells and interrupts",
    ({ kind }: TraceEvent) => kind === "doorbell" || kind === "interrupt",
  ],
  ["lanes", ({ kind }: TraceEvent) => kind === "lane"],
] as const;

/** Milliseconds between two events that are played. */
const SPEEDS = [["slow", 1200], ["normal", 500], ["fast", 120]] as const;

interface Trace {
  readonly events: readonly TraceEvent[];
  readonly missing: string | undefined;
}

function readTrace(): Trace {
  const text = document.getElementById("trace")!.textContent ?? "";
  const lines = text.split("\n").filter((line) => line !== "");
  const all = lines.map((line) => JSON.parse(line) as TraceEvent | { readonly end: string | null });
  const end = all.find((each) => "end" in each) as { end: string | null } | undefined;
  const missing = end === undefined
    ? "the program ended before it could finish this file"
    : end.end ?? undefined;
  return { events: all.filter((each): each is TraceEvent => "kind" in each), missing };
}

function Page({ events, missing }: Trace) {
  const devices = useMemo(() => [...new Set(events.map(({ device }) => device))], []);
  const [device, setDevice] = useState(devices.length === 1 ? devices[0]! : "");
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set(["configuration"]));
  // As in `trace.html#120`, to point at an event.
  const [at, setAt] = useState(Math.max(0, Number(location.hash.slice(1)) - 1 || 0));
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(500);
  const statesAfter = useMemo(() => history(events), []);
  /** The places of the events that are played. */
  const shown = useMemo(
    () =>
      events.flatMap((event, i) =>
        (device === "" || event.device === device) &&
          !KINDS.some(([name, is]) => hidden.has(name) && is(event))
          ? [i]
          : []
      ),
    [device, hidden],
  );
  const inside = (to: number) => Math.max(0, Math.min(shown.length - 1, to));
  const now = inside(at);
  const place = shown[now];
  const event = place === undefined ? undefined : events[place]!;
  const states = statesAfter(place === undefined ? 0 : place + 1);
  const state = event && states[event.device];
  const go = (to: number) => setAt(inside(to));
  // From where it is then: keys come faster than the page is drawn.
  const step = (by: number) => setAt((at) => inside(inside(at) + by));
  /** To the event that is shown at this place of the trace, or the one before. */
  const goTo = (place: number) => go(shown.findLastIndex((each) => each <= place));

  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() =>
      setAt((at) => {
        if (at + 1 < shown.length) return at + 1;
        setPlaying(false);
        return at;
      }), speed);
    return () => clearInterval(timer);
  }, [playing, speed, shown]);

  useEffect(() => {
    const press = (press: KeyboardEvent) => {
      if (press.target instanceof HTMLSelectElement) return;
      const page = 10;
      const keys: Record<string, () => void> = {
        ArrowRight: () => step(1),
        ArrowDown: () => step(1),
        ArrowLeft: () => step(-1),
        ArrowUp: () => step(-1),
        PageDown: () => step(page),
        PageUp: () => step(-page),
        Home: () => go(0),
        End: () => go(shown.length - 1),
        " ": () => setPlaying((playing) => !playing),
      };
      const action = keys[press.key];
      if (!action) return;
      press.preventDefault();
      action();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });

  if (event === undefined) {
    return <p class="empty">There is nothing to show{missing && `: ${missing}`}.</p>;
  }
  const toggle = (name: string) => {
    const next = new Set(hidden);
    if (!next.delete(name)) next.add(name);
    setHidden(next);
    const before = shown[now]!;
    setAt(Math.max(0, before === 0 ? 0 : now));
  };
  return (
    <>
      <header>
        <h1>What happened</h1>
        <label>
          device{" "}
          <select value={device} onChange={(e) => setDevice(e.currentTarget.value)}>
            {devices.length > 1 && <option value="">all {devices.length}</option>}
            {devices.map((each) => (
              <option key={each} value={each}>
                {events.find((event) => event.device === each)!.driver} {each}
              </option>
            ))}
          </select>
        </label>
        <fieldset>
          {KINDS.map(([name]) => (
            <label key={name}>
              <input type="checkbox" checked={!hidden.has(name)} onChange={() => toggle(name)} />
              {name}
            </label>
          ))}
        </fieldset>
      </header>
      {missing && <p class="missing">Not all is here: {missing}.</p>}
      <nav>
        <button type="button" title="to the start (Home)" onClick={() => go(0)}>|◀</button>
        <button type="button" title="back (←)" onClick={() => step(-1)}>◀</button>
        <button
          type="button"
          class="play"
          title="play (space)"
          onClick={() => setPlaying((playing) => !playing)}
        >
          {playing ? "pause" : "play"}
        </button>
        <button type="button" title="forward (→)" onClick={() => step(1)}>▶</button>
        <button type="button" title="to the end (End)" onClick={() => go(shown.length - 1)}>
          ▶|
        </button>
        <input
          type="range"
          aria-label="event"
          min={0}
          max={shown.length - 1}
          value={now}
          onInput={(e) => go(Number(e.currentTarget.value))}
        />
        <output>
          {now + 1} of {shown.length}, {(event.at - events[0]!.at).toFixed(3)} ms
        </output>
        <select value={speed} onChange={(e) => setSpeed(Number(e.currentTarget.value))}>
          {SPEEDS.map(([name, value]) => <option key={name} value={value}>{name}</option>)}
        </select>
      </nav>
      <Now event={event} />
      <main>
        <Ladder events={events} shown={shown} now={now} go={go} />
        <div class="state">
          <Status event={event} state={state!} />
          <Queues event={event} state={state!} />
          <Lanes event={event} state={state!} />
        </div>
      </main>
      <Timeline events={events} device={device} place={place!} goTo={goTo} />
      <footer>
        ← → step, space plays, Home and End, Page up and Page down by ten. Sections are those of
        VirtIO 1.4.
      </footer>
    </>
  );
}

/** What happens now, in words. */
function Now({ event }: { event: TraceEvent }) {
  const { what, section } = explain(event);
  return (
    <section class={`now ${event.by}`} aria-live="polite">
      <b>{event.by}</b> <span>{what}</span>
      {section !== undefined && <em>VirtIO 1.4, {section}</em>}
    </section>
  );
}

render(<Page {...readTrace()} />, document.getElementById("page")!);
