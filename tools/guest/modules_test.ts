import { assertEquals, assertThrows } from "@std/assert";
import { closure, dependencies } from "./modules.ts";

const all = dependencies(
  "kernel/vfio/vfio-pci.ko: kernel/vfio/vfio-pci-core.ko kernel/vfio/vfio.ko\n" +
    "kernel/vfio/vfio_type1.ko: kernel/vfio/vfio.ko\nkernel/vfio/vfio.ko:\n",
);

Deno.test("closure names each module once, with all that it needs", () => {
  assertEquals([...closure(["vfio_pci", "vfio-type1"], all)], [
    "kernel/vfio/vfio-pci.ko",
    "kernel/vfio/vfio-pci-core.ko",
    "kernel/vfio/vfio.ko",
    "kernel/vfio/vfio_type1.ko",
  ]);
});

Deno.test("closure refuses a module that the kernel lacks", () => {
  assertThrows(() => closure(["uio"], all), Error, "Cannot find the kernel module uio");
});
