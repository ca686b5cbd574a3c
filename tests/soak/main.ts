/**
 * Drivers that die, err and lie, for as long as it is told: the core must live, what stands on another's disk must be
 * right, and each request must end. Prints figures, and exits with 1 if something of that was not so.
 *
 *     deno task soak [--minutes N] [--kills N] [--mutants N] [--liars N] [--seed N]
 *
 * Without counts the minutes, one if not given, are divided among all three.
 *
 * @module
 */

import { deadline } from "@std/async";
import { parseArgs } from "@std/cli";
import { DiskModel } from "@virtio/blk/model";
import { ConsoleModel } from "@virtio/console/model";
import { EntropyModel } from "@virtio/random/model";
import { ScsiModel } from "@virtio/scsi/model";
import { NetModel } from "@virtio/vtnet/model";
import type { AnyDevice, ClassName } from "../../classes.ts";
import type { DeviceModel } from "../../simulation/model.ts";
import { type Kernel, openKernel } from "../../mod.ts";
import { pattern } from "../support/machine.ts";
import { entropyDriver, fixture, WORK } from "../support/plugin.ts";
import { Chance, type Mistake, mutate } from "./mutate.ts";
import { Gaps, spread, Witness } from "./witness.ts";

const MIB = 2 ** 20;
const PLUGINS = new URL("../../plugins/", import.meta.url);

const args = parseArgs(Deno.args, { string: ["minutes", "kills", "mutants", "liars", "seed"] });
const number = (text: string | undefined) => text === undefined ? undefined : Number(text);
const seed = number(args.seed) ?? Date.now() % 1_000_000;
const counted = args.kills !== undefined || args.mutants !== undefined || args.liars !== undefined;
const share = (number(args.minutes) ?? (counted ? Infinity : 1)) * 60_000 / 3;
const chance = new Chance(seed);
/** What must not be. */
const faults: string[] = [];

function fault(what: string): void {
  faults.push(what);
  console.error(`FAULT: ${what}`);
}

// What is not caught would end the program: that is what must not be.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fault(`not caught: ${(event.reason as Error)?.stack ?? event.reason}`);
});
addEventListener("error", (event) => {
  event.preventDefault();
  fault(`the core threw ${event.error?.stack ?? event.message}`);
});

/** Does something again and again: so often, or for so long. */
async function repeat(
  count: string | undefined,
  work: (i: number) => Promise<void>,
): Promise<number> {
  const most = number(count) ?? (counted ? 0 : Infinity);
  const end = performance.now() + share;
  let done = 0;
  for (; done < most && performance.now() < end; done++) await work(done);
  return done;
}

async function kills(): Promise<void> {
  const pauses: number[] = [];
  let back = 0;
  using gaps = new Gaps();
  // A driver that fails again and again waits longer each time, so there is a new kernel after some kills.
  const EACH = 3;
  let kernel: Kernel | undefined, witness: Witness | undefined, device: AnyDevice | undefined;
  const done = await repeat(args.kills, async (i) => {
    if (i % EACH === 0) {
      await witness?.[Symbol.asyncDispose]();
      await kernel?.[Symbol.asyncDispose]();
      kernel = await openKernel({
        machine: "simulated",
        devices: [new DiskModel({ capacity: 16 * MIB })],
      });
      const disk = await kernel.attachFirst("block");
      device = disk;
      witness = new Witness(disk.client);
    }
    await witness!.progress(1 + chance.below(20));
    const { pid } = device!;
    const at = performance.now();
    Deno.kill(pid!, "SIGKILL");
    if (await witness!.progress(2)) back++;
    else return fault(`kill ${i}: the disk did not come back: ${witness!.failed?.message}`);
    if (i % EACH === 0) pauses.push(performance.now() - at);
    if (witness!.wrong > 0) fault(`kill ${i}: ${witness!.wrong} reads were wrong`);
  });
  await witness?.[Symbol.asyncDispose]();
  await kernel?.[Symbol.asyncDispose]();
  console.log(`kills: ${done}, came back ${back}; pause without back-off ${spread(pauses)}`);
  console.log(`       the event loop stood still ${spread(gaps.all)}`);
}

