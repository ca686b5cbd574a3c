/**
 * A machine made of programs that speak vhost-user.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { RequestError } from "../core/bus/request_error.ts";
import {
  type AnyDevice,
  type BackEndKind,
  bit,
  Feature,
  openKernel,
  type VhostUserDevice,
} from "../mod.ts";
import { Folder, listens, StorageDaemon, withoutDaemon } from "./support/back_ends.ts";
import type { Wrong } from "./support/bad_back_end.ts";
import { descriptors, leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { testWith } from "./support/needs.ts";
import { program, run, Running } from "./support/program.ts";

/** One of our models, served by a program of its own. */
async function served(model: string, socket: string): Promise<Running> {
  const running = new Running([
    ...[Deno.execPath(), "run", "-A", program().at(-1)!],
    ...["serve", model, "--vhost-user", socket],
  ]);
  await listens(socket);
  return running;
}

/** The device passes the check of its class. */
async function passes({ check }: Pick<AnyDevice, "check">): Promise<void> {
  const { findings, nothing = false } = await check!({ write: true });
  assertEquals(findings.filter(({ passed }) => !passed), []);
  assert(!nothing && findings.length > 0);
}

const MODELS: readonly (readonly [model: string, kind: BackEndKind])[] = [
  ["blk", "blk"],
  ["scsi", "scsi"],
  ["net", "net"],
  ["random", "rng"],
  ["console", "console"],
  ["balloon", "balloon"],
];

const RINGS = {
  packed: 0n,
  split: bit(Feature.RING_PACKED) | bit(Feature.IN_ORDER),
};

for (const [model, kind] of MODELS) {
  Deno.test(`vhost-user: ${model} as another program serves it passes its check #core:vhost_user_machine`, async () => {
    using folder = new Folder();
    const socket = folder.of("socket");
    await using _served = await served(model, socket);
    const left = await leftovers(async () => {
      for (const isolation of ["process", "inline"] as const) {
        for (const without of Object.values(RINGS)) {
          await using kernel = await openKernel({
            machine: "vhost-user",
            vhostUser: [{ kind, socket }],
            isolation,
            without,
          });
          const [node] = kernel.nodes;
          assertEquals(
            node?.manifest?.name,
            { rng: "random", net: "vtnet" }[kind as string] ?? kind,
          );
          const device = await kernel.attach("0000:00:01.0");
          await passes(device);
          const { queues } = await device.describe();
          const rings = without ? "split" : "packed";
          assertEquals([...new Set(queues.map(({ kind }) => kind))], [rings]);
          assert(queues.some(({ notifications = 0 }) => notifications > 0));
        }
      }
    });
    assertEquals(left.filter((each) => !each.includes("process")), []);
  });
}

