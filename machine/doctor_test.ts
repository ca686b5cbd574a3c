import { assertEquals } from "@std/assert";
import { libc } from "../core/linux/libc.ts";
import { diagnose } from "./doctor.ts";
import { fakeMachine, link, mounts, put } from "../core/platform/vfio/fake_test.ts";

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

Deno.test("diagnose proposes bind for no device in use, and for a group as a whole #core:doctor_in_use", async () => {
  const [disk, twin, idle, other] = ["2", "3", "4", "5"].map((n) => `0000:00:0${n}.0`) as [
    string,
    string,
    string,
    string,
  ];
  const driver = "virtio-pci";
  await using machine = await fakeMachine({
    [disk]: { driver, group: 1 },
    [twin]: { driver, group: 1 },
    [idle]: { driver, group: 2 },
    [other]: { driver, group: 2 },
  });
  await link(machine.sysfs, disk, "block", "vda", "virtio1/block/vda", { dev: "254:0\n" });
  await put(`${machine.root}/proc/self/mountinfo`, "22 1 254:0 / / rw - ext4 /dev/vda rw\n");
  const found = diagnose(mounts(machine)).filter(({ name }) => name.startsWith("0000:"));
  const use = "its disk vda is mounted on / (umount /)";
  assertEquals(found, [
    { name: disk, state: "ok", found: `VirtIO, driven by virtio-pci, and in use: ${use}` },
    {
      name: twin,
      state: "ok",
      found: `VirtIO, driven by virtio-pci, and in use: ${disk} of its IOMMU group: ${use}`,
    },
    ...[[idle, other], [other, idle]].map((all) => ({
      name: all[0]!,
      state: "optional" as const,
      found: "VirtIO, driven by virtio-pci",
      fix: `as root, the command: bind ${all.join(" ")}`,
    })),
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
