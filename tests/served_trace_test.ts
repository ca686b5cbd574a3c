/**
 * Devices that are served to other programs, as a trace and figures show them: what the device says is held against what the
 * driver at the other side says.
 *
 * @module
 */

import { DiskModel } from "@virtio/blk/model";
import { NvmeModel } from "@virtio/nvme/model";
import { EntropyModel } from "@virtio/random/model";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { bit, Feature, openKernel, type TraceEvent } from "../mod.ts";
import { serveVfioUser, serveVhostUser } from "../serve/mod.ts";
import { Irq } from "../serve/vfio_user/protocol.ts";
import { fitted, IN_ORDER, lying, RING_PACKED } from "../simulation/mod.ts";
import { ControlClient, watchServed } from "../watch/mod.ts";
import { Folder } from "./support/back_ends.ts";
import { checkJson } from "./support/json.ts";
import { descriptors, leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { program, run, Running } from "./support/program.ts";
import { Client, GuestQueue } from "./support/vfio_user.ts";

function of<Kind extends TraceEvent["kind"]>(
  events: readonly TraceEvent[],
  kind: Kind,
): Extract<TraceEvent, { kind: Kind }>[] {
  return events.filter((event): event is Extract<TraceEvent, { kind: Kind }> =>
    event.kind === kind
  );
}

const { INDIRECT_DESC, RING_PACKED: PACKED, IN_ORDER: ORDERED } = Feature;
const RINGS: readonly (readonly [what: string, without: bigint])[] = [
  ["packed ring with tables", 0n],
  ["packed ring", bit(INDIRECT_DESC)],
  ["split ring with tables", bit(PACKED) | bit(ORDERED)],
  ["split ring", bit(PACKED) | bit(ORDERED) | bit(INDIRECT_DESC)],
];

for (const [what, without] of RINGS) {
  Deno.test(`trace: a device served by vhost-user finds the requests that its driver makes (${what}) #cli:trace_serve`, async () => {
    using folder = new Folder();
    const socket = folder.of("socket");
    const [here, there]: TraceEvent[][] = [[], []];
    const left = await leftovers(async () => {
      const model = fitted(new DiskModel({ capacity: 2 ** 20 }), { with: RING_PACKED | IN_ORDER });
      await using served = serveVhostUser(model, socket, {
        name: "blk",
        trace: { event: (event) => here!.push(event) },
      });
      {
        await using kernel = await openKernel({
          ...{ machine: "vhost-user", vhostUser: [{ kind: "blk", socket }], without },
          trace: { event: (event) => there!.push(event) },
        });
        const { client } = await kernel.attachFirst("block");
        await client.write(0, new Uint8Array(8192).fill(7));
        await Promise.all([0, 4096, 8192].map((at) => client.read(at, 4096)));
        await client.flush();
      }
      assert(await soon(() => !served.connected));
      const { clients, connected, interrupts, queues: [queue] } = served.figures!;
      const requests = of(there!, "request").length;
      assertEquals([clients, connected, queue!.inFlight], [1, false, 0]);
      assertEquals([queue!.published, queue!.completed], [requests, requests]);
      // Five headers and 8 KiB in, three times 4 KiB and a byte of status each out.
      assertEquals(queue!.bytes, { read: 5 * 16 + 8192, written: 3 * 4096 + 5 });
      assert(queue!.notifications > 0 && interrupts > 0);
    });
    assertEquals(left.filter((each) => !each.includes("process")), []);
    const told = (events: readonly TraceEvent[]) =>
      of(events, "request").map(({ id, indirect, descriptors }) => ({ id, indirect, descriptors }));
    assertEquals(told(here!), told(there!));
    const written = (events: readonly TraceEvent[]) =>
      of(events, "used").map(({ number, written }) => [number, written]);
    assertEquals(written(here!), written(there!));
    const [ring] = of(here!, "ring");
    assertEquals(ring!.layout, what.split(" ")[0]);
    // What the machine said, in the order of the protocol.
    const said = of(here!, "message").map(({ by, type }) => `${by} ${type}`);
    const way = ["GET_FEATURES", "SET_FEATURES", "SET_MEM_TABLE", "SET_VRING_KICK"];
    const places = way.map((type) => said.indexOf(`machine ${type}`));
    assertEquals(places, [...places].sort((a, b) => a - b), `${said}`);
    assert(places[0]! >= 0);
    assertEquals(of(here!, "state").map(({ state }) => state), ["connected", "waiting"]);
    for (const event of here!) JSON.stringify(event);
  });
}

Deno.test("trace: a function served by vfio-user: registers by name, doorbells, requests, interrupts #cli:trace_serve", async () => {
  using folder = new Folder();
  const events: TraceEvent[] = [];
  let ended = 0;
  const BASE = 0x100000, DATA = BASE + 0x1000;
  {
    await using server = serveVfioUser(
      {
        rng: new EntropyModel(),
        nvme: new NvmeModel({ namespaces: { 1: { capacity: 2 ** 20 } } }),
      },
      folder.of("."),
      {
        log: () => {},
        trace: { event: (event) => events.push(event), end: () => void ended++ },
      },
    );
    {
      using client = await Client.greeted(server.sockets.rng!);
      await client.enable();
      const memory = await client.memory(BASE, 0x40000);
      const interrupted = await client.interrupts(Irq.INTX, 0);
      const queue = await GuestQueue.start(client, memory, BASE);
      await queue.submit([DATA, 64, true]);
      assert(await interrupted(), "no interrupt");
    }
    using other = await Client.greeted(server.sockets.nvme!);
    await other.read(0, 0x08, 4);
    const { rng } = server.figures();
    assertEquals([rng!.queues[0]!.published, rng!.queues[0]!.notifications], [1, 1]);
  }
  assertEquals(ended, 1);
  const mine = events.filter(({ device }) => device === "rng");
  const status = of(mine, "register").filter(({ name, access }) =>
    name === "device_status" && access === "write"
  );
  assertEquals(status.at(-1)!.value, 0x0f);
  assertMatch(status.at(-1)!.meaning!, /DRIVER_OK/);
  const [request] = of(mine, "request");
  assertEquals(request!.descriptors, [
    { slot: 0, address: `0x${DATA.toString(16)}`, bytes: 64, write: true },
  ]);
  // In the order in which it happened.
  const order = mine.map(({ kind }) => kind).filter((kind) =>
    ["ring", "doorbell", "request", "used", "interrupt"].includes(kind)
  );
  assertEquals(order, ["ring", "doorbell", "request", "used", "interrupt"]);
  assertEquals(of(mine, "doorbell")[0]!.queue, "queue 0");
  // Registers of another kind of function, by their places.
  const bar = of(events, "register").find(({ device }) => device === "nvme");
  assertEquals([bar?.window, bar?.offset, bar?.width], ["BAR 0", 8, 4]);
});

Deno.test("trace: of a device that lies, what is in its ring is told, and not what its model meant #cli:trace_serve", async () => {
  using folder = new Folder();
  const socket = folder.of("socket");
  const events: TraceEvent[] = [];
  {
    // It uses each twice, and says that it has written more than there was room for.
    const model = lying(new DiskModel({ capacity: 2 ** 20 }), "D-43", "D-45");
    await using _served = serveVhostUser(model, socket, {
      trace: { event: (event) => events.push(event) },
    });
    await using kernel = await openKernel({
      ...{ machine: "vhost-user", vhostUser: [{ kind: "blk", socket }], restarts: 0 },
    });
    const { client, gone } = await kernel.attachFirst("block");
    await client.read(0, 512).catch(() => {});
    await gone;
  }
  const [request] = of(events, "request");
  const room = request!.descriptors.reduce((sum, { bytes, write }) => sum + (write ? bytes : 0), 0);
  const used = of(events, "used");
  assert(used[0]!.written > room, `${room}`);
  assertEquals(used.slice(0, 2).map(({ number }) => number), [1, 0]);
});

Deno.test("watch: top, hosts, show --live and figures of what serve serves, in the same shapes #cli:watch_serve", async () => {
  using folder = new Folder();
  const [socket, control, metrics, trace] = ["blk.sock", "control", "m.prom", "t.txt"].map((name) =>
    folder.of(name)
  ) as [string, string, string, string];
  {
    await using serving = new Running(program(
      ...["serve", "blk", "--vhost-user", socket],
      ...["--control", control, "--metrics", metrics, "--trace", trace],
    ));
    const there = () => {
      try {
        return Deno.statSync(control).isSocket === true;
      } catch {
        return false;
      }
    };
    assert(await soon(there), "there is no control socket");
    const looked = async (...args: readonly string[]) => {
      const { code, text, err } = await run(...program(...args));
      assertEquals(code, 0, err);
      return text;
    };
    const before = checkJson((await looked("top", control, "--count", "1", "--json")).trim());
    assertEquals([before.machine.kind, before.devices[0].state], ["served", "waiting"]);
    {
      await using kernel = await openKernel({
        ...{ machine: "vhost-user", vhostUser: [{ kind: "blk", socket }] },
      });
      const { client } = await kernel.attachFirst("block");
      for (let i = 0; i < 5; i++) await client.read(i * 512, 512);
      using look = new ControlClient(control);
      const { devices: [seen] } = await look.look(AbortSignal.timeout(30_000), 30_000);
      const { address, driver, state, statistics, queues: [queue] } = seen!;
      assertEquals([address, driver, state, statistics.clients], [
        ...["blk", "vhost-user", "running"],
        1,
      ]);
      assertEquals([queue!.completed, queue!.inFlight], [5, 0]);
    }
    assertMatch(await looked("show", "blk", "--live", control), /^queue 0 .*5 completed, 0 in fl/m);
    checkJson(await looked("show", "blk", "--live", control, "--json"));
    const { hosts: [host] } = checkJson(await looked("hosts", control, "--json"));
    assertEquals([host.address, host.isolation], ["blk", "inline"]);
    assertMatch(await looked("top", control, "--count", "1"), /^blk +vhost-user +waiting +/m);
    serving.interrupt();
    const { code, err } = await serving.ended();
    assertEquals(code, 130, err);
  }
  assertMatch(
    Deno.readTextFileSync(metrics),
    /^virtio_queue_requests_used_total\{device="blk",driver="vhost-user",queue="queue 0"\} 5$/m,
  );
  const text = Deno.readTextFileSync(trace);
  assertMatch(text, /driver +blk vhost-user queue 0: notifies the device/);
  assertMatch(text, /^# The end: nothing is missing\.$/m);
});

Deno.test("watch: what is served leaves nothing behind, and a socket that cannot be made is an error", async () => {
  using folder = new Folder();
  const before = descriptors();
  const options = { by: "vhost-user", figures: () => ({}), failed: () => {} };
  await watchServed(options, { control: folder.of("control") })[Symbol.asyncDispose]();
  let error: unknown;
  try {
    watchServed(options, { control: folder.of("none/control") });
  } catch (thrown) {
    error = thrown;
  }
  assertMatch(`${error}`, /ENOENT/);
  assert(await soon(() => descriptors().length <= before.length), "descriptors are left");
});

Deno.test("conform device --trace, conform driver --trace: each check is a span, with what happens in it #cli:trace_conform", async () => {
  using folder = new Folder();
  const [device, driver] = [folder.of("device.json"), folder.of("driver.json")];
  const of = (file: string) => {
    const events: { ph: string; cat: string; name: string; args: Record<string, unknown> }[] = JSON
      .parse(Deno.readTextFileSync(file));
    const begins = events.filter(({ ph, cat }) => ph === "B" && cat === "check");
    const ends = events.filter(({ ph, cat }) => ph === "E" && cat === "check");
    assertEquals(ends.map(({ name }) => name).sort(), begins.map(({ name }) => name).sort());
    return { events, ends };
  };
  const checked = await run(...program(
    ...["conform", "device", "00:01.0", "--machine", "simulated", "--only", "status", "--json"],
    ...["--trace", device],
  ));
  assertEquals(checked.code, 0, checked.err);
  const { devices: [{ checks }] } = checkJson(checked.text);
  const { events, ends } = of(device);
  assertEquals(
    ends.map(({ name, args: { verdict, section } }) => [name, verdict, section]),
    checks.map(({ name, verdict, section }: Record<string, string>) => [
      ...[name, verdict],
      `virtio 1.4, ${section}`,
    ]),
  );
  assert(events.some(({ name }) => name === "write device_status"));

  const [deno, ...args] = program("conform", "driver", "plugins/random", "--json");
  const tested = await run(
    ...[deno!, ...args.map((arg) => arg === "--allow-ffi" ? "-A" : arg)],
    ...["--only", "start,restart", "--trace", driver],
  );
  assertEquals(tested.code, 0, tested.err);
  const told = of(driver);
  assertEquals(told.ends.length, checkJson(tested.text).rows.length);
  assert(told.events.some(({ cat }) => cat === "request"), "nothing is told of the machines");
});
