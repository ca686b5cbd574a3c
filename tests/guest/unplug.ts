/**
 * A disk is unplugged in the middle of its work, and comes back: every request ends once, nothing that was acknowledged is
 * lost, and the same program goes on with it.
 *
 * @module
 */

import { rebind } from "../../machine/mod.ts";
import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { checkDevice } from "../../cli/check/check.ts";
import { openKernel, RequestError, Status } from "../../mod.ts";
import { attachDisk, BLOCK, block, has } from "./support/disk.ts";
import { address, check, monitor, portOf, until } from "./support/job.ts";

const DISK = "hot blk";
const WRITERS = 32;
const WRITES_BEFORE = 200;

await using kernel = await openKernel({ machine: "local" });
await using neighbour = await kernel.attach(address("rng"));
assert(neighbour.class === "entropy");

/** For each block, the last version that the device acknowledged. */
const acknowledged = new Uint32Array(WRITERS);

function isThere(): boolean {
  try {
    return Deno.statSync(`/sys/bus/pci/devices/${address(DISK)}`).isDirectory;
  } catch {
    return false;
  }
}

await check("unplug: every request in flight ends once, as gone", async () => {
  await using device = await attachDisk(kernel, DISK);
  let ends = 0;
  const writer = async (index: number) => {
    for (let version = 1;; version++) {
      await device.client.write(index * BLOCK, block(index, version)).finally(() => ends++);
      acknowledged[index] = version;
    }
  };
  const ending = Promise.allSettled(Array.from({ length: WRITERS }, (_, i) => writer(i)));
  await until("some writes are done", () => ends > WRITES_BEFORE);
  monitor("device_del", { id: "hot" });
  for (const end of await ending) {
    assert(end.status === "rejected");
    assertInstanceOf(end.reason, RequestError);
    assertEquals(end.reason.status, Status.gone);
  }
  const done = acknowledged.reduce((sum, version) => sum + version);
  assertEquals(ends, done + WRITERS);
  const reason = await device.gone;
  assertMatch(reason ?? "", /unplugged/);
  return `${done} writes were done and ${WRITERS} ended as gone: ${reason}`;
});
await check("unplug: its neighbour goes on", async () => {
  assertEquals((await neighbour.client.read(64)).length, 64);
});
await check("unplug: the kernel gets the device back while the program goes on", async () => {
  await until("its folder is gone", () => !isThere());
  assertEquals(kernel.refresh().find((node) => node.function.address === address(DISK)), undefined);
});

// The kernel lets go of a device a little before QEMU does.
await new Promise((resolve) => setTimeout(resolve, 1000));
monitor("device_add", {
  ...{ driver: "virtio-blk-pci", id: "again", drive: "hot", bus: portOf(DISK) },
  "iommu_platform": true,
});
await check(
  "plug: the device that comes back is bound and driven by the same program",
  async () => {
    await until("it is there", isThere);
    rebind({ addresses: [address(DISK)], driver: "vfio-pci", force: [], dryRun: false });
    kernel.refresh();
    await using device = await attachDisk(kernel, DISK);
    for (const [index, version] of acknowledged.entries()) {
      // The one after may have been done, too, and its end was lost.
      const kept = await has(device.client, index, version) ||
        await has(device.client, index, version + 1);
      assert(kept, `block ${index} lost what was acknowledged`);
    }
    const { findings, summary } = await checkDevice(device, { write: true });
    assertEquals(findings.filter(({ passed }) => !passed), []);
    return summary;
  },
);