/** A class of devices under test, and how to use one; what comes back must be what was put in. */
interface Subject {
  readonly class: ClassName;
  readonly model: () => DeviceModel;
  readonly use: (device: AnyDevice) => Promise<boolean>;
}

async function same(
  write: (at: number, bytes: Uint8Array<ArrayBuffer>) => Promise<unknown>,
  read: (at: number) => Promise<Uint8Array>,
): Promise<boolean> {
  for (let i = 0; i < 20; i++) {
    const bytes = pattern(4096, i);
    await write(i * 4096, bytes);
    const back = await read(i * 4096);
    if (back.length !== 4096 || back.some((byte, at) => byte !== bytes[at])) return false;
  }
  return true;
}

const SUBJECTS: Readonly<Record<string, Subject>> = {
  blk: {
    class: "block",
    model: () => new DiskModel({ capacity: 4 * MIB }),
    use: ({ client }) => {
      const disk = client as Awaited<ReturnType<typeof blockClient>>;
      return same((at, bytes) => disk.write(at, bytes), (at) => disk.read(at, 4096));
    },
  },
  scsi: {
    class: "scsi",
    model: () => new ScsiModel({ units: [{ capacity: 4 * MIB, serial: "SOAK" }] }),
    async use(device) {
      if (device.class !== "scsi") return false;
      const [unit] = await device.client.scan();
      const disk = await device.client.disk(unit!.address);
      return await same((at, bytes) => disk.write(at, bytes), (at) => disk.read(at, 4096));
    },
  },
  console: {
    class: "console",
    model: () => new ConsoleModel({ ports: { 1: { name: "echo", echo: true } } }),
    async use(device) {
      if (device.class !== "console") return false;
      const port = await device.client.find("echo");
      if (!port) return false;
      await port.open();
      const bytes = pattern(1000, 1);
      await port.write(bytes);
      for (let at = 0; at < bytes.length;) {
        const piece = await port.read();
        if (!piece || piece.some((byte, i) => byte !== bytes[at + i])) return false;
        at += piece.length;
      }
      return true;
    },
  },
  vtnet: {
    class: "network",
    model: () => new NetModel().meet(),
    async use(device) {
      if (device.class !== "network") return false;
      for (let i = 0; i < 50; i++) await device.client.send(new Uint8Array(100).fill(0xff));
      return true;
    },
  },
};

function blockClient(kernel: Kernel) {
  return kernel.attachFirst("block").then(({ client }) => client);
}

/** A copy of a plugin with a mistake in it. */
function mutant(name: string): { folder: string; what: string } & Disposable {
  const from = new URL(`${name}/`, PLUGINS);
  const files = [...Deno.readDirSync(from)].flatMap(({ name }) =>
    /^(?!.*(_test|model)).*\.ts$/.test(name) ? [name] : []
  );
  let mistake: Mistake | undefined, file = "";
  while (!mistake) {
    file = chance.of(files.filter((each) => each !== "wire.ts" && each !== "model_statistics.ts"));
    mistake = mutate(file, Deno.readTextFileSync(new URL(file, from)), chance);
  }
  const others = Object.fromEntries(
    files.map((each) => [each, Deno.readTextFileSync(new URL(each, from))]),
  );
  const manifest = JSON.parse(Deno.readTextFileSync(new URL("plugin.json", from)));
  const made = fixture(others["mod.ts"]!, {
    class: SUBJECTS[name]!.class,
    manifest,
    files: { ...others, [file]: mistake.text },
  });
  return {
    folder: made.folder,
    what: `${name}/${mistake.what}`,
    [Symbol.dispose]: () => made[Symbol.dispose](),
  };
}

