/**
 * The NVMe driver on QEMU's controller: what it does to the files behind the namespaces.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Device } from "../classes.ts";
import type { BlockClient } from "../classes/block/client.ts";
import type { Isolation } from "../core/kernel/driver_host.ts";
import { type Kernel, type OpenOptions, RequestError } from "../mod.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { eachQemuTest, pattern, qemuProgram, qemuTest } from "./support/machine.ts";
import { program, run } from "./support/program.ts";
import { differsAt, openQemuKernel, qmpOf, useDisk } from "./support/qemu.ts";

const MIB = 2 ** 20;
const CAPACITY = 4 * MIB;
const ISOLATIONS: readonly Isolation[] = ["process", "inline"];

interface Bench {
  readonly kernel: Kernel;
  readonly nvme: Device<"block">;
  readonly client: BlockClient;
  readonly file: string;
}

/** A file for a namespace. */
class Image implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "virtio-nvme-" });

  constructor() {
    Deno.truncateSync(this.path, CAPACITY);
  }

  /** For QEMU. */
  node(name: string): readonly string[] {
    const file = `driver=file,filename=${this.path},discard=unmap,detect-zeroes=off`;
    return ["-blockdev", `${file},node-name=${name}`];
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path);
  }
}

/** Does something with a namespace on a file. */
async function withController(
  options: string,
  use: (bench: Bench) => Promise<void>,
  open: OpenOptions = {},
): Promise<void> {
  using image = new Image();
  const device = ["-device", `nvme,drive=node,serial=NVME-0001${options}`];
  await using kernel = await openQemuKernel([...image.node("node"), ...device], open);
  const nvme = await kernel.attachFirst("block");
  await use({ kernel, nvme, client: nvme.client, file: image.path });
}

const VARIANTS: readonly [name: string, options: string, open?: OpenOptions][] = [
  ["as usual", ""],
  ["ioeventfd", ",ioeventfd=on"],
  ["four queues", ",max_ioqpairs=4", { tunables: { "nvme.num_io_queues": 8 } }],
  ["four queues, ioeventfd", ",ioeventfd=on", { tunables: { "nvme.num_io_queues": 4 } }],
  ["8192 bytes at a time", ",mdts=1"],
  ["no shadow doorbells", "", { tunables: { "nvme.shadow_doorbells": false } }],
  ["one vector for all", "", { interrupts: "shared" }],
  ["pin", "", { interrupts: "intx" }],
  ["polling", "", { interrupts: "polling" }],
];

const IN_PROCESS = ["as usual", "four queues, ioeventfd", "no shadow doorbells", "pin", "polling"];

for (const isolation of ISOLATIONS) {
  for (const [name, options, open] of VARIANTS) {
    // Where a driver runs makes a difference to how it rings and how it is woken.
    if (isolation === "process" && !IN_PROCESS.includes(name)) continue;
    const test = name === "as usual" ? eachQemuTest : qemuTest;
    test(
      `nvme: reads, writes, flushes, discards and zeroes (${name}, ${isolation}) #nvme:READ #nvme:WRITE #nvme:FLUSH #nvme:DSM #nvme:WRITE_ZEROES #nvme:MDTS #nvme:queues #nvme:interrupts #nvme:identity`,
      async () => {
        await withController(options, async ({ client, file, nvme }) => {
          assertEquals([client.capacity, await client.id()], [CAPACITY, "NVME-0001"]);
          const wanted = new Uint8Array(CAPACITY);
          await useDisk(client, wanted);
          await client.write(MIB, pattern(2 * MIB, 1));
          wanted.set(pattern(2 * MIB, 1), MIB);
          const allocated = () => Deno.statSync(file).blocks! * 512;
          const before = allocated();
          await client.discard(MIB, MIB);
          assert(before - allocated() >= MIB, "the discard freed nothing");
          wanted.fill(0, MIB, 2 * MIB);
          await client.writeZeroes(2 * MIB + 512, 1024);
          wanted.fill(0, 2 * MIB + 512, 2 * MIB + 1536);
          await client.flush();
          assertEquals(differsAt(Deno.readFileSync(file), wanted), -1);
          const { statistics, restarts } = await nvme.describe();
          assertEquals([statistics.discard_ios, statistics.discard_sectors, restarts], [
            1,
            2048,
            0,
          ]);
        }, { isolation, ...open });
      },
    );
  }

  qemuTest(
    `nvme: a machine that is reset under load: the controller is set up anew, and nothing is lost (${isolation}) #nvme:replay`,
    async () => {
      await withController("", async ({ kernel, client, file, nvme }) => {
        const bytes = pattern(CAPACITY, 3);
        const writing = client.write(0, bytes);
        qmpOf(kernel).execute("system_reset");
        await writing;
        // What ended before the reset may be in a cache that is lost.
        await client.flush().catch(() => client.write(0, bytes).then(() => client.flush()));
        assertEquals(differsAt(Deno.readFileSync(file), bytes), -1);
        assert(await soon(() => !nvme.client.readOnly));
      }, { isolation, requestDeadline: 2000 });
    },
  );

  qemuTest(`nvme: errors of the medium (${isolation}) #nvme:status`, async () => {
    const node = {
      driver: "blkdebug",
      "node-name": "node",
      "inject-error": [{ event: "none", iotype: "read", errno: 5, once: false, sector: 64 }],
      image: { driver: "null-co", size: MIB, "read-zeroes": true },
    };
    const args = [
      ...["-blockdev", JSON.stringify(node)],
      ...["-device", "nvme,drive=node,serial=1"],
    ];
    await using kernel = await openQemuKernel(args, { isolation });
    const { client } = await kernel.attachFirst("block");
    await assertRejects(() => client.read(64 * 512, 512), RequestError);
    assertEquals(await client.read(0, 4096), new Uint8Array(4096));
  });
}

