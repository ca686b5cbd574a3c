/**
 * What every command prints with `--json`, and its errors, are as `schemas/output.json` says.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { COMMANDS } from "../cli/commands.ts";
import { openKernel } from "../mod.ts";
import { type Here, runHere } from "./support/here.ts";
import { checkJson, OUTPUT } from "./support/json.ts";
import { entropyDriver, fixture } from "./support/plugin.ts";

const SIMULATED = ["--machine", "simulated", "--isolation", "inline"];

/** Command lines that end by themselves, with the devices of a simulated machine. */
const LINES: readonly string[] = [
  "ls",
  "show 00:02.0",
  "check",
  "conform device 00:01.0 --only status",
  "explain 00:02.0",
  "net info",
  "net ping 10.0.2.2 --count 1",
  "net dump @/frames --count 2",
  "net bench --seconds 0.01",
  "console list",
  "balloon info",
  "scsi list",
  "scsi inquiry",
  "scsi inquiry --vpd 83",
  "scsi inquiry 0:0 --vpd b0",
  "scsi raw 12 00 00 00 24 00 --in 36",
  "blk info",
  "blk info --lun 1:0",
  "blk read @/some --length 4096",
  "blk write @/some",
  "blk copy @/some disk",
  "blk discard --offset 0 --length 4096",
  "blk bench --runtime 0.05",
  "random 5",
];
/** Those that are about no device. */
const IDLE: readonly string[] = [
  "--version",
  "help",
  "help net",
  "completions bash",
  "drivers",
  "doctor",
];
/** Those that go on until they are ended. */
const ENDLESS: readonly string[] = ["balloon watch", "blk serve --nbd @/nbd.sock"];
const SERVING: readonly string[] = [
  "serve blk --vhost-user @/vhost.sock",
  "serve blk net --vfio-user @",
];

/** Commands that print no JSON, and where those are held against the schema that cannot run here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "console attach": "what comes from the port",
  "console pipe": "what comes from the port",
  "net bridge": "tests/net_commands_qemu_test.ts: it needs a network of its own",
  bind: "below, with a made-up kernel",
  unbind: "below, with a made-up kernel",
  top: "below, at a machine at work",
  hosts: "below, at a machine at work",
  new: "below, in a folder of its own",
  "conform driver": "below, with a driver of its own",
};

function temporary(): { readonly path: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "virtio-json-" });
  Deno.writeFileSync(`${path}/some`, new Uint8Array(4096));
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** Runs a line with `--json`; what it printed. */
async function json(line: string, folder: string, more: readonly string[] = [], here: Here = {}) {
  const args = line.split(" ").map((word) => word.replace("@", folder));
  const { exit, out, err } = await runHere([...args, "--json", ...more], here);
  assert(out !== "", `${line}: ${exit} ${err}`);
  return { exit, err, document: checkJson(out) };
}

Deno.test("--json: what each command prints is as the schema says #cli:json", async (t) => {
  using home = temporary();
  const seen = new Set<string>(Object.keys(ELSEWHERE));
  const groups = [[LINES, SIMULATED, false], [IDLE, [], false], [ENDLESS, SIMULATED, true], [
    SERVING,
    [],
    true,
  ]] as const;
  for (const [lines, more, endless] of groups) {
    for (const line of lines) {
      await t.step(line, async () => {
        const { document, exit, err } = await json(line, home.path, more, { endless });
        seen.add(document.command);
        assert(!("error" in document) || document.error === null, err);
        assert([0, 1, 130].includes(exit), err);
        const { device } = document;
        if (device) {
          assertEquals([device.driver.file, device.driver.version], [
            `plugins/${device.driver.name}/plugin.json`,
            "0.1.0",
          ]);
          assertEquals(device.restarts, line.startsWith("explain") ? null : 0);
        }
      });
    }
  }
  assertEquals(COMMANDS.map(({ name }) => name).filter((name) => !seen.has(name)), []);
});

