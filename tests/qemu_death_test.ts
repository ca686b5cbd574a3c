/**
 * The end of the machine in the middle of its work, and our own.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { RequestError } from "../core/bus/request_error.ts";
import { Status } from "../core/bus/lane.ts";
import type { Kernel } from "../mod.ts";
import { openKernel } from "../mod.ts";
import type { QemuPlatform } from "../core/platform/qemu/mod.ts";
import { alive, children, leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { qemuMachine, qemuTest } from "./support/machine.ts";
import { patience } from "./support/patience.ts";

function qemuPid(kernel: Kernel): number {
  return (kernel.machine as QemuPlatform).pid;
}

for (const isolation of ["process", "inline"] as const) {
  for (const interrupts of ["msix", "polling"] as const) {
    const how = `${isolation}, ${interrupts}`;
    qemuTest(`QEMU killed under load: all requests end, and nothing is left (${how})`, async () => {
      const left = await leftovers(async () => {
        using machine = qemuMachine("q35");
        const kernel = await openKernel({ ...machine.options, isolation, interrupts });
        const random = await kernel.attachFirst("entropy");
        const disk = await kernel.attachFirst("block");
        const pids = [random.pid, disk.pid].filter((pid) => pid !== undefined);

        const ends = new Map<number, number>();
        const count = (i: number) => () => {
          ends.set(i, (ends.get(i) ?? 0) + 1);
        };
        const bytes = new Uint8Array(65536);
        const requests = Array.from({ length: 200 }, (_, i) => {
          const request = i % 4 === 0 ? random.client.read(100) : disk.client.write(i * 512, bytes);
          request.then(count(i), count(i));
          return request as Promise<unknown>;
        });
        const settled = Promise.allSettled(requests);
        Deno.kill(qemuPid(kernel), "SIGKILL");
        const failed = (await settled).filter((end) => end.status === "rejected");
        assert(failed.length > 0);
        for (const { reason } of failed) {
          assert(reason instanceof RequestError && reason.status === Status.gone, String(reason));
        }
        for (const device of [random, disk]) {
          assertMatch(await device.gone ?? "", /QEMU.*(signal 9|SIGKILL)/);
        }
        assertEquals([...ends.values()], requests.map(() => 1));

        await assertRejects(() => disk.client.read(0, 512), RequestError, "gone");
        await assertRejects(() => kernel.attachFirst("block"), Error, "QEMU");
        await kernel[Symbol.asyncDispose]();
        assert(pids.every((pid) => !alive(pid)), "a driver lives on");
      });
      assertEquals(left, []);
    });
  }
}

for (const isolation of ["process", "inline"] as const) {
  qemuTest(`QEMU killed while a driver starts: attach fails (${isolation})`, async () => {
    const left = await leftovers(async () => {
      using machine = qemuMachine("q35");
      await using kernel = await openKernel({ ...machine.options, isolation });
      const attaching = assertRejects(() => kernel.attachFirst("block"), Error, "QEMU");
      Deno.kill(qemuPid(kernel), "SIGKILL");
      await attaching;
      assertEquals(kernel.devices, []);
    });
    assertEquals(left, []);
  });
}

qemuTest(
  "QEMU that stands still: requests end at their deadline, and the kernel comes down",
  async () => {
    const left = await leftovers(async () => {
      using machine = qemuMachine("q35");
      await using kernel = await openKernel({ ...machine.options, requestDeadline: 500 });
      const disk = await kernel.attachFirst("block");
      Deno.kill(qemuPid(kernel), "SIGSTOP");
      await assertRejects(() => disk.client.read(0, 512), RequestError, "gone");
      assertMatch(await disk.gone ?? "", /did not finish a request within 500 ms|QEMU/);
    });
    assertEquals(left, []);
  },
);

qemuTest("the core killed under load: QEMU and drivers end with it", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    signal: patience(),
    args: ["run", "-A", import.meta.resolve("./support/endless_load.ts")],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const pids = JSON.parse(new TextDecoder().decode((await reader.read()).value)) as number[];
  assert(pids.length === 3 && pids.every(alive));
  child.kill("SIGKILL");
  await reader.cancel();
  await child.status;
  for (const pid of pids) assert(await soon(() => !alive(pid)), `process ${pid} lives on`);
  assert(!children().some((pid) => pids.includes(pid)));
});
