/**
 * A machine made of programs that speak vhost-user.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { RequestError } from "../core/bus/request_error.ts";
import { type BackEndKind, bit, Feature, openKernel } from "../mod.ts";
import { Folder, passes, served, StorageDaemon, withoutDaemon } from "./support/back_ends.ts";
import { descriptors, leftovers } from "./support/leaks.ts";
import "./support/libc.ts";
import { testWith } from "./support/needs.ts";

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
}

testWith(
  withoutDaemon,
  "vhost-user: a program that hangs is left, and writes to memory that is not used any more #core:vhost_user_return",
  async () => {
    using folder = new Folder();
    const [file, socket] = [folder.of("disk"), folder.of("socket")];
    Deno.writeFileSync(file, new Uint8Array(1 << 20).fill(1));
    await using daemon = await StorageDaemon.start({ disk: file, socket });
    let stopped = false;
    const left = await leftovers(async () => {
      await using kernel = await openKernel({
        machine: "vhost-user",
        vhostUser: [{ kind: "blk", socket }],
        isolation: "inline",
        requestDeadline: 500,
        restarts: 10,
        // It goes on when it was left, and not before.
        notice() {
          if (stopped) Deno.kill(daemon.pid, "SIGCONT");
          stopped = false;
        },
      });
      const disk = await kernel.attachFirst("block");
      const before = inodes();
      assertEquals(before.length, 1);
      stopped = true;
      Deno.kill(daemon.pid, "SIGSTOP");
      const bytes = new Uint8Array(4096).fill(7);
      await disk.client.write(8192, bytes);
      assertEquals(await disk.client.read(8192, 4096), bytes);
      assertEquals(await disk.client.read(0, 512), new Uint8Array(512).fill(1));
      assert((await disk.describe()).restarts >= 1);
      assertEquals(inodes().length, 1);
      assertNotEquals(inodes(), before);
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
