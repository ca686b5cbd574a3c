/**
 * Machines that are watched: the control socket with `top`, `hosts` and `show --live`, and figures for Prometheus, as
 * docs/watch.md tells of them.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { stripVTControlCharacters } from "node:util";
import parsePrometheus from "parse-prometheus-text-format";
import { DRIVERS } from "../drivers.ts";
import { openKernel } from "../mod.ts";
import { ControlClient, ControlError, metricsText, type Snapshot } from "../watch/mod.ts";
import { checkJson } from "./support/json.ts";
import { alive, leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { listening } from "./support/listening.ts";
import { testWith, withoutPrograms } from "./support/needs.ts";
import { program, run, Running, start } from "./support/program.ts";
import { OnTerminal, withoutTerminal } from "./support/terminal.ts";

const ISOLATIONS = ["process", "inline"] as const;
const NOBODY = 65534;
const PATIENCE = 30_000;

/** Where this test's files go to. */
function folder(): { path: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "watch-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** Looks once. */
async function lookAt(path: string): Promise<Snapshot> {
  using client = new ControlClient(path);
  return await client.look(AbortSignal.timeout(PATIENCE), PATIENCE);
}

/** A figure, as a program for Prometheus reads it. */
interface Read {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly metrics: readonly { readonly value: string; readonly labels?: Record<string, string> }[];
}

/** The values of a text, by name and labels. */
function valuesOf(text: string): Map<string, number> {
  return new Map(
    (parsePrometheus(text) as Read[]).flatMap(({ name, metrics }) =>
      metrics.map(({ value, labels = {} }): [string, number] => {
        const { device: _, driver: _driver, ...rest } = labels;
        return [[name, ...Object.values(rest)].join(" "), Number(value)];
      })
    ),
  );
}

/** The format's grammar, as prometheus.io/docs/instrumenting/exposition_formats has it. */
const LINE = new RegExp(
  [
    /^# HELP [a-z_]+ [^\n]+$/,
    /^# TYPE [a-z_]+ (counter|gauge)$/,
    /^[a-z_]+\{([a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+\} [0-9.e+-]+$/,
  ].map(({ source }) => source).join("|"),
);

for (const isolation of ISOLATIONS) {
  Deno.test(`watch: what is seen of a machine is what happened (${isolation}) #cli:control #cli:metrics`, async () => {
    using here = folder();
    const control = `${here.path}/control`;
    const metrics = `${here.path}/figures.prom`;
    {
      await using kernel = await openKernel({
        ...{ machine: "simulated", drivers: DRIVERS, isolation, control, metrics },
      });
      const device = await kernel.attachFirst("block");
      for (let i = 0; i < 5; i++) await device.client.write(i * 4096, new Uint8Array(4096));
      await device.client.flush();
      const { devices: [seen], machine, pid } = await lookAt(control);
      assertEquals([machine.kind, pid], ["simulated", Deno.pid]);
      const { address, state, lanes, queues, host } = seen!;
      assertEquals([address, state, seen!.pid], [device.address, "running", device.pid]);
      // Five writes and a flush: a header of 16 bytes each, and a byte of status.
      const [queue] = queues;
      assertEquals([queue!.published, queue!.completed, queue!.inFlight], [6, 6, 0]);
      assertEquals(queue!.bytes, { read: 5 * 4096 + 6 * 16, written: 6 });
      // One that is slow is notified again.
      assert(queue!.notifications! >= 1 && queue!.notifications! <= 4 * 6);
      assertEquals(lanes[0]!.ended, 6);
      assert(host.heap! > 100_000 && host.uptime > 0);
      if (isolation === "process") {
        assert(host.memory! > 10 << 20 && host.processor! > 0);
      } else assertEquals([host.memory, host.processor], [undefined, undefined]);
    }
    // The file has what was last, before the device was given back.
    const text = Deno.readTextFileSync(metrics);
    for (const line of text.trimEnd().split("\n")) assertMatch(line, LINE);
    const values = valuesOf(text);
    assertEquals(values.get("virtio_queue_requests_total requests0"), 6);
    assertEquals(values.get("virtio_queue_requests_used_total requests0"), 6);
    assertEquals(values.get("virtio_queue_read_bytes_total requests0"), 5 * 4096 + 96);
    assertEquals(values.get("virtio_queue_written_bytes_total requests0"), 6);
    assertEquals(values.get("virtio_lane_requests_ended_total requests"), 6);
    assertEquals(values.get("virtio_driver_restarts_total"), 0);
    assertEquals([...Deno.readDirSync(here.path)].map(({ name }) => name), ["figures.prom"]);
  });
}

Deno.test("metrics: names and types keep to the conventions of Prometheus #cli:metrics", async () => {
  using here = folder();
  const control = `${here.path}/control`;
  await using kernel = await openKernel({ machine: "simulated", control });
  await kernel.attachFirst("block");
  await kernel.attachFirst("entropy");
  const text = metricsText(await lookAt(control));
  const found = parsePrometheus(text) as Read[];
  assert(found.length >= 15, `${found.length}`);
  for (const { name, type, help } of found) {
    assertMatch(name, /^virtio_(machine|device|queue|lane|driver)_[a-z_]+$/);
    assertEquals(name.endsWith("_total"), type === "COUNTER", name);
    assertMatch(help, /^[A-Z].*\.$/);
    // Base units.
    assert(!/_(ms|milliseconds|kib|mib|percent)(_|$)/.test(name), name);
  }
  // Each name is told once, with all its samples together.
  assertEquals(new Set(found.map(({ name }) => name)).size, found.length);
  const heads = text.split("\n").filter((line) => line.startsWith("# TYPE"));
  assertEquals(new Set(heads).size, heads.length);
  assertEquals(heads.length, found.length);
});

Deno.test("metrics: what a driver calls its queues breaks no line", () => {
  const nasty = 'a"b\\c\nvirtio_fake{} 1';
  const text = metricsText({
    ...{ schema: 1, pid: 1, uptime: 1, machine: { kind: "simulated", description: "" } },
    devices: [{
      ...{
        address: "0000:00:01.0",
        driver: "d",
        class: "c",
        isolation: "inline",
        state: "running",
      },
      ...{ restarts: 0, status: [], transport: "modern", interrupts: "polling", statistics: {} },
      ...{ features: { offered: "", accepted: "", list: [] }, interruptCounts: [], lanes: [] },
      host: { starts: 1, uptime: 1, heap: 1 },
      queues: [{ name: nasty, index: 0, kind: "split", size: 1, inFlight: 3 }],
    }],
  });
  assert(!/^virtio_fake/m.test(text));
  assertMatch(text, /queue="a\\"b\\\\c\\nvirtio_fake\{\} 1"/);
});

/** A command that goes on, with a control socket and one for figures; disposing it ends it as a person does. */
async function running(path: string) {
  const [control, figures] = [`${path}/control`, `${path}/figures.sock`];
  const [command, ...args] = program(
    ...["random", "--continuous", "--machine", "simulated"],
    ...["--control", control, "--metrics", figures],
  );
  const child = new Deno.Command(command!, {
    ...{ args, stdin: "null", stdout: "null", stderr: "null" },
    signal: AbortSignal.timeout(120_000),
  }).spawn();
  assert(await soon(() => listening(figures)), "the command made no socket");
  let ended = false;
  return {
    control,
    figures,
    async [Symbol.asyncDispose]() {
      if (ended) return;
      ended = true;
      child.kill("SIGINT");
      assertEquals((await child.status).code, 130);
    },
  };
}

testWith(
  withoutPrograms("curl"),
  "watch: top, hosts, show --live and Prometheus see a command at work, and nothing is left #cli:top #cli:hosts #cli:show_live",
  async () => {
    using here = folder();
    {
      await using command = await running(here.path);
      const { control, figures } = command;
      const looked = async (...args: readonly string[]) => {
        const { code, text, err } = await run(...program(...args));
        assertEquals(code, 0, err);
        return text;
      };
      for (const path of [control, figures]) assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
      // The driver is on its way first.
      const working = async () => {
        const [device] = (await lookAt(control)).devices;
        return device?.state === "running" && device.lanes[0]!.ended > 0;
      };
      while (!await working()) await new Promise((resolve) => setTimeout(resolve, 50));

      const top = (await looked("top", control, "--count", "2", "--interval", "0.2")).trim();
      const [machine, head, ...rows] = top.split("\n");
      assertMatch(machine!, /simulated machine.*driven by process \d+/);
      assertMatch(head!, /^device +driver +state +req\/s +bytes\/s/);
      assertEquals(rows.length, 2);
      for (const row of rows) assertMatch(row, /^0000:00:01\.0 +random +running +[\d.]+ /);
      const looks = (await looked("top", control, "--count", "2", "--interval", "0.2", "--json"))
        .trim().split("\n").map(checkJson);
      assertEquals(looks.length, 2);
      const ended = looks.map(({ devices: [{ lanes: [lane] }] }) => lane.ended);
      assert(ended[0] < ended[1], `${ended}`);

      const { hosts: [host] } = checkJson(await looked("hosts", control, "--json"));
      assert(alive(host.pid), `${host.pid}`);
      assertMatch(Deno.readTextFileSync(`/proc/${host.pid}/cmdline`), /plugins\/random/);
      assertEquals([host.driver, host.restarts, host.state], ["random", 0, "running"]);
      const table = await looked("hosts", control);
      assertMatch(table, new RegExp(`^0000:00:01\\.0 +random +${host.pid} .* MiB `, "m"));

      const live = await looked("show", "00:01.0", "--live", control);
      assertMatch(live, new RegExp(`^runs +process ${host.pid}$`, "m"));
      assertMatch(live, /^status +ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK$/m);
      assertMatch(live, /^lane requests +8 slots, \d+ submitted/m);
      const { work } = checkJson(await looked("show", "00:01.0", "--live", control, "--json"));
      assertEquals([work.pid, work.state], [host.pid, "running"]);
      const none = await run(...program("show", "00:02.0", "--live", control));
      assertEquals(none.code, 3);
      assertMatch(
        none.err,
        /Cannot find 0000:00:02\.0 in process \d+: at work it has 0000:00:01\.0/,
      );

      const http = await run(
        "curl",
        "-si",
        "--max-time",
        "20",
        "--unix-socket",
        figures,
        "http://x/metrics",
      );
      assertMatch(http.text, /^HTTP\/1\.1 200 OK\r\nContent-Type: text\/plain; version=0\.0\.4/);
      const values = valuesOf(http.text.slice(http.text.indexOf("\r\n\r\n") + 4));
      assert(values.get("virtio_queue_written_bytes_total requests")! >= 4096);
      const post = await run(
        "curl",
        "-s",
        "--max-time",
        "20",
        "-d",
        "x",
        "--unix-socket",
        figures,
        "http://x/",
      );
      assertMatch(post.text, /only request is GET/);

      // The end of the other program is the end of top, too.
      const watching = start(
        program("top", control, "--interval", "0.1"),
        AbortSignal.timeout(60_000),
      );
      const errors = new Response(watching.stderr).text();
      const reader = watching.stdout.getReader();
      assertMatch(new TextDecoder().decode((await reader.read()).value), /simulated machine/);
      await command[Symbol.asyncDispose]();
      while (!(await reader.read()).done) { /* what it saw meanwhile */ }
      const { code } = await watching.status;
      assertEquals([code, await errors], [0, "The other program has ended\n"]);
    }
    assertEquals([...Deno.readDirSync(here.path)], []);
  },
);

for (const columns of [20, 40, 80, 200]) {
  testWith(
    withoutTerminal,
    `watch: top on a terminal of ${columns} columns draws no line that wraps #cli:top_narrow`,
    async () => {
      using here = folder();
      await using command = await running(here.path);
      const line = program("top", command.control, "--count", "2", "--interval", "0.1").join(" ");
      await using terminal = new OnTerminal(`sh -c 'stty cols ${columns}; exec ${line}'`);
      assertEquals(await terminal.ended(), 0, terminal.text);
      const lines = stripVTControlCharacters(terminal.text).split(/\r?\n/);
      assert(lines.length > 4 && terminal.text.includes("simulated machine".slice(0, columns)));
      for (const each of lines) assert(each.length <= columns, `${each.length}: ${each}`);
    },
  );
}

testWith(
  Deno.uid() === 0 ? withoutPrograms("setpriv", "curl") : "only root can be another user",
  "watch: a control socket is its user's alone, whatever its mode, and another user's is not believed #cli:control_user",
  async () => {
    using here = folder();
    Deno.chmodSync(here.path, 0o777);
    const [control, figures] = [`${here.path}/control`, `${here.path}/figures.sock`];
    const as = ["setpriv", "--reuid", `${NOBODY}`, "--clear-groups"];
    const ask = (path: string) =>
      run(...as, "curl", "-s", "--max-time", "10", "--unix-socket", path, "http://x/");
    {
      await using _kernel = await openKernel({ machine: "simulated", control, metrics: figures });
      assertEquals((await ask(figures)).code, 7);
      for (const path of [control, figures]) Deno.chmodSync(path, 0o666);
      assertEquals((await ask(figures)).text, "This machine is another user's.\n");
      // curl takes what is no HTTP for an error; what matters is that the machine is not in it.
      const { text } = await ask(control);
      assert(!text.includes('machine":{'), text);
      assertEquals((await lookAt(control)).machine.kind, "simulated");
    }
    // A program of another user's says that it is a machine.
    const foreign = `${here.path}/foreign`;
    const script = `
      const server = Deno.listen({ transport: "unix", path: ${JSON.stringify(foreign)} });
      Deno.chmodSync(${JSON.stringify(foreign)}, 0o777);
      for await (const client of server) await client.write(new TextEncoder().encode('{"schema":1,"devices":[]}\\n'));`;
    const file = `${here.path}/foreign.js`;
    Deno.writeTextFileSync(file, script);
    Deno.copyFileSync(Deno.execPath(), `${here.path}/deno`);
    const server = new Running([
      ...as,
      ...[
        "env",
        `DENO_DIR=${here.path}/cache`,
        `${here.path}/deno`,
        "run",
        "-A",
        "--no-config",
        file,
      ],
    ]);
    await using _server = server;
    const there = () => {
      try {
        return (Deno.statSync(foreign).mode! & 0o777) === 0o777;
      } catch {
        return false;
      }
    };
    assert(await soon(there), "the other user's program does not listen");
    const { code, err } = await run(...program("top", foreign));
    assertEquals(code, 1, err);
    assertMatch(err, /^error: Cannot look at .*foreign: the program there is that of user 65534, /);
    assertEquals(err.trim().split("\n").length, 1);
  },
);

Deno.test("watch: what is no control socket, or none any more, is one sentence #cli:control_bad", async () => {
  using here = folder();
  const none = `${here.path}/none`;
  for (const command of [["top", none], ["hosts", none], ["show", "00:01.0", "--live", none]]) {
    const { code, err } = await run(...program(...command));
    assertEquals(code, 1, err);
    assertMatch(
      err,
      /^error: Cannot connect to .*none: ENOENT .*\. A command makes one by --control <socket>\n$/,
    );
  }
  // Something else listens there.
  for (
    const [says, why] of [
      ["220 mail\n", /no JSON/],
      ['{"schema":2,"devices":[]}\n', /another version/],
      ['{"schema":1}\n', /another version/],
      ["null\n", /another version/],
      ["", /has ended/],
    ] as const
  ) {
    const path = `${here.path}/other`;
    const server = Deno.listen({ transport: "unix", path });
    const serving = (async () => {
      using client = await server.accept();
      await client.read(new Uint8Array(64));
      if (says !== "") await client.write(new TextEncoder().encode(says));
    })();
    using client = new ControlClient(path);
    const error = await assertRejects(
      () => client.look(AbortSignal.timeout(PATIENCE), PATIENCE),
      ControlError,
    );
    assertMatch(error.message, why);
    await serving;
    server.close();
  }
});

Deno.test("watch: whatever a client does, the machine goes on, and nothing is left #cli:control_hostile", async () => {
  using here = folder();
  const control = `${here.path}/control`;
  const whole = async () => {
    await using kernel = await openKernel({ machine: "simulated", control });
    const { client } = await kernel.attachFirst("entropy");
    const connect = () => Deno.connect({ transport: "unix", path: control });
    const say = async (connection: Deno.Conn, text: string) => {
      try {
        await connection.write(new TextEncoder().encode(text));
      } catch {
        // It was left by then: that is what is wanted.
      }
    };
    // Too long; not a request; gone at once; many that say nothing; many requests at once.
    using long = await connect();
    for (let i = 0; i < 40; i++) await say(long, "x".repeat(1000));
    assertEquals(await long.read(new Uint8Array(10)).catch(() => null), null);
    using wrong = await connect();
    await say(wrong, "destroy\n");
    const answer = new Uint8Array(1000);
    const length = await wrong.read(answer);
    assertMatch(new TextDecoder().decode(answer.subarray(0, length!)), /only request is look/);
    (await connect()).close();
    const silent: Deno.Conn[] = [];
    for (let i = 0; i < 30; i++) silent.push(await connect());
    assertEquals((await client.read(16)).length, 16);
    silent.forEach((each) => each.close());
    // There is room again, for one that asks many times and takes nothing.
    const seen = async () => {
      try {
        return (await lookAt(control)).devices.length;
      } catch {
        return 0; // turned away
      }
    };
    while (await seen() === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    using greedy = await connect();
    await say(greedy, "look\n".repeat(2000));
    assertEquals((await client.read(16)).length, 16);
    assertEquals((await lookAt(control)).devices.length, 1);
  };
  await whole();
  assertEquals(await leftovers(whole), []);
});

Deno.test("watch: a socket or a file that cannot be made is one sentence, and nothing is left #cli:control_refused", async () => {
  using here = folder();
  Deno.writeTextFileSync(`${here.path}/file`, "mine");
  const cases: readonly (readonly [option: string, path: string, says: RegExp])[] = [
    ["--control", `${here.path}/none/control`, /Cannot listen at .*ENOENT/],
    ["--control", `${here.path}/file`, /it is a file, which is left alone/],
    ["--metrics", `${here.path}/none/figures`, /Cannot open .*ENOENT/],
    ["--metrics", `${here.path}/${"x".repeat(200)}.sock`, /at most 107 bytes/],
  ];
  for (const [option, path, says] of cases) {
    const { code, out, err } = await run(
      ...program("random", "16", "--machine", "simulated", option, path),
    );
    assert(code !== 0 && out.length === 0, `${code}`);
    assertMatch(err, says);
    assertEquals(err.trim().split("\n").length, 1, err);
  }
  assertEquals(Deno.readTextFileSync(`${here.path}/file`), "mine");
  assertEquals([...Deno.readDirSync(here.path)].length, 1);
  assertThrows(() => new ControlClient(`${here.path}/file`));
});
