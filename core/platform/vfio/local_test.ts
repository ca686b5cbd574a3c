import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { libc } from "../../linux/libc.ts";
import { fakeMachine } from "./fake_test.ts";
import { openLocal } from "./local.ts";

/** Nothing here waits. */
const loop = { add() {}, remove() {} };

libc(); // Open before the tests: it stays open, which would count as a leak of the first one.

Deno.test("openLocal lists what sysfs has, in the order of the addresses", async () => {
  await using machine = await fakeMachine({
    "10000:00:00.0": {},
    "0000:00:03.0": { driver: "virtio-pci", bytes: 256, group: 7, numaNode: 1 },
    "0000:00:02.0": { driver: "vfio-pci", bytes: 4096, group: 3 },
    "0000:00:04.0": { bytes: 0 }, // gone while it was read
  });
  await using local = openLocal({ loop, ...machine });
  assertEquals(local.kind, "local");
  assertEquals(local.description, "this machine, 3 PCI functions");
  assertEquals(
    local.functions.map((
      f,
    ) => [f.address, f.kernelDriver, f.iommuGroup, f.numaNode, f.config.size]),
    [
      ["0000:00:02.0", "vfio-pci", 3, undefined, 4096],
      ["0000:00:03.0", "virtio-pci", 7, 1, 256],
      ["10000:00:00.0", undefined, undefined, undefined, 64],
    ],
  );
  assertEquals(local.functions.map((f) => f.config.read16(2)), [0x1042, 0x1042, 0x1042]);
});

Deno.test("openLocal refuses what is not bound to VFIO or could reach all memory, and says why", async () => {
  await using machine = await fakeMachine({
    "0000:00:02.0": { driver: "vfio-pci" },
    "0000:00:03.0": { driver: "virtio-pci" },
    "0000:00:04.0": {},
    "0000:00:05.0": { driver: "vfio-pci", group: 5, groupName: "vfio-noiommu" },
    "0000:00:06.0": { driver: "vfio-pci", group: 6 },
    "0000:00:07.0": { driver: "vfio-pci", group: 7 },
  }, { nodes: ["7", "noiommu-5"] });
  const refusals = async (unsafeDma: boolean) => {
    await using local = openLocal({ loop, ...machine, unsafeDma });
    for (const f of local.functions) {
      if (f.refusal) assertThrows(() => f.open(), Error, `Cannot take ${f.address}: ${f.refusal}`);
    }
    return local.functions.map((f) => f.refusal);
  };
  const others = [
    "it has no IOMMU group: turn the IOMMU on (doctor tells how)",
    "the kernel driver virtio-pci drives it; this program never takes a device away from it. The command " +
    "bind 0000:00:03.0 hands it over, as root",
    "it is not bound to VFIO; the command bind 0000:00:04.0 does it, as root",
  ];
  const missing =
    `there is no ${machine.dev}/vfio/6: VFIO may be going away, or /dev is not complete`;
  assertEquals(await refusals(false), [
    ...others,
    "it has no IOMMU (VFIO without one), so it could reach all memory; to drive it all the same: --unsafe-dma",
    missing,
    undefined,
  ]);
  assertEquals(await refusals(true), [...others, undefined, missing, undefined]);
});

Deno.test("openLocal says of a function without an IOMMU that its DMA is unsafe, allowed or not", async () => {
  await using machine = await fakeMachine({
    "0000:00:05.0": { driver: "vfio-pci", group: 5, groupName: "vfio-noiommu" },
  });
  for (const unsafeDma of [false, true]) {
    await using local = openLocal({ loop, ...machine, unsafeDma });
    assertEquals(local.functions[0]!.unsafeDma, "it has no IOMMU (VFIO without one)");
  }
});

Deno.test("openLocal's functions cannot be taken where VFIO is not what it should be, and nothing stays open", async () => {
  await using machine = await fakeMachine(
    { "0000:00:07.0": { driver: "vfio-pci", group: 7 } },
    { nodes: ["7"] },
  );
  await using local = openLocal({ loop, ...machine });
  const open = [...Deno.readDirSync("/proc/self/fd")].length;
  // An ordinary file is no VFIO.
  assertThrows(
    () => local.functions[0]!.open(),
    Error,
    `Cannot open ${machine.dev}/vfio/vfio: ENOTTY`,
  );
  await Deno.remove(`${machine.dev}/vfio/vfio`);
  const error = assertThrows(() => local.functions[0]!.open(), Error);
  assertStringIncludes(error.message, "load VFIO, as root: modprobe vfio-pci");
  assertEquals([...Deno.readDirSync("/proc/self/fd")].length, open);
});

Deno.test("openLocal sees after a refresh what came and what went", async () => {
  await using machine = await fakeMachine({ "0000:00:02.0": { driver: "vfio-pci", group: 2 } });
  await using local = openLocal({ loop, ...machine });
  await using other = await fakeMachine({ "0000:00:03.0": {} });
  const folder = `${machine.sysfs}/bus/pci/devices`;
  await Deno.rename(`${other.sysfs}/bus/pci/devices/0000:00:03.0`, `${folder}/0000:00:03.0`);
  await Deno.remove(`${folder}/0000:00:02.0`, { recursive: true });
  assertEquals(local.functions.map(({ address }) => address), ["0000:00:02.0"]);
  local.refresh!();
  assertEquals(local.functions.map(({ address }) => address), ["0000:00:03.0"]);
});

Deno.test("openLocal's configuration space can be read and not written", async () => {
  await using machine = await fakeMachine({ "0000:00:02.0": {} });
  await using local = openLocal({ loop, ...machine });
  const { config } = local.functions[0]!;
  assertEquals([config.read8(0), config.read16(0), config.read32(0)], [0xf4, 0x1af4, 0x10421af4]);
  assertThrows(() => config.read32(64), RangeError);
  assertThrows(() => config.write16(4, 6), TypeError, "Cannot write configuration space");
});

Deno.test("openLocal finds nothing where there is no PCI, and says so", async () => {
  await using local = openLocal({ loop, sysfs: "/nonexistent" });
  assertEquals(local.functions, []);
  assertStringIncludes(local.description, "there is no /nonexistent/bus/pci/devices");
});