async function mutants(): Promise<void> {
  const counts: Record<string, number> = {};
  using gaps = new Gaps();
  const done = await repeat(args.mutants, async () => {
    const name = chance.of(Object.keys(SUBJECTS));
    using made = mutant(name);
    const how = await beside(
      made.what,
      SUBJECTS[name]!.class,
      SUBJECTS[name]!.model(),
      made.folder,
      SUBJECTS[name]!.use,
    );
    counts[how] = (counts[how] ?? 0) + 1;
  });
  console.log(`mutants: ${done}, ${list(counts)}`);
  console.log(`       the event loop stood still ${spread(gaps.all)}`);
}

function list(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts).map(([what, count]) => `${what} ${count}`).join(", ");
}

/** What came of a driver beside a disk with a good one. */
async function beside(
  what: string,
  deviceClass: ClassName,
  model: DeviceModel,
  folder: string,
  use: (device: AnyDevice) => Promise<boolean>,
): Promise<string> {
  let restarts = 0;
  // The disk beside it is in a machine of its own, since the driver may be one for disks as well; the core is the same.
  await using good = await openKernel({
    machine: "simulated",
    devices: [new DiskModel({ capacity: 16 * MIB })],
  });
  await using witness = new Witness(await blockClient(good));
  let how: string;
  {
    await using kernel = await openKernel({
      machine: "simulated",
      devices: [model],
      plugins: [folder],
      restarts: 1,
      requestDeadline: 2000,
      log: (line) => void (restarts += Number(line.includes("starting anew"))),
    });
    try {
      const device = await kernel.attachFirst(deviceClass) as AnyDevice;
      const right = await deadline(use(device), 20_000);
      how = !right ? "wrong data" : restarts > 0 ? "recovered" : "unnoticed";
    } catch (error) {
      // An event that does not come, as of a port or a unit, is waited for as long as an application wants.
      how = error instanceof DOMException && error.name === "TimeoutError"
        ? "nothing came"
        : kernel.devices.length > 0
        ? "detected, an error"
        : "detected, gone";
    }
  }
  const { rounds } = witness;
  if (!await witness.progress(3)) fault(`${what}: the other disk stands still at ${rounds}`);
  if (witness.wrong > 0) fault(`${what}: ${witness.wrong} reads of the other disk were wrong`);
  return how;
}

/** Drivers that write what they want where they want: the words of a slot reach all of control memory. */
async function liars(): Promise<void> {
  const counts: Record<string, number> = {};
  using gaps = new Gaps();
  const done = await repeat(args.liars, async (i) => {
    const from = chance.of(["-0x12000", "-0x10400", "-64", "0"]);
    const to = chance.of(["256", "0x400", "0x12000"]);
    const value = chance.of(["1", "random(16)", "random(2 ** 32)", "0xffffffff"]);
    const times = chance.of([1, 10, 1000]);
    const after = chance.below(30);
    using plugin = fixture(entropyDriver({
      load: `let state = ${1 + chance.below(2 ** 31)};
const random = (end) => {
  state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
  return (state >>> 0) % end;
};`,
      rung: `${WORK}
        if (requests.counters.completed >= ${after}) for (let i = 0; i < ${times}; i++) {
          lane.setWord(0, ${from} + random(${to} - ${from}), ${value});
        }`,
    }));
    const how = await beside(
      `liar ${i}`,
      "entropy",
      new EntropyModel(),
      plugin.folder,
      async (device) => {
        if (device.class !== "entropy") return false;
        for (let i = 0; i < 50; i++) {
          if ((await device.client.read(1000)).length !== 1000) return false;
        }
        return true;
      },
    );
    counts[how] = (counts[how] ?? 0) + 1;
  });
  console.log(`liars: ${done}, ${list(counts)}`);
  console.log(`       the event loop stood still ${spread(gaps.all)}`);
}

if (import.meta.main) {
  console.log(`seed ${seed}`);
  for (const part of [kills, mutants, liars]) await part();
  console.log(
    faults.length === 0 ? "the core lived, and nothing was wrong" : `${faults.length} faults`,
  );
  Deno.exit(faults.length === 0 ? 0 : 1);
}
