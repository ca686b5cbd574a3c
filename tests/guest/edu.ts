/**
 * A PCI device that is no VirtIO device behind the IOMMU: QEMU's educational device, by MSI and by the pin. Its registers
 * are mapped in its driver's process, and it reaches that driver's memory by addresses of 28 bits.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { openKernel } from "../../mod.ts";
import { edu } from "../third_party/edu/class.ts";
import { address, check, program } from "./support/job.ts";

const FOLDER = new URL("../third_party/edu", import.meta.url).pathname;

await check("edu: bind", async () => {
  const { code, stdout, stderr } = await program("bind", address("edu"));
  assertEquals(code, 0, stderr);
  return stdout;
});

const REQUESTS = 10;

/** How often the kernel was interrupted for a function: by MSI under its address, by the pin under VFIO's name for it. */
function interruptsOf(address: string): number {
  const mine = Deno.readTextFileSync("/proc/interrupts").split("\n")
    .filter((line) => line.includes(`(${address})`));
  const counts = mine.flatMap((line) => line.trim().split(/\s+/).slice(1))
    .filter((word) => /^\d+$/.test(word));
  return counts.reduce((sum, count) => sum + Number(count), 0);
}

for (const [interrupts, found] of [["msix", "msi"], ["intx", "intx"]] as const) {
  await check(`edu: computes and copies (${found})`, async () => {
    await using kernel = await openKernel({
      machine: "local",
      interrupts,
      classes: { edu },
      plugins: [FOLDER],
    });
    const device = await kernel.attach(address("edu"));
    const client = device.client as InstanceType<
      typeof import("../third_party/edu/class.ts").EduClient
    >;
    assertEquals((await device.describe()).interrupts, found);
    const before = interruptsOf(address("edu"));
    for (let n = 0; n < REQUESTS; n++) assertEquals(await client.factorial(5), 120);
    const heard = interruptsOf(address("edu")) - before;
    // Where the pin is raised again before it is unmasked, VFIO tells of it without an interrupt that the kernel counts.
    const fewest = found === "intx" ? 1 : REQUESTS;
    assert(heard >= fewest, `${heard} interrupts for ${REQUESTS} requests`);
    const bytes = Uint8Array.from({ length: 2048 }, (_, i) => 7 * i + 3);
    await client.store(bytes);
    assertEquals(await client.load(2048), bytes);

    // Its registers are in its process, and the descriptor that they came by is not.
    const maps = Deno.readTextFileSync(`/proc/${device.pid}/maps`);
    assert(/vfio/.test(maps), "nothing of the device is mapped");
    const links = [...Deno.readDirSync(`/proc/${device.pid}/fd`)].flatMap(({ name }) => {
      try {
        return [Deno.readLinkSync(`/proc/${device.pid}/fd/${name}`)];
      } catch {
        return [];
      }
    });
    assert(!links.some((link) => /vfio/.test(link)), links.join(", "));

    Deno.kill(device.pid!, "SIGKILL");
    assertEquals(await client.factorial(6), 720);
    return `${heard} interrupts for ${REQUESTS} requests`;
  });
}
