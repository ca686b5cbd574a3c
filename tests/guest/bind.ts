/**
 * Takes devices away from the kernel's own drivers, as on a virtual machine in use: all but what is in use.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { address, check, program, sh, until } from "./support/job.ts";

const USED_DISK = "blk in use", USED_NET = "net in use";
/** What the other jobs drive, and a disk that is not needed any more then. */
const ALL = [
  ...["rng", "blk", "rng packed", "blk packed", "rng intx", "blk intx", "hot blk"],
  ...["net", "console", "scsi", "balloon intx", "rng that bypasses", "transitional rng"],
  "nvme",
  USED_DISK,
];

function driverOf(name: string): string | undefined {
  try {
    return Deno.readLinkSync(`/sys/bus/pci/devices/${address(name)}/driver`).split("/").at(-1);
  } catch {
    return undefined;
  }
}

/** The name under which the kernel has a device: `vda`, `eth0`. */
function kernelName(name: string, folder: "block" | "net"): string {
  const device = `/sys/bus/pci/devices/${address(name)}`;
  const virtio = [...Deno.readDirSync(device)].find((each) => each.name.startsWith("virtio"));
  return [...Deno.readDirSync(`${device}/${virtio?.name}/${folder}`)][0]!.name;
}

async function refused(name: string, why: RegExp): Promise<string> {
  const { code, stdout, stderr } = await program("bind", address(name));
  assertEquals(code, 4, stdout + stderr);
  assertMatch(stderr, why);
  assertEquals(driverOf(name), "virtio-pci");
  return stderr;
}

await sh("modprobe virtio_pci && modprobe virtio_blk && modprobe virtio_net");
await until("the kernel drives all devices", () => ALL.every((name) => driverOf(name)));

const disk = `/dev/${kernelName(USED_DISK, "block")}`;
await check("bind: refuses a disk that is mounted", async () => {
  await sh(`mke2fs -F ${disk} && mount -t ext4 ${disk} /mnt`);
  return await refused(USED_DISK, /is mounted on \/mnt.*--force/);
});
await sh("umount /mnt");
const net = kernelName(USED_NET, "net");
await check("bind: refuses the interface of the default route", async () => {
  await sh(`ip address add 10.0.2.15/24 dev ${net} && ip link set ${net} up`);
  await sh("ip route add default via 10.0.2.2");
  return await refused(USED_NET, /carries the default route.*--force/);
});

await check("check: takes nothing away from the kernel", async () => {
  const { code, stdout, stderr } = await program("check", address("rng"));
  assertEquals(code, 4, stdout + stderr);
  assertEquals(driverOf("rng"), "virtio-pci");
  return stdout;
});
await check("bind --dry-run: changes nothing", async () => {
  const { code, stdout, stderr } = await program("bind", "--dry-run", address("rng"));
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /virtio-pci -> vfio-pci/);
  assertEquals(driverOf("rng"), "virtio-pci");
  return stdout;
});
await check("bind: takes what is not in use any more, and prints the inverse", async () => {
  const { code, stdout, stderr } = await program("bind", ...ALL.map(address));
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /To undo: unbind 0000:01:00.0/);
  assertEquals(ALL.map(driverOf), ALL.map(() => "vfio-pci"));
  return stdout;
});
await check("unbind: gives a device back to the driver that it had", async () => {
  const { code, stdout, stderr } = await program("unbind", address(USED_DISK));
  assertEquals(code, 0, stderr);
  assertEquals(driverOf(USED_DISK), "virtio-pci");
  return stdout;
});