for (const isolation of ["process", "inline"] as const) {
  testWith(
    withoutDaemon,
    `vhost-user: a disk of qemu-storage-daemon (${isolation}) #core:vhost_user_daemon`,
    async () => {
      using folder = new Folder();
      const [file, socket] = [folder.of("disk"), folder.of("socket")];
      Deno.writeFileSync(file, new Uint8Array(1 << 24));
      await using _daemon = await StorageDaemon.start({ disk: file, socket });
      const left = await leftovers(async () => {
        await using kernel = await openKernel({
          machine: "vhost-user",
          vhostUser: [{ kind: "blk", socket }],
          isolation,
        });
        const disk = await kernel.attachFirst("block");
        assertEquals(disk.client.capacity, 1 << 24);
        const bytes = crypto.getRandomValues(new Uint8Array(65536));
        await disk.client.write(4096, bytes);
        await disk.client.flush();
        assertEquals(await disk.client.read(4096, bytes.length), bytes);
        // What the daemon has in its file, and not only what it says.
        assertEquals(Deno.readFileSync(file).subarray(4096, 4096 + bytes.length), bytes);
        await passes(disk);
        await disk[Symbol.asyncDispose]();
        // It is there for the next, too.
        const again = await kernel.attachFirst("block");
        assertEquals(await again.client.read(0, 512), new Uint8Array(512));
      });
      assertEquals(left, []);
    },
  );

  testWith(
    withoutDaemon,
    `vhost-user: a program killed under writes, and gone for good: all requests end (${isolation}) #core:vhost_user_death`,
    async () => {
      using folder = new Folder();
      const [file, socket] = [folder.of("disk"), folder.of("socket")];
      Deno.writeFileSync(file, new Uint8Array(1 << 26));
      await using daemon = await StorageDaemon.start({ disk: file, socket });
      await using _other = await served("random", folder.of("other"));
      const left = await leftovers(async () => {
        await using kernel = await openKernel({
          machine: "vhost-user",
          vhostUser: [{ kind: "blk", socket }, { kind: "rng", socket: folder.of("other") }],
          isolation,
        });
        const disk = await kernel.attachFirst("block");
        const random = await kernel.attachFirst("entropy");
        const bytes = new Uint8Array(65536);
        const settled = Promise.allSettled(
          Array.from({ length: 200 }, (_, i) => disk.client.write(i * 65536, bytes)),
        );
        await daemon.kill();
        for (const end of await settled) {
          if (end.status === "fulfilled") continue;
          assert(end.reason instanceof RequestError, String(end.reason));
        }
        assertMatch(await disk.gone ?? "", /blk=.*: Cannot connect to .*ECONNREFUSED|refused/);
        await assertRejects(() => disk.client.read(0, 512), RequestError, "gone");
        // The others go on.
        assertEquals((await random.client.read(16)).length, 16);
      });
      assertEquals(left, []);
    },
  );

  testWith(
    withoutDaemon,
    `vhost-user: a program killed under writes comes back, and all is written (${isolation}) #core:vhost_user_return`,
    async () => {
      using folder = new Folder();
      const [file, socket] = [folder.of("disk"), folder.of("socket")];
      Deno.writeFileSync(file, new Uint8Array(1 << 26));
      await using daemon = await StorageDaemon.start({ disk: file, socket });
      const left = await leftovers(async () => {
        await using kernel = await openKernel({
          machine: "vhost-user",
          vhostUser: [{ kind: "blk", socket }],
          isolation,
          restarts: 10,
        });
        const disk = await kernel.attachFirst("block");
        const block = (i: number) => new Uint8Array(4096).fill(i % 255 + 1);
        let begun = 0;
        const writes = Array.from({ length: 2000 }, async (_, i) => {
          await disk.client.write(i * 4096, block(i));
          begun++;
        });
        assert(await soon(() => begun > 20));
        await daemon.kill();
        await using _next = await StorageDaemon.start({ disk: file, socket });
        await Promise.all(writes);
        await disk.client.flush();
        assert((await disk.describe()).restarts >= 1);
        const found = Deno.readFileSync(file);
        for (let i = 0; i < 2000; i++) {
          assertEquals(found.subarray(i * 4096, i * 4096 + 4096), block(i), `block ${i}`);
        }
      });
      assertEquals(left, []);
    },
  );
}

Deno.test("vhost-user: a program that connects to us is waited for, and not for ever #core:vhost_user_listen", async () => {
  using folder = new Folder();
  const [late, never] = [folder.of("late"), folder.of("never")];
  const dialling = new Worker(import.meta.resolve("./support/bad_back_end.ts"), {
    type: "module",
  });
  dialling.postMessage([{ path: late, dials: true }]);
  const left = await leftoversBesideWorker(async () => {
    await using kernel = await openKernel({
      machine: "vhost-user",
      vhostUser: [
        { kind: "rng", socket: late, listen: true },
        { kind: "rng", socket: never, listen: true },
      ],
    });
    const [came, missing] = kernel.nodes;
    assertEquals(came?.function.refusal, undefined);
    assertMatch(missing?.function.refusal ?? "", /did not connect within 5000 ms/);
    await using _random = await kernel.attach(came!.function.address);
  });
  dialling.terminate();
  assertEquals(left, []);
  assertEquals([...Deno.readDirSync(folder.path)], []);
});

