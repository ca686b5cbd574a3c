/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />

// Where a device is in its life, and how far its handshake is.

import type { JSX } from "preact";
import type { TraceEvent } from "../../core/trace/event.ts";
import { statusNames } from "../../core/virtio/status.ts";
import type { DeviceState } from "./state.ts";

/** In the order in which they are set. */
const ALL_BITS = statusNames(0xff);

/** The steps of 3.1.1. */
const STEPS = [
  "Reset the device",
  "ACKNOWLEDGE: it was noticed",
  "DRIVER: there is a driver for it",
  "Read the features, accept some",
  "FEATURES_OK: they are chosen",
  "Read FEATURES_OK back: it agrees",
  "Set up queues and the rest",
  "DRIVER_OK: it is live",
];

/** The state of a device and the eight steps. */
export function Status({ event, state }: { event: TraceEvent; state: DeviceState }): JSX.Element {
  const names = statusNames(state.status);
  return (
    <section class="card">
      <h2>
        {event.driver} {event.device} <small>{state.state}</small>
      </h2>
      <p class="bits">
        {ALL_BITS.map((name) => (
          <span key={name} class={names.includes(name) ? "on" : ""}>{name}</span>
        ))}
      </p>
      <ol>
        {STEPS.map((step, i) => (
          <li key={step} class={state.steps.includes(i + 1) ? "done" : ""}>{step}</li>
        ))}
      </ol>
    </section>
  );
}
