/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />

// The rings with their chains of descriptors, and the lanes with their slots.

import type { JSX } from "preact";
import type { TracedDescriptor, TraceEvent } from "../../core/trace/event.ts";
import type { DeviceState, LaneState, OpenRequest, QueueState } from "./state.ts";

/** Slots that are drawn one by one; of more, only those that are in use. */
const MOST_CELLS = 256;
/** Chains that are drawn. */
const MOST_CHAINS = 5;
const CELL = 11;
const COLUMNS = 42;

/** Colours that tell chains apart. */
const COLOURS = 6;

interface Shown {
  readonly event: TraceEvent;
  readonly state: DeviceState;
}

/** All queues of a device. */
export function Queues({ event, state }: Shown): JSX.Element {
  return (
    <>
      {Object.entries(state.queues).map(([name, queue]) => (
        <Queue
          key={name}
          name={name}
          queue={queue}
          current={"queue" in event && event.queue === name ? event : undefined}
        />
      ))}
    </>
  );
}

interface QueueProps {
  readonly name: string;
  readonly queue: QueueState;
  readonly current: TraceEvent | undefined;
}

function Queue({ name, queue, current }: QueueProps) {
  const { size, kind, open, made, used, doorbells } = queue;
  const owner = new Map<number, OpenRequest>();
  for (const request of open) {
    if (request.indirect) owner.set(slotOf(queue, request), request);
    else for (const { slot } of request.descriptors) owner.set(slot, request);
  }
  const chains = open.slice(-MOST_CHAINS);
  return (
    <section class={`card ${current ? "touched" : ""}`}>
      <h2>
        {name} <small>{kind} ring of {size}</small>
      </h2>
      <p class="counts">
        {made} made, {made - open.filter(({ published }) => !published).length} available, {used}
        {" "}
        used, {open.length} in flight, {doorbells} doorbells
      </p>
      {size <= MOST_CELLS && (
        <Cells count={size}>
          {(slot) => {
            const request = owner.get(slot);
            if (!request) return "";
            return `chain${request.number % COLOURS} ${request.published ? "" : "unpublished"}`;
          }}
        </Cells>
      )}
      {open.length > MOST_CHAINS && <p class="counts">… and {open.length - MOST_CHAINS} before</p>}
      {chains.map((request) => <Chain key={request.number} {...request} kind={kind} />)}
    </section>
  );
}

/** Which entry of the ring stands for a request with a table of its own: a split ring's head is its id. */
function slotOf({ kind, size }: QueueState, { id, number }: OpenRequest): number {
  return kind === "split" ? id : (number - 1) % size;
}

function Chain(
  { number, id, cookie, indirect, published, descriptors, kind }: OpenRequest & { kind: string },
) {
  return (
    <div class={`chain chain${number % COLOURS} ${published ? "" : "unpublished"}`}>
      <b title={`slot ${cookie} of the client's lane`}>{number}</b>
      <span class="head">{kind === "split" ? "head" : "id"} {id}{indirect && ", table"}</span>
      {descriptors.map((descriptor) => <Descriptor key={descriptor.slot} {...descriptor} />)}
    </div>
  );
}

function Descriptor({ slot, address, bytes, write }: TracedDescriptor) {
  return (
    <span
      class={`descriptor ${write ? "write" : "read"}`}
      title={`the device ${write ? "writes" : "reads"} there`}
    >
      <i>[{slot}]</i> {write ? "writes" : "reads"} <b>{bytes}</b>
      <small>{address}</small>
    </span>
  );
}

/** All lanes of a device. */
export function Lanes({ event, state }: Shown): JSX.Element {
  return (
    <>
      {Object.entries(state.lanes).map(([name, lane]) => (
        <Lane
          key={name}
          name={name}
          lane={lane}
          current={event.kind === "lane" && event.lane === name}
        />
      ))}
    </>
  );
}

function Lane({ name, lane, current }: { name: string; lane: LaneState; current: boolean }) {
  const { slots, busy, ended } = lane;
  return (
    <section class={`card ${current ? "touched" : ""}`}>
      <h2>
        lane {name} <small>{slots} slots, {ended} requests ended</small>
      </h2>
      {slots <= MOST_CELLS && <Cells count={slots}>{(slot) => busy[slot] ?? ""}</Cells>}
      <p class="key">
        <span class="submitted">submitted</span> <span class="taken">with the driver</span>{" "}
        <span class="complete">complete</span>
      </p>
    </section>
  );
}

/** A field of slots, each with the class that `children` gives it. */
function Cells({ count, children }: { count: number; children: (slot: number) => string }) {
  const rows = Math.ceil(count / COLUMNS);
  return (
    <svg class="cells" viewBox={`0 0 ${COLUMNS * CELL} ${rows * CELL}`}>
      {Array.from({ length: count }, (_, slot) => (
        <rect
          key={slot}
          class={children(slot)}
          x={slot % COLUMNS * CELL}
          y={Math.floor(slot / COLUMNS) * CELL}
          width={CELL - 2}
          height={CELL - 2}
          rx={2}
        >
          <title>{slot}</title>
        </rect>
      ))}
    </svg>
  );
}