testWith(
  withoutDaemon,
  "vhost-user: a program that hangs is left, and writes to memory that is not used any more #core:vhost_user_return",
  async () => {
    using folder = new Folder();
    const [file, socket] = [folder.of("disk"), folder.of("socket")];
    Deno.writeFileSync(file, new Uint8Array(1 << 20).fill(1));
    await using daemon = await StorageDaemon.start({ disk: file, socket });
    const left = await leftovers(async () => {
      await using kernel = await openKernel({
        machine: "vhost-user",
        vhostUser: [{ kind: "blk", socket }],
        isolation: "inline",
        requestDeadline: 500,
        restarts: 10,
      });
      const disk = await kernel.attachFirst("block");
      const before = inodes();
      assertEquals(before.length, 1);
      Deno.kill(daemon.pid, "SIGSTOP");
      // Not by a timer of this thread, which is going to wait for the daemon.
      const later = new Deno.Command("sh", {
        args: ["-c", `sleep 3; kill -CONT ${daemon.pid}`],
      }).spawn();
      const bytes = new Uint8Array(4096).fill(7);
      await disk.client.write(8192, bytes);
      assertEquals(await disk.client.read(8192, 4096), bytes);
      assertEquals(await disk.client.read(0, 512), new Uint8Array(512).fill(1));
      assert((await disk.describe()).restarts >= 1);
      assertEquals(inodes().length, 1);
      assertNotEquals(inodes(), before);
      await later.status;
    });
    assertEquals(left, []);
  },
);

/** Which memory files this process holds for devices. */
function inodes(): number[] {
  return descriptors().filter((each) => each.includes("memfd:virtio-dma")).map((each) =>
    Deno.statSync(`/proc/self/fd/${each.split(" ")[0]}`).ino!
  );
}

/** Starts programs that do something wrong. */
async function startBad(wrongs: readonly Wrong[]): Promise<Disposable> {
  const worker = new Worker(import.meta.resolve("./support/bad_back_end.ts"), { type: "module" });
  await new Promise((resolve) => {
    worker.onmessage = resolve;
    worker.postMessage(wrongs);
  });
  return { [Symbol.dispose]: () => worker.terminate() };
}

/** As `leftovers`, where the bad programs close their ends of connections, in this process, when they come to it. */
function leftoversBesideWorker(work: () => Promise<void>): Promise<string[]> {
  const before = descriptors().length;
  return leftovers(async () => {
    await work();
    await soon(() => descriptors().length <= before);
  });
}

const VERSION_1 = 1n << 32n;
const AT_OPENING: readonly (readonly [Omit<Wrong, "path">, RegExp])[] = [
  [{ greeting: "NBDMAGICIHAVEOPT\0\x03" }, /unknown|version|reply|is no|answer|message/i],
  [{ size: 4 }, /GET_FEATURES has a payload of 4 bytes: it has 8 bytes/],
  [{ number: 14 }, /it answered GET_PROTOCOL_FEATURES instead of GET_FEATURES/],
  [{ number: 99 }, /100/],
  [{ flags: 6 }, /version/i],
  [{ flags: 1 }, /answer|reply/i],
  [{ descriptors: 3 }, /GET_FEATURES came with 3 descriptors instead of none/],
  [{ descriptors: 20 }, /8 descriptors/],
  [{ features: 1n << 30n }, /does not offer VIRTIO_F_VERSION_1/],
  [{ features: VERSION_1 | 1n << 5n }, /another type/],
  [{ silentAt: 0 }, /did not answer GET_FEATURES within 5000 ms/],
  ...["GET_FEATURES", "GET_PROTOCOL_FEATURES"].map((name, closesAt) =>
    [{ closesAt }, new RegExp(`hung up instead of answering ${name}|does not take`)] as const
  ),
  [{ refusesAt: 3 }, /refuses SET_OWNER/],
];

