import { HANDING_DRIVERS, type HandingDriver } from "../../machine/mod.ts";
import { BINDING_OPTIONS, rebind } from "../binding.ts";
import type { Command } from "../command.ts";
import { usageError } from "../exit.ts";
import { suggest } from "../suggest.ts";

/** Takes functions from the kernel. */
export const bind: Command = {
  name: "bind",
  summary: "Take devices of this machine from the kernel, so that programs can drive them",
  usage: "<address...>",
  words: [1, Infinity],
  idle: "It hands devices over, and what drives them afterwards can be looked at",
  options: [
    {
      name: "driver",
      value: `<${HANDING_DRIVERS.join("|")}>`,
      summary: "the kernel's driver for that (vfio-pci)",
    },
    ...BINDING_OPTIONS,
  ],
  examples: [
    ["bind 00:03.0", "hand a device to VFIO"],
    ["bind 00:03.0 --dry-run", "only look whether that could be done, and what it would do"],
    ["bind 00:03.0 --driver uio_pci_generic", "without an IOMMU; unsafe"],
  ],
  notes: [
    "Needs root. Refused if the machine uses the device, and it is said for what: a disk that is mounted, swap, or",
    "part of something (LVM, RAID, btrfs, ZFS), a shared folder (virtiofs, 9p), an interface that is up or part of a",
    "bridge, a console, and what a program has open.",
    "Functions of one IOMMU group are taken together. What is done is verified, and undone if it fails.",
  ],
  run: async (context) => await rebind(context, "bind", driverOf(context.given.driver)),
};

function driverOf(word: string | true | undefined): HandingDriver {
  if (word === undefined) return "vfio-pci";
  const known = HANDING_DRIVERS.find((candidate) => candidate === word);
  if (known) return known;
  throw usageError(
    `Unknown value ${JSON.stringify(word)} for --driver: wanted one of ${
      HANDING_DRIVERS.join(", ")
    }.` +
      suggest(String(word), HANDING_DRIVERS),
  );
}
