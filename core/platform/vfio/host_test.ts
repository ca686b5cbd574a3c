import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { libc } from "../../host/libc.ts";
import { openHost } from "./host.ts";

libc(); // Open before the tests: it stays open, which would count as a leak of the first one.

/** A sysfs with these functions: address, driver, bytes of configuration space that can be read. */
async function fakeSysfs(functions: readonly (readonly [string, string | undefined, number])[]) {
  const root = await Deno.makeTempDir();
  for (const [address, driver, bytes] of functions) {
    const folder = `${root}/bus/pci/devices/${address}`;
    await Deno.mkdir(folder, { recursive: true });
    const config = new Uint8Array(bytes);
    config.set([0xf4, 0x1a, 0x42, 0x10].slice(0, bytes));
    await Deno.writeFile(`${folder}/config`, config, { mode: 0o444 });
    if (driver) await Deno.symlink(`../../../../bus/pci/drivers/${driver}`, `${folder}/driver`);
  }
  return { root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}

Deno.test("openHost lists what sysfs has, in the order of the addresses", async () => {
  await using sysfs = await fakeSysfs([
    ["10000:00:00.0", undefined, 64],
    ["0000:00:03.0", "virtio-pci", 256],
    ["0000:00:02.0", "vfio-pci", 4096],
    ["0000:00:04.0", undefined, 0], // gone while it was read
  ]);
  await using host = openHost(sysfs.root);
  assertEquals(host.kind, "host");
  assertEquals(host.description, "this machine, 3 PCI functions");
  assertEquals(
    host.functions.map((f) => [f.address, f.kernelDriver, f.config.size, f.config.read16(2)]),
    [
      ["0000:00:02.0", "vfio-pci", 4096, 0x1042],
      ["0000:00:03.0", "virtio-pci", 256, 0x1042],
      ["10000:00:00.0", undefined, 64, 0x1042],
    ],
  );
});

Deno.test("openHost hands nothing out and says why", async () => {
  await using sysfs = await fakeSysfs([
    ["0000:00:02.0", "vfio-pci", 64],
    ["0000:00:03.0", "virtio-pci", 64],
    ["0000:00:04.0", undefined, 64],
  ]);
  await using host = openHost(sysfs.root);
  const notBuilt = "taking devices through VFIO is not built yet";
  assertEquals(host.functions.map((f) => f.refusal), [
    notBuilt,
    "the kernel driver virtio-pci drives it; this program never takes a device away from it",
    notBuilt,
  ]);
  for (const f of host.functions) {
    assertThrows(() => f.open(), Error, `Cannot take ${f.address}: ${f.refusal}`);
  }
});

Deno.test("openHost's configuration space can be read and not written", async () => {
  await using sysfs = await fakeSysfs([["0000:00:02.0", undefined, 64]]);
  await using host = openHost(sysfs.root);
  const { config } = host.functions[0]!;
  assertEquals([config.read8(0), config.read16(0), config.read32(0)], [0xf4, 0x1af4, 0x10421af4]);
  assertThrows(() => config.read32(64), RangeError);
  assertThrows(() => config.write16(4, 6), TypeError, "Cannot write configuration space");
});

Deno.test("openHost finds nothing where there is no PCI, and says so", async () => {
  await using host = openHost("/nonexistent");
  assertEquals(host.functions, []);
  assertStringIncludes(host.description, "there is no /nonexistent/bus/pci/devices");
});
