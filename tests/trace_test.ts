/**
 * Traces: what they tell is held against what happened, on simulated machines.
 *
 * @module
 */

import { DiskModel } from "@virtio/blk/model";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type Piece, PieceRequest } from "../simulation/piece_request.ts";
import { fitted, INDIRECT_DESC, type Request, RING_PACKED } from "../simulation/mod.ts";
import { monotonicClock } from "../core/linux/clock.ts";
import { DRIVERS } from "../drivers.ts";
import { openKernel, type TraceEvent, traceFile } from "../mod.ts";
import "./support/libc.ts";
import { leftovers } from "./support/leaks.ts";
import { program, run } from "./support/program.ts";

const ISOLATIONS = ["process", "inline"] as const;

/** Where this test's files go to. */
function folder(): { path: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "trace-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** A buffer of a request, as the device found it. */
interface Seen {
  readonly offset: number;
  readonly bytes: number;
  readonly write: boolean;
}

/** A disk that notes which buffers each request has, and when it got it. */
class NotingDisk extends DiskModel {
  readonly seen: Seen[][] = [];
  readonly times: number[] = [];

  override handle(queue: number, request: Request): number {
    this.times.push(performance.now());
    const take = (next: () => Piece) => {
      const pieces: Piece[] = [];
      for (let piece = next(); piece.length > 0; piece = next()) pieces.push(piece);
      return pieces;
    };
    const readable = take(() => request.nextReadable());
    const writable = take(() => request.nextWritable());
    const note = (write: boolean) => ({ byteOffset, length }: Piece) => ({
      ...{ offset: byteOffset, bytes: length, write },
    });
    this.seen.push([...readable.map(note(false)), ...writable.map(note(true))]);
    const pieces = [...readable, ...writable];
    return super.handle(queue, new PieceRequest(pieces, readable.length, () => {}));
  }
}

/** A traced machine with one disk, and what came of some requests. */
async function traced(
  disk: NotingDisk,
  isolation: "process" | "inline",
): Promise<readonly TraceEvent[]> {
  const events: TraceEvent[] = [];
  let ended = 0;
  {
    await using kernel = await openKernel({
      machine: "simulated",
      devices: [disk],
      drivers: DRIVERS,
      isolation,
      trace: { event: (event) => events.push(event), end: () => void ended++ },
    });
    const { client } = await kernel.attachFirst("block");
    await client.write(0, new Uint8Array(8192).fill(7));
    await Promise.all([0, 4096, 8192].map((at) => client.read(at, 4096)));
    await client.flush();
  }
  assertEquals(ended, 1);
  return events;
}

function of<Kind extends TraceEvent["kind"]>(
  events: readonly TraceEvent[],
  kind: Kind,
): Extract<TraceEvent, { kind: Kind }>[] {
  return events.filter((event): event is Extract<TraceEvent, { kind: Kind }> =>
    event.kind === kind
  );
}

for (const isolation of ISOLATIONS) {
  for (
    const [what, fittings] of [
      ["split ring with tables", {}],
      ["split ring", { without: INDIRECT_DESC }],
      ["packed ring with tables", { with: RING_PACKED }],
      ["packed ring", { with: RING_PACKED, without: INDIRECT_DESC }],
    ] as const
  ) {
    Deno.test(`trace: the descriptors of each request are those that the device found (${what}, ${isolation}) #core:trace_requests`, async () => {
      const disk = fitted(new NotingDisk({ capacity: 2 ** 20 }), fittings);
      const events = await traced(disk, isolation);
      const requests = of(events, "request");
      assert(requests.length >= 5);
      const grant = of(events, "message").find(({ type }) => type === "grant")!;
      const [{ address }] = (grant.body.grant as { runs: [{ address: number }] }).runs;
      const told = requests.map(({ descriptors }) =>
        descriptors.map((each) => ({
          ...{ offset: Number(each.address) - address, bytes: each.bytes, write: each.write },
        }))
      );
      assertEquals(told, disk.seen);
      const indirect = !("without" in fittings);
      assertEquals(requests.map((request) => request.indirect), requests.map(() => indirect));
      // Each was found used, by its number, with what the device wrote.
      const used = of(events, "used");
      assertEquals(used.map(({ number }) => number), requests.map(({ number }) => number));
      assertEquals(
        used.map(({ written }) => written),
        disk.seen.map((buffers) =>
          buffers.reduce((sum, { bytes, write }) => sum + (write ? bytes : 0), 0)
        ),
      );
    });
  }

  Deno.test(`trace: application, core, driver and device are on one clock (${isolation}) #core:trace_clock`, async () => {
    const disk = new NotingDisk({ capacity: 2 ** 20 });
    const events = await traced(disk, isolation);
    const clocks = of(events, "clock");
    assertEquals(new Set(clocks.map(({ by }) => by)), new Set(["core", "driver"]));
    const slack = clocks.reduce((sum, { uncertainty }) => sum + uncertainty, 0);
    assert(slack < 5, `the clocks may be off by ${slack} ms`);
    // In the order in which it must happen, whichever process told it.
    const first = (is: (event: TraceEvent) => boolean) => events.find(is)!;
    const step = (step: string) => (event: TraceEvent) =>
      event.kind === "lane" && event.step === step;
    const way = [
      first((event) => event.kind === "state" && event.state === "running"),
      first(step("submit")),
      first(step("take")),
      first(({ kind }) => kind === "request"),
      first(({ kind }) => kind === "publish"),
      first(({ kind }) => kind === "doorbell"),
      first(({ kind }) => kind === "used"),
      first(step("complete")),
      first(step("end")),
    ];
    for (const [i, event] of way.entries()) {
      assert(i === 0 || way[i - 1]!.at <= event.at + slack, `${way[i - 1]?.kind} ${event.kind}`);
    }
    // The device got its first request after the doorbell, and before the driver found that.
    const { offset, uncertainty } = monotonicClock();
    const device = disk.times[0]! + offset;
    const [doorbell, used] = [way[5]!, way[6]!];
    assert(doorbell.at - slack - uncertainty <= device, "the device was early");
    assert(device <= used.at + slack + uncertainty, "the device was late");
  });
}

Deno.test("trace: blk read tells the handshake in order, with the sections of the specification #cli:trace", async () => {
  using here = folder();
  const file = `${here.path}/trace.txt`;
  const { code, out, err } = await run(
    ...program("blk", "read", "--machine", "simulated", "--length", "4096", "--trace", file),
  );
  assertEquals([code, out.length, err.includes("error")], [0, 4096, false], err);
  const text = Deno.readTextFileSync(file);
  // The initialisation of 3.1.1, step by step, then a request on its way.
  const steps = [
    /core .* is starting/,
    /core .*writes common.device_status = 0x00: step 1: reset \(3\.1\.1\)/,
    /writes common.device_status = 0x01: ACKNOWLEDGE, step 2: .*\(3\.1\.1\)/,
    /writes common.device_status = 0x03: ACKNOWLEDGE \| DRIVER, step 3: .*\(3\.1\.1\)/,
    /reads common.device_feature = 0x\w+: offered, bits 0 to 31: .*VIRTIO_BLK_F_FLUSH.* \(2\.2\)/,
    /driver .*says "hello"/,
    /core .*says "offer"/,
    /driver .*says "plan"/,
    /writes common.driver_feature = 0x\w+: step 4: accepted, bits 0 to 31: .*\(3\.1\.1\)/,
    /writes common.device_status = 0x0b: .*FEATURES_OK, step 5: .*\(3\.1\.1\)/,
    /reads common.device_status = 0x0b: .*step 6: the device agrees \(3\.1\.1\)/,
    /writes common.queue_msix_vector = 0x0001: queue 0: vector 1 \(4\.1\.5\.1\.2\)/,
    /writes common.queue_desc \(low\) = 0x\w+: queue 0: .*\(4\.1\.5\.1\.3\)/,
    /writes common.queue_enable = 0x0001: queue 0: enabled, step 7: .*\(4\.1\.5\.1\.3\)/,
    /core .*says "grant"/,
    /driver .*says "ready"/,
    /writes common.device_status = 0x0f: .*DRIVER_OK, step 8: .*\(3\.1\.1\)/,
    /core .* is running/,
    /client .*lane requests: submits slot \d+: operation 0, 4096 bytes/,
    /driver .*lane requests: takes slot/,
    /driver .*requests0: request 1 of slot \d+, .*16 bytes at 0x\w+ to read, .*4096 bytes at 0x\w+ to write, .*1 bytes/,
    /driver .*requests0: makes 1 request available \(2\.6\)/,
    /driver .*requests0: notifies the device \(4\.1\.5\.2\)/,
    /driver .*requests0: finds request 1 of slot \d+ used, 4097 bytes written/,
    /client .*lane requests: slot \d+ ended: ok, 4096 bytes/,
    /core .* is gone/,
    /^# The end: nothing is missing\.$/m,
  ];
  let at = 0;
  for (const step of steps) {
    const found = step.exec(text.slice(at));
    assert(found, `after byte ${at} there is no ${step}`);
    at += found.index + found[0].length;
  }
});

Deno.test("trace: a file for Perfetto is trace-event JSON, and spans begin and end #cli:trace_perfetto", async () => {
  using here = folder();
  const file = `${here.path}/trace.json`;
  {
    await using kernel = await openKernel({ machine: "simulated", trace: file });
    const { client } = await kernel.attachFirst("block");
    await Promise.all([0, 512, 1024].map((at) => client.read(at, 512)));
  }
  const events: Record<string, unknown>[] = JSON.parse(Deno.readTextFileSync(file));
  const named = new Set<unknown>();
  const open = new Map<string, number>();
  const stack = new Map<unknown, string[]>();
  for (const event of events) {
    const { ph, name, pid, tid, ts, cat, id, s } = event;
    assert(typeof name === "string" && Number.isInteger(pid) && Number.isInteger(tid), `${name}`);
    assert(typeof ts === "number" && ts >= 0);
    switch (ph) {
      case "M":
        assertMatch(String((event.args as { name: string }).name), /./);
        named.add(`${name} ${pid} ${tid}`);
        break;
      case "i":
        assertEquals(s, "t");
        break;
      case "b":
      case "e": {
        const key = `${cat} ${id}`;
        const count = (open.get(key) ?? 0) + (ph === "b" ? 1 : -1);
        assert(count === 0 || count === 1, key);
        open.set(key, count);
        break;
      }
      case "B":
        stack.set(tid, [...stack.get(tid) ?? [], name]);
        break;
      case "E":
        assertEquals(stack.get(tid)?.pop(), name);
        break;
      default:
        throw new Error(`phase ${ph}`);
    }
    // All threads have names, by which Perfetto shows them.
    if (ph !== "M" && pid !== 0) assert(named.has(`thread_name ${pid} ${tid}`), `${pid} ${tid}`);
  }
  assertEquals([...open.values()].filter((count) => count !== 0), []);
  assertEquals([...open.keys()].filter((key) => key.startsWith("request ")).length, 3);
});

Deno.test("trace: a page holds all events, and nothing in them becomes markup #cli:trace_page", () => {
  using here = folder();
  const file = `${here.path}/trace.html`;
  const sink = traceFile(file);
  const nasty = "</script><img src=x onerror=alert(1)>";
  const events = [1, 2].map((at): TraceEvent => ({
    ...{ at, device: "0000:00:01.0", driver: "random", kind: "state", by: "core" },
    ...{ state: nasty },
  }));
  events.forEach((event) => sink.event(event));
  sink.end!();
  const text = Deno.readTextFileSync(file);
  const [, data] = /<script type="application\/json" id="trace">\n(.*?)<\/script>/s.exec(text)!;
  const lines = data!.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines, [...events, { end: null }]);
  assert(!text.includes("<img"));
  assertEquals(text.match(/<\/script>/g)?.length, 2);
  // Nothing is fetched: neither named nor allowed.
  assertMatch(text, /default-src 'none'/);
  assertEquals(/(?:src|href)=["']?https?:/.exec(text), null);
});

Deno.test("trace: a file at its limit says at its end what is missing, and the work is done #cli:trace_limit", async () => {
  using here = folder();
  const file = `${here.path}/trace.txt`;
  const { code, out, err } = await run(...program(
    ...["random", String(8 << 20), "--machine", "simulated"],
    ...["--trace", file, "--trace-limit", "1"],
  ));
  assertEquals([code, out.length], [0, 8 << 20], err);
  const text = Deno.readTextFileSync(file);
  assert(text.length <= 1 << 20, `${text.length}`);
  const last = /^# (\d+) more events were not written: the file is at its limit of 1 MiB\.$/m;
  const [line, count] = last.exec(text) ?? [];
  assert(line !== undefined && text.endsWith(`${line}\n`), text.slice(-300));
  assertMatch(err, new RegExp(`The trace in ${file} is cut: ${count} more events`));
});

Deno.test("trace: of each form the end is there when the limit was met #cli:trace_limit", () => {
  using here = folder();
  const event: TraceEvent = {
    ...{ at: 1, device: "0000:00:01.0", driver: "random", kind: "state", by: "core" },
    ...{ state: "x".repeat(1000) },
  };
  for (const ending of ["txt", "json", "html"]) {
    const told: string[] = [];
    const file = `${here.path}/trace.${ending}`;
    const sink = traceFile(file, { limit: 1 << 20, cut: (line) => told.push(line) });
    for (let i = 0; i < 3000; i++) sink.event(event);
    sink.end!();
    const text = Deno.readTextFileSync(file);
    assert(text.length <= 1 << 20, ending);
    assertMatch(text.slice(-40_000), /\d+ more events were not written/);
    if (ending === "json") JSON.parse(text);
    if (ending === "html") assertMatch(text, /<\/script>\n$/);
    assertEquals(told.length, 1);
  }
});

Deno.test("trace: a file that cannot be written is one sentence, and nothing was done #cli:trace_refused", async () => {
  using here = folder();
  const cases: readonly (readonly [file: string, code: number, says: RegExp])[] = [
    [`${here.path}/none/trace.txt`, 1, /none\/trace\.txt.*ENOENT/],
    [`${here.path}/trace.pdf`, 2, /must end in \.txt, \.json .* or \.html/],
    [here.path + "/f.txt", 1, /it is a folder|EISDIR/],
  ];
  Deno.mkdirSync(`${here.path}/f.txt`);
  for (const [file, code, says] of cases) {
    const ended = await run(...program("random", "16", "--machine", "simulated", "--trace", file));
    assertEquals([ended.code === 0, ended.out.length], [false, 0], ended.err);
    assertMatch(ended.err, says);
    if (code === 2) assertEquals(ended.code, 2);
    assertEquals(ended.err.trim().split("\n").length, 1, ended.err);
  }
  assertEquals([...Deno.readDirSync(here.path)].map(({ name }) => name), ["f.txt"]);
  // Where nothing is put to work, there is nothing to trace.
  const idle = await run(...program("drivers", "--trace", `${here.path}/x.txt`));
  assertEquals(idle.code, 2);
  assertMatch(idle.err, /Cannot use --trace with drivers: it puts no device to work/);
});

Deno.test("trace: a disk that is full ends the trace, told by one sentence, and not the work #cli:trace_full", async () => {
  using here = folder();
  const file = `${here.path}/trace.txt`;
  Deno.symlinkSync("/dev/full", file);
  const { code, out, err } = await run(
    ...program("random", "16", "--machine", "simulated", "--trace", file),
  );
  assertEquals([code, out.length], [1, 16], err);
  assertMatch(err, /^error: The trace in .*trace\.txt ends early: .*ENOSPC/m);
  assertEquals(err.match(/The trace in/g)?.length, 1);
});

Deno.test("trace: openKernel() that fails closes the file; what is no trace is refused", async () => {
  using here = folder();
  await openKernel({ machine: "simulated" }).then((kernel) => kernel[Symbol.asyncDispose]());
  const left = await leftovers(async () => {
    await assertRejects(() =>
      openKernel({
        machine: "simulated",
        trace: `${here.path}/a.txt`,
        tunables: { "no.such": true },
      })
    );
  });
  assertEquals(left, []);
  await assertRejects(
    () => openKernel({ machine: "simulated", trace: {} as never }),
    TypeError,
    "options.trace.event",
  );
});