qemuTest("nvme: several namespaces of one controller, by the tunable #nvme:namespace", async () => {
  using first = new Image();
  using second = new Image();
  const args = [
    ...[...first.node("first"), ...second.node("second")],
    ...["-device", "nvme,id=nvme,serial=NVME-0002"],
    ...["-device", "nvme-ns,drive=first,bus=nvme,nsid=2"],
    ...[
      "-device",
      "nvme-ns,drive=second,bus=nvme,nsid=5,logical_block_size=4096,physical_block_size=4096",
    ],
  ];
  for (const [namespace, image, blockSize] of [[0, first, 512], [5, second, 4096]] as const) {
    await using kernel = await openQemuKernel(args, { tunables: { "nvme.namespace": namespace } });
    const { client } = await kernel.attachFirst("block");
    assertEquals(client.blockSize, blockSize);
    const bytes = pattern(65536, namespace);
    await client.write(8192, bytes);
    await client.flush();
    const file = Deno.readFileSync(image.path).subarray(8192, 8192 + 65536);
    assertEquals(differsAt(file, bytes), -1);
  }
  await using kernel = await openQemuKernel(args, { tunables: { "nvme.namespace": 3 } });
  await assertRejects(
    () => kernel.attachFirst("block"),
    Error,
    "The controller has no active namespace 3; it has 2, 5",
  );
});

qemuTest(
  "nvme: a driver that is killed again and again under load loses nothing #nvme:replay",
  async () => {
    await withController("", async ({ client, nvme, file }) => {
      for (let kill = 0; kill < 3; kill++) {
        const bytes = pattern(CAPACITY, kill);
        const pid = nvme.pid!;
        const writing = client.write(0, bytes);
        Deno.kill(pid, "SIGKILL");
        await writing;
        await client.flush().catch(() => client.write(0, bytes).then(() => client.flush()));
        assertEquals(differsAt(Deno.readFileSync(file), bytes), -1);
        assert(await soon(() => nvme.pid !== pid), "no new process came");
      }
    });
  },
);

qemuTest("nvme: the write cache is switched #nvme:VWC", async () => {
  await withController("", async ({ client, nvme }) => {
    assert(client.writeCache && client.canSwitchCache);
    await client.setWriteCache(false);
    assertEquals(client.writeCache, false);
    Deno.kill(nvme.pid!, "SIGKILL");
    await client.read(0, 512);
    assert(await soon(() => !client.writeCache), "the cache is on again");
  });
});

qemuTest("nvme: check puts a controller to work as any disk #nvme:identity", async () => {
  using image = new Image();
  const machine = ["--machine", "qemu", "--qemu", qemuProgram(), "--"];
  const { code, text } = await run(...program(
    ...["check", "--json", ...machine, ...image.node("node")],
    ...["-device", "nvme,drive=node,serial=NVME-0003"],
  ));
  const devices: { driver: { name: string } | null; outcome: string }[] = JSON.parse(text).devices;
  assertEquals([code, devices.find(({ driver }) => driver?.name === "nvme")?.outcome], [
    0,
    "passed",
  ]);
});
