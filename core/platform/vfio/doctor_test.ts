import { assertEquals } from "@std/assert";
import { libc } from "../../host/libc.ts";
import { diagnose } from "./doctor.ts";
import { fakeMachine } from "./fake_test.ts";

libc(); // Open before the tests: it stays open, which would count as a leak of the first one.

/** What depends on the machine that runs the test. */
const REAL = ["locked memory", "QEMU"];

Deno.test("diagnose finds nothing wrong where everything is there", async () => {
  await using machine = await fakeMachine(
    { "0000:00:02.0": { driver: "vfio-pci", group: 2 } },
    { drivers: ["vfio-pci"], nodes: ["2"] },
  );
  const all = diagnose({ ...machine, proc: "/proc" }).filter(({ name }) => !REAL.includes(name));
  assertEquals(all.map(({ name, state }) => [name, state]), [
    ["IOMMU", "ok"],
    ["vfio-pci", "ok"],
    [`${machine.dev}/vfio/vfio`, "ok"],
    ["0000:00:02.0", "ok"],
    ["huge pages", "optional"],
  ]);
});

Deno.test("diagnose says of everything that is missing what to do", async () => {
  await using machine = await fakeMachine({
    "0000:00:02.0": { driver: "vfio-pci", group: 2, groupName: "vfio-noiommu" },
    "0000:00:03.0": { driver: "virtio-pci" },
    "0000:00:04.0": { driver: "uio_pci_generic" },
    "0000:00:05.0": {},
  });
  await Deno.remove(`${machine.sysfs}/kernel`, { recursive: true });
  await Deno.remove(`${machine.dev}/vfio/vfio`);
  const all = diagnose({ ...machine, proc: "/proc" }).filter(({ name }) => !REAL.includes(name));
  assertEquals(all.map(({ name, state }) => [name, state]), [
    ["IOMMU", "missing"],
    ["vfio-pci", "missing"],
    [`${machine.dev}/vfio/vfio`, "missing"],
    ["0000:00:02.0", "missing"],
    ["0000:00:03.0", "optional"],
    ["0000:00:04.0", "optional"],
    ["0000:00:05.0", "optional"],
    ["huge pages", "optional"],
  ]);
  assertEquals(all.filter(({ fix }) => fix === undefined), []);
});