Deno.test("vhost-user: what is no such program is refused in a sentence, and the others go on #core:vhost_user_bad", async () => {
  using folder = new Folder();
  const wrongs = AT_OPENING.map(([wrong], i) => ({ ...wrong, path: folder.of(`bad${i}`) }));
  using _bad = await startBad(wrongs);
  await using _served = await served("random", folder.of("good"));
  Deno.writeTextFileSync(folder.of("file"), "");
  const devices: VhostUserDevice[] = [
    ...wrongs.map(({ path }) => ({ kind: "rng", socket: path }) as const),
    { kind: "rng", socket: folder.of("nothing") },
    { kind: "rng", socket: folder.of("file") },
    { kind: "rng", socket: folder.of("x".repeat(120)) },
  ];
  const sentences = [
    ...AT_OPENING.map(([, sentence]) => sentence),
    /No such file/i,
    /refused/i,
    /at most 107 bytes/,
  ];
  const left = await leftoversBesideWorker(async () => {
    await using kernel = await openKernel({
      machine: "vhost-user",
      vhostUser: [...devices, { kind: "rng", socket: folder.of("good") }],
    });
    sentences.forEach((sentence, i) => {
      const refusal = kernel.nodes[i]!.function.refusal ?? "";
      assertMatch(refusal, sentence);
      assert(refusal.startsWith(`rng=${devices[i]!.socket}: `) && !refusal.includes("\n"), refusal);
    });
    await assertRejects(() => kernel.attach("0000:00:01.0"), Error, "rng=");
    const random = await kernel.attach(kernel.nodes.at(-1)!.function.address);
    await passes(random);
  });
  assertEquals(left, []);
});

Deno.test("vhost-user: a program of another type is refused #core:vhost_user_bad", async () => {
  using folder = new Folder();
  await using _blk = await served("blk", folder.of("blk"));
  await using _rng = await served("random", folder.of("rng"));
  for (
    const [kind, socket] of [
      ["rng", "blk"],
      ["net", "blk"],
      ["scsi", "blk"],
      ["console", "blk"],
      ["balloon", "blk"],
      ["blk", "rng"],
      ["net", "rng"],
      ["scsi", "rng"],
    ] as const
  ) {
    await using kernel = await openKernel({
      machine: "vhost-user",
      vhostUser: [{ kind, socket: folder.of(socket) }],
    });
    assertMatch(kernel.nodes[0]!.function.refusal ?? "", /another type|tells no configuration/);
  }
});

/** Messages from the first after the opening to where the device is at work. */
const WHILE_STARTING = [
  "SET_FEATURES",
  "SET_MEM_TABLE",
  "SET_VRING_NUM",
  "SET_VRING_BASE",
  "SET_VRING_ADDR",
  "SET_VRING_CALL",
  "SET_VRING_KICK",
  "SET_VRING_ENABLE",
];
const FIRST = 4;

for (const how of ["closesAt", "refusesAt"] as const) {
  Deno.test(`vhost-user: a program that ${how === "closesAt" ? "hangs up" : "refuses"} at any message of the start is a sentence #core:vhost_user_bad`, async () => {
    using folder = new Folder();
    const wrongs = WHILE_STARTING.map((_, i) => ({ path: folder.of(`${i}`), [how]: FIRST + i }));
    using _bad = await startBad(wrongs);
    const left = await leftoversBesideWorker(async () => {
      for (const [i, name] of WHILE_STARTING.entries()) {
        await using kernel = await openKernel({
          machine: "vhost-user",
          vhostUser: [{ kind: "rng", socket: wrongs[i]!.path }],
          restarts: 0,
        });
        const { function: { address, refusal } } = kernel.nodes[0]!;
        assertEquals(refusal, undefined);
        const error = await assertRejects(() => kernel.attach(address), Error);
        assertMatch(
          error.message,
          how === "closesAt" ? /hung up|does not take/ : new RegExp(`refuses ${name} `),
        );
      }
    });
    assertEquals(left, []);
  });
}

Deno.test("vhost-user: what is wrong on a command line is said #core:vhost_user_bad", async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /without devices: name them/],
    [["--", "disk=/x"], /"disk" is none of blk, net/],
    [["--", "blk"], /it names no socket/],
    [["--", "blk=/x,ro"], /"ro" is none of mac=, size= and listen/],
    [["--", "blk=/x,mac=52:54:00:12:34:56"], /only a network card has a mac/],
    [["--", "net=/x,mac=53:54:00:12:34:56"], /wanted the address of one station/],
    [["--", "blk=/x,size=3"], /wanted a power of two/],
  ];
  for (const [args, sentence] of cases) {
    const { code, err } = await run(...program("ls", "--machine", "vhost-user", ...args));
    assertMatch(err, sentence);
    assert(code !== 0 && err.trim().split("\n").length === 1, err);
  }
});
