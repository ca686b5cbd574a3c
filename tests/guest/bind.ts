/**
 * Takes devices away from the kernel's own virtio drivers, as on a virtual machine in use: all but what is in use.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { address, check, program, sh, until } from "./support/job.ts";

const USED_DISK = "blk in use", USED_NET = "net in use";
const TAKEN = ["rng", "blk", "rng packed", "blk packed", "rng intx", "blk intx", "hot blk"];

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
await until("the kernel drives all devices", () => TAKEN.every((name) => driverOf(name)));

const disk = `/dev/${kernelName(USED_DISK, "block")}`;
await check("bind: refuses a disk that is mounted", async () => {
  await sh(`mke2fs -F ${disk} && mount -t ext4 ${disk} /mnt`);
  return await refused(USED_DISK, /mounted.*\/mnt/s);
});
await check("bind: refuses a disk that is swapped to", async () => {
  await sh(`umount /mnt && mkswap ${disk} && swapon ${disk}`);
  return await refused(USED_DISK, /swap/);
});
await sh(`swapoff ${disk}`);

const net = kernelName(USED_NET, "net");
await check("bind: refuses an interface that has an address", async () => {
  await sh(`ip address add 10.0.2.15/24 dev ${net} && ip link set ${net} up`);
  return await refused(USED_NET, /10\.0\.2\.15/);
});
await check("bind: refuses the interface of the default route", async () => {
  await sh(`ip route add default via 10.0.2.2`);
  return await refused(USED_NET, /default route/);
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
  assertMatch(stdout, /vfio-pci/);
  assertEquals(driverOf("rng"), "virtio-pci");
  return stdout;
});
await check("bind: takes them, and prints the inverse", async () => {
  const { code, stdout, stderr } = await program("bind", ...TAKEN.map(address));
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /unbind/);
  assertEquals(TAKEN.map(driverOf), TAKEN.map(() => "vfio-pci"));
  return stdout;
});
await check("unbind: gives one back to the driver that it had", async () => {
  const { code, stdout, stderr } = await program("unbind", address("rng"));
  assertEquals(code, 0, stderr);
  assertEquals(driverOf("rng"), "virtio-pci");
  return stdout;
});
await check("bind: takes it again", async () => {
  const { code, stderr } = await program("bind", address("rng"));
  assertEquals(code, 0, stderr);
  assertEquals(driverOf("rng"), "vfio-pci");
});