Deno.test("--json: a run that failed prints its error, and where it stands #cli:json_errors", async (t) => {
  using home = temporary();
  const wrong: readonly [line: string, exit: number, where: string | null, what: string][] = [
    ["ls --machine qemo", 2, "--machine", 'Unknown value "qemo" for --machine'],
    ["lss", 2, null, 'Unknown command "lss"'],
    ["net", 2, null, "Cannot run net alone"],
    [
      "show 00:09.0 --machine simulated",
      3,
      "0000:00:09.0",
      "Cannot find 0000:00:09.0 on the simulated",
    ],
    ["blk write @/none --machine simulated", 1, null, "Cannot read "],
    ["blk info --device 00:01.0 --machine simulated", 3, "0000:00:01.0", "Cannot use 0000:00:01.0"],
    ["blk copy disk disk --machine simulated", 2, null, "Cannot copy disk to disk"],
    ["conform driver @/none", 2, null, "Cannot find a driver in "],
  ];
  for (const [line, exit, where, what] of wrong) {
    await t.step(line, async () => {
      const { document, err, ...ran } = await json(line, home.path);
      const { error } = document;
      assertEquals([ran.exit, error.exit, error.where], [exit, exit, where], err);
      assertStringIncludes(error.what, what);
      assertEquals(err, `error: ${error.message}\n`);
    });
  }
});

Deno.test("--json: one document is not followed by another #cli:json_errors", async () => {
  using home = temporary();
  const { exit, out, err } = await runHere(
    [
      "show",
      "00:01.0",
      "--json",
      "--machine",
      "simulated",
      "--plugins",
      home.path,
      ...SIMULATED.slice(2),
    ],
  );
  // The folder has no driver.
  assertEquals(checkJson(out).error.exit, exit);
  assertEquals(err.trimEnd().split("\n").length, 1);
  using driver = fixture(entropyDriver({ plan: `throw new Error("not today");` }));
  const shown = await runHere(
    ["show", "00:01.0", "--json", "--plugins", driver.folder, "--machine", "simulated"],
  );
  const { error, device } = checkJson(shown.out);
  assertEquals([shown.exit, error.exit, device.driver.name], [7, 7, "fixture"]);
  assertMatch(error.message, /not today[^]*mod\.ts:\d+:\d+/);
});

Deno.test("--json: of functions that are handed over, of a new driver and its tests #cli:json", async () => {
  const binding = {
    address: "0000:00:02.0",
    before: "virtio-pci",
    after: "vfio-pci",
    iommuGroup: 7,
  };
  for (const command of ["bind", "unbind"]) {
    const { document } = await json(`${command} 00:02.0`, "", [], {
      system: { rebind: () => Promise.resolve([binding]) },
    });
    assertEquals(document.devices, [binding]);
  }
  const { document } = await json("new mine", "", [], {
    system: { writeFolder: () => Promise.resolve() },
  });
  assert(document.files.includes("plugin.json"));
  const model = `export { EntropyModel } from "${new URL(
    "../plugins/random/model.ts",
    import.meta.url,
  )}";`;
  using driver = fixture(entropyDriver(), { files: { "model.ts": model } });
  const tested = await json(`conform driver ${driver.folder} --only start`, "");
  assertEquals([tested.exit, tested.document.passed], [0, true]);
  assertEquals(tested.document.driver.file, `${driver.folder}/plugin.json`);
});

Deno.test("--json: of the machine of a running command #cli:json", async () => {
  using home = temporary();
  const socket = `${home.path}/machine.sock`;
  await using kernel = await openKernel({
    machine: "simulated",
    isolation: "inline",
    control: socket,
  });
  await using device = await kernel.attachFirst("entropy");
  const look = async (line: string) => (await json(line, home.path)).document;
  const { devices: [at] } = await look("top @/machine.sock --count 1");
  const { hosts: [host] } = await look("hosts @/machine.sock");
  const { work, program } = await look("show 00:01.0 --live @/machine.sock");
  for (const each of [at, host, work]) assertEquals(each.address, device.address);
  assertEquals(program.pid, Deno.pid);
});

Deno.test("schemas/output.json refuses what is missing, and what is not in it #cli:json", async () => {
  const { document } = await json("ls", "", SIMULATED);
  const [{ restarts: _, ...less }] = document.devices;
  for (const devices of [[less], [{ ...document.devices[0], more: 1 }], undefined]) {
    assertThrows(() => checkJson(JSON.stringify({ ...document, devices })), Error, "ls: ");
  }
  assertThrows(() => checkJson(JSON.stringify({ ...document, schema: 1 })), Error, "ls: ");
});

Deno.test("schemas/output.json has each command, and nothing that no command prints #cli:json", () => {
  const documents = Object.entries(OUTPUT.$defs).filter(([, each]) =>
    "properties" in each && "command" in (each.properties as object)
  ).map(([name]) => name);
  const silent = ["console attach", "console pipe"];
  const commands = COMMANDS.map(({ name }) => name).filter((name) => !silent.includes(name));
  assertEquals(documents.sort(), [...commands, "version", "failure"].sort());
});
