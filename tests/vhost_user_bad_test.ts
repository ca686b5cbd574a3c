/**
 * Programs that are no good back-ends of vhost-user, and what they cost: a sentence, and nothing to other devices.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { EntropyClient } from "../classes/entropy/client.ts";
import { openKernel, type VhostUserDevice } from "../mod.ts";
import { Folder, passes, served, StorageDaemon, withoutDaemon } from "./support/back_ends.ts";
import { BadBackEnds, Scribbler, type Wrong } from "./support/bad_back_end.ts";
import { descriptors, leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { testWith } from "./support/needs.ts";
import { program, run } from "./support/program.ts";
import { useDisk } from "./support/qemu.ts";

/** As `leftovers`, where bad programs close their ends of connections, in this process, when they come to it. */
function leftoversBesideBad(work: () => Promise<void>): Promise<string[]> {
  const before = descriptors().length;
  return leftovers(async () => {
    await work();
    await soon(() => descriptors().length <= before);
  });
}

Deno.test("vhost-user: a program that connects to us is waited for, and not for ever #core:vhost_user_listen", async () => {
  using folder = new Folder();
  const [late, never] = [folder.of("late"), folder.of("never")];
  await using _dialling = new BadBackEnds([{ path: late, dials: true }]);
  const left = await leftoversBesideBad(async () => {
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
  assertEquals(left, []);
  assertEquals([...Deno.readDirSync(folder.path)], []);
});

const VERSION_1 = 1n << 32n;
const AT_OPENING: readonly (readonly [Omit<Wrong, "path">, RegExp])[] = [
  [{ greeting: "NBDMAGICIHAVEOPT\0\x03" }, /"NBDMAGICIHAV" is another protocol than vhost-user/],
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
    [
      { closesAt },
      new RegExp(`hung up (instead of answering|before) ${name}|does not take`),
    ] as const
  ),
  [{ refusesAt: 3 }, /refuses SET_OWNER/],
];

Deno.test("vhost-user: what is no such program is refused in a sentence, and the others go on #core:vhost_user_bad", async () => {
  using folder = new Folder();
  const wrongs = AT_OPENING.map(([wrong], i) => ({ ...wrong, path: folder.of(`bad${i}`) }));
  await using _bad = new BadBackEnds(wrongs);
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
    /it is a file, not a socket/,
    /at most 107 bytes/,
  ];
  const left = await leftoversBesideBad(async () => {
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

const MQ = 1n << 0n, BACKEND_REQ = 1n << 5n, CONFIG = 1n << 9n;
/** A disk, with its block size. */
const DISK = { features: VERSION_1 | 1n << 30n | 1n << 6n, protocol: CONFIG };
const UNTRUE: readonly (readonly [Omit<Wrong, "path">, "rng" | "blk", RegExp])[] = [
  [{ speaksAt: 0 }, "rng", /speaks without being asked|answered GET_FEATURES instead of/],
  [{ protocol: MQ, queues: 0n }, "rng", /says that it has 0 queues/],
  [{ protocol: MQ, queues: 2n ** 64n - 1n }, "rng", /says that it has 18446744073709551615 queues/],
  [{ ...DISK, config: 0 }, "blk", /does not tell the 60 bytes of its configuration/],
  [{ ...DISK, config: 8 }, "blk", /does not tell the 60 bytes of its configuration/],
  [{ ...DISK, config: 256 }, "blk", /does not tell the 60 bytes of its configuration/],
  [{ ...DISK, config: 4096 }, "blk", /GET_CONFIG has a payload of 4108 bytes/],
];

Deno.test("vhost-user: a program that says too much, or what cannot be true of its queues and its configuration, is refused in a sentence #core:vhost_user_untrue", async () => {
  using folder = new Folder();
  const wrongs = UNTRUE.map(([wrong], i) => ({ ...wrong, path: folder.of(`bad${i}`) }));
  const most = folder.of("most"), late = folder.of("late");
  await using _bad = new BadBackEnds([
    ...wrongs,
    { path: most, protocol: MQ, queues: 65535n },
    { path: late, speaksAt: FIRST + WHILE_STARTING.length - 1 },
  ]);
  const left = await leftoversBesideBad(async () => {
    await using kernel = await openKernel({
      machine: "vhost-user",
      vhostUser: [
        ...wrongs.map(({ path }, i) => ({ kind: UNTRUE[i]![1], socket: path })),
        { kind: "rng", socket: most },
        { kind: "rng", socket: late },
      ],
      restarts: 0,
    });
    for (const [i, [, , sentence]] of UNTRUE.entries()) {
      assertMatch(kernel.nodes[i]!.function.refusal ?? "", sentence);
    }
    // More queues than can be used are no lie.
    const [many, talker] = kernel.nodes.slice(-2).map((node) => node.function.address);
    const random = await kernel.attach(many!);
    assertEquals((await random.describe()).queues.length, 1);
    const why = await kernel.attach(talker!).then(
      ({ gone }) => gone,
      (error: Error) => error.message,
    );
    assertMatch(why ?? "", /speaks without being asked/);
  });
  assertEquals(left, []);
});

Deno.test("vhost-user: a program that says without end that it has changed does not keep another from its work #core:vhost_user_untrue", async () => {
  using folder = new Folder();
  const [flood, good] = [folder.of("flood"), folder.of("good")];
  const protocol = CONFIG | BACKEND_REQ;
  await using _bad = new BadBackEnds([{ ...DISK, protocol, floods: true, path: flood }]);
  await using _served = await served("random", good);
  const left = await leftoversBesideBad(async () => {
    await using kernel = await openKernel({
      machine: "vhost-user",
      vhostUser: [{ kind: "blk", socket: flood }, { kind: "rng", socket: good }],
    });
    assertEquals(kernel.nodes[0]!.function.refusal, undefined);
    const { client } = await kernel.attachFirst("entropy");
    for (let i = 0; i < 100; i++) assertEquals((await client.read(64)).length, 64);
    assertEquals(kernel.nodes[0]!.function.refusal, undefined);
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

for (const how of ["closesAt", "refusesAt"] as const) {
  Deno.test(`vhost-user: a program that ${how === "closesAt" ? "hangs up" : "refuses"} at any message of the start is a sentence #core:vhost_user_bad`, async () => {
    using folder = new Folder();
    const wrongs = WHILE_STARTING.map((_, i) => ({ path: folder.of(`${i}`), [how]: FIRST + i }));
    await using _bad = new BadBackEnds(wrongs);
    const left = await leftoversBesideBad(async () => {
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
    [["--", "blk=/x,ro"], /"ro" is none of mac=, pairs=, size= and listen/],
    [["--", "blk=/x,mac=52:54:00:12:34:56"], /only a network card has mac/],
    [["--", "blk=/x,pairs=2"], /only a network card has pairs/],
    [["--", "net=/x,pairs=33"], /wanted a number from 1 to 32/],
    [["--", "net=/x,mac=53:54:00:12:34:56"], /wanted the address of one station/],
    [["--", "net=/x,pairs=none"], /"pairs=none" says no number/],
    [["--", "blk=/x,size=3"], /wanted a power of two/],
    [["--", "blk=/x", "rng=/x"], /Cannot use rng=\/x twice/],
    [["--", "blk=/x", "random=/x"], /Cannot use rng=\/x twice/],
  ];
  for (const [args, sentence] of cases) {
    const { code, err } = await run(...program("ls", "--machine", "vhost-user", ...args));
    assertMatch(err, sentence);
    assert(code === 2 && err.trim().split("\n").length === 1, err);
  }
});

/** A back-end is given so long for each answer; what waits for one with it would wait as long, in milliseconds. */
const DEADLINE = 5000;

/** Reads all the time, until `over` is aborted. Returns the longest time between two reads. */
async function readOn(client: EntropyClient, over: AbortSignal): Promise<number> {
  let longest = 0;
  for (let last = performance.now(); !over.aborted;) {
    assertEquals((await client.read(64)).length, 64);
    await new Promise((resolve) => setTimeout(resolve, 1));
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }
  return longest;
}

for (const isolation of ["process", "inline"] as const) {
  testWith(
    withoutDaemon,
    `vhost-user: while a program hangs, at work and at the opening, the reads of another go on (${isolation}) #core:vhost_user_hang`,
    async () => {
      using folder = new Folder();
      const [disk, socket, silent] = [folder.of("disk"), folder.of("socket"), folder.of("silent")];
      Deno.writeFileSync(disk, new Uint8Array(1 << 20));
      await using daemon = await StorageDaemon.start({ disk, socket });
      await using _served = await served("random", folder.of("rng"));
      await using _bad = new BadBackEnds([{ path: silent, silentAt: 0 }]);
      const left = await leftoversBesideBad(async () => {
        await using kernel = await openKernel({
          machine: "vhost-user",
          vhostUser: [{ kind: "blk", socket }, { kind: "rng", socket: folder.of("rng") }],
          isolation,
          requestDeadline: 500,
          restarts: 1,
        });
        const { client, gone } = await kernel.attachFirst("block");
        const random = await kernel.attachFirst("entropy");
        const over = new AbortController();
        const reads = readOn(random.client, over.signal);
        Deno.kill(daemon.pid, "SIGSTOP");
        await assertRejects(() => client.write(0, new Uint8Array(512)));
        assertMatch(await gone ?? "", /did not answer GET_FEATURES within 5000 ms/);
        await using another = await openKernel({
          machine: "vhost-user",
          vhostUser: [{ kind: "rng", socket: silent }],
        });
        assertMatch(another.nodes[0]!.function.refusal ?? "", /did not answer GET_FEATURES/);
        over.abort();
        const longest = await reads;
        assert(longest < 0.9 * DEADLINE, `the reads stood still for ${Math.round(longest)} ms`);
      });
      assertEquals(left, []);
    },
  );
}

Deno.test("vhost-user: a program that hangs is not waited for when the kernel is closed #core:vhost_user_hang", async () => {
  using folder = new Folder();
  const path = folder.of("silent");
  // It is silent from the message on that starts the device.
  await using _bad = new BadBackEnds([{ path, silentAt: FIRST }]);
  const left = await leftoversBesideBad(async () => {
    const kernel = await openKernel({
      machine: "vhost-user",
      vhostUser: [{ kind: "rng", socket: path }],
    });
    const attached = assertRejects(() => kernel.attach(kernel.nodes[0]!.function.address), Error);
    await kernel[Symbol.asyncDispose]();
    await attached;
  });
  assertEquals(left, []);
});

Deno.test("vhost-user: a program that was left writes all over the memory that it had: the next life has another #core:vhost_user_scribbles", async () => {
  using folder = new Folder();
  const [real, path] = [folder.of("real"), folder.of("path")];
  await using _served = await served("blk", real);
  await using scribbler = new Scribbler(path, real);
  const left = await leftoversBesideBad(async () => {
    await using kernel = await openKernel({
      machine: "vhost-user",
      vhostUser: [{ kind: "blk", socket: path }],
      restarts: 10,
    });
    const disk = await kernel.attachFirst("block");
    const wanted = new Uint8Array(disk.client.capacity);
    await useDisk(disk.client, wanted);
    const writes = Promise.all(
      Array.from({ length: 50 }, (_, i) => disk.client.write(i * 512, wanted.subarray(0, 512))),
    );
    scribbler.drop();
    await writes;
    // All may be written before it is noticed that it hung up; until then the memory is its own, too.
    for (let tries = 0; (await disk.describe()).restarts === 0; tries++) {
      assert(tries < 1000, "the program was not left");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    // The first flush after that says that what was not flushed may be lost.
    await disk.client.flush().catch(() => {});
    assertEquals(await disk.client.read(0, 512), wanted.slice(0, 512));
    scribbler.scribble();
    for (let i = 0; i < 50; i++) wanted.set(wanted.subarray(0, 512), i * 512);
    await useDisk(disk.client, wanted, 7);
    assertEquals((await disk.describe()).restarts, 1);
    assert(await soon(() => scribbler.writes > 1));
  });
  assertEquals(left, []);
});
