import { assert, assertEquals } from "@std/assert";
import type { TraceEvent } from "./event.ts";
import { Kind, TRACE_BYTES, TraceReader, TraceWriter } from "./ring.ts";
import { Trace } from "./trace.ts";

const CLOCK = { offset: 1000, uncertainty: 0.001 };
/** Records that the ring has room for. */
const ROOM = 65536;

Deno.test("TraceWriter: what finds no room is counted, what was written stays #core:trace_bounded", () => {
  const memory = new SharedArrayBuffer(TRACE_BYTES);
  const writer = new TraceWriter(memory, 0, CLOCK);
  const reader = new TraceReader(memory, 0);
  for (let i = 0; i < ROOM + 5; i++) writer.write(Kind.doorbell, 3, i);
  // A request and its descriptors are told together or not at all.
  assert(!writer.room(4));
  const records = reader.take();
  assertEquals(records.length, ROOM);
  assertEquals(records.map(({ numbers }) => numbers[0]), Array.from({ length: ROOM }, (_, i) => i));
  assertEquals(records[7]!.subject, 3);
  assertEquals([reader.lost(), reader.lost()], [6, 0]);
  writer.write(Kind.doorbell, 0, 42);
  assertEquals(reader.take().map(({ numbers }) => numbers[0]), [42]);
});

Deno.test("TraceWriter: a driver that is started anew goes on where the one before it ended", () => {
  const memory = new SharedArrayBuffer(TRACE_BYTES);
  const reader = new TraceReader(memory, 0);
  new TraceWriter(memory, 0, CLOCK).write(Kind.interrupt, 1, 0);
  new TraceWriter(memory, 0, CLOCK).write(Kind.interrupt, 2, 0);
  assertEquals(reader.take().map(({ subject }) => subject), [1, 2]);
});

Deno.test("Trace: whatever a driver writes into its ring, the core goes on #core:trace_hostile", () => {
  const memory = new SharedArrayBuffer(TRACE_BYTES);
  const events: TraceEvent[] = [];
  {
    using trace = new Trace({ event: (event) => events.push(event) }, CLOCK);
    const device = trace.device("0000:00:01.0", "liar");
    device.listen(memory, 0);
    const words = new Uint32Array(memory);
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < words.length; i += 16384) {
        words.set(crypto.getRandomValues(new Uint32Array(16384)).subarray(0, words.length - i), i);
      }
      // Now and then a number of records that can be.
      if (round % 2 === 0) words[0] = words[32]! + round;
      device.fetch();
    }
    const now = trace.now();
    for (const { at } of events) assert(at > 0 && at <= now, `${at}`);
  }
  assert(events.some(({ by }) => by === "driver"), "nothing of it was told");
  for (const event of events) JSON.stringify(event);
});

Deno.test("Trace: events are passed on in the order of their times #core:trace_clock", () => {
  const memory = new SharedArrayBuffer(TRACE_BYTES);
  const events: TraceEvent[] = [];
  {
    using trace = new Trace({ event: (event) => events.push(event) }, CLOCK);
    const device = trace.device("0000:00:01.0", "random");
    device.listen(memory, 0);
    device.named({ queues: ["requests"], lanes: [], windows: [] });
    // Both clocks are this process.s.
    const writer = new TraceWriter(memory, 0, CLOCK);
    device.tell({ kind: "state", by: "core", state: "first" });
    writer.write(Kind.doorbell, 0, 0);
    device.tell({ kind: "state", by: "core", state: "last" });
  }
  const order = events.map((event) => event.kind === "state" ? event.state : event.kind)
    .filter((what) => what !== "clock");
  assertEquals(order, ["first", "doorbell", "last"]);
  assertEquals(events.map(({ at }) => at), events.map(({ at }) => at).sort((a, b) => a - b));
});
