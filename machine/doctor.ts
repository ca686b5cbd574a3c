// What this machine lacks for drivers in user space, and how to mend it.

import { VIRTIO_VENDOR } from "../core/pci/virtio_identity.ts";
import { access, exists, findProgram, readFolder } from "../core/linux/file.ts";
import { isRoot, lockableBytes } from "../core/linux/limits.ts";
import { heldWith } from "./bind.ts";
import { InUse } from "./in_use/in_use.ts";
import { MOUNTS, type Mounts } from "./mounts.ts";
import { attribute, listSysfs } from "../core/platform/vfio/sysfs.ts";

/** One thing that was looked at. */
export interface Diagnosis {
  /** What. */
  readonly name: string;
  /** Whether it is as it should be; "optional" if it is not, and only some uses need it. */
  readonly state: "ok" | "missing" | "optional";
  /** What was found. */
  readonly found: string;
  /** What to do, as exact as can be; only if something is missing. */
  readonly fix?: string;
}

const MIB = 2 ** 20;
/** What a few drivers want, with memory as most of them declare it. */
const ENOUGH_LOCKED = 64 * MIB;
const VENDOR_ID = 0;

/** Looks at everything that driving devices of this machine needs; changes nothing. */
export function diagnose(mounts: Mounts = MOUNTS): Diagnosis[] {
  return [
    iommu(mounts),
    driver(mounts),
    container(mounts),
    ...groups(mounts),
    locked(),
    hugePages(mounts),
    qemu(),
  ];
}

const ok = (name: string, found: string): Diagnosis => ({ name, state: "ok", found });
const missing = (name: string, found: string, fix: string): Diagnosis => ({
  name,
  state: "missing",
  found,
  fix,
});
const optional = (name: string, found: string, fix: string): Diagnosis => ({
  name,
  state: "optional",
  found,
  fix,
});

function iommu({ sysfs }: Mounts): Diagnosis {
  const folder = `${sysfs}/kernel/iommu_groups`;
  const count = exists(folder) ? readFolder(folder).length : 0;
  if (count > 0) return ok("IOMMU", `${count} groups`);
  return missing(
    "IOMMU",
    "none in use: a device could reach all memory",
    "boot with intel_iommu=on or amd_iommu=on on the kernel's command line, and turn it on in the firmware " +
      "(VT-d, AMD-Vi); in QEMU add -device intel-iommu. Without one: bind --driver uio_pci_generic, then --unsafe-dma",
  );
}

function driver({ sysfs }: Mounts): Diagnosis {
  return exists(`${sysfs}/bus/pci/drivers/vfio-pci`)
    ? ok("vfio-pci", "loaded")
    : missing("vfio-pci", "not loaded", "as root: modprobe vfio-pci");
}

function container({ dev }: Mounts): Diagnosis {
  const path = `${dev}/vfio/vfio`;
  if (!exists(path)) return missing(path, "not there", "as root: modprobe vfio-pci");
  return access(path)
    ? ok(path, "may be opened")
    : missing(path, "may not be opened by this user", `as root: chmod 666 ${path}`);
}

/** Each device that was bound for programs, and each VirtIO device that could be: no other is proposed. */
function groups(mounts: Mounts): Diagnosis[] {
  const { sysfs, dev } = mounts;
  const inUse = new InUse(mounts);
  return (listSysfs(sysfs) ?? []).flatMap(
    ({ address, config, kernelDriver, iommuGroup, noIommu }) => {
      if (kernelDriver === "vfio-pci" && iommuGroup !== undefined) {
        const path = `${dev}/vfio/${noIommu ? "noiommu-" : ""}${iommuGroup}`;
        return access(path)
          ? ok(address, `bound to vfio-pci, ${path} may be opened`)
          : missing(address, `this user may not open ${path}`, `as root: chown $USER ${path}`);
      }
      if (kernelDriver === "uio_pci_generic") {
        return optional(
          address,
          "bound to uio_pci_generic: unsafe DMA",
          "drive it by --unsafe-dma",
        );
      }
      if (config.read16(VENDOR_ID) !== VIRTIO_VENDOR) return [];
      const found = kernelDriver === undefined
        ? "VirtIO, without a driver"
        : `VirtIO, driven by ${kernelDriver}`;
      // Its whole group goes with it.
      const all = [
        ...new Set([address, ...(iommuGroup === undefined ? [] : heldWith(sysfs, iommuGroup))]),
      ];
      const [user] = all.filter((each) => inUse.of(each).length > 0);
      if (user !== undefined) {
        const where = user === address ? "" : `${user} of its IOMMU group: `;
        return ok(address, `${found}, and in use: ${where}${inUse.of(user).join(", ")}`);
      }
      const how = iommuGroup === undefined ? " --driver uio_pci_generic" : "";
      return optional(address, found, `as root, the command: bind ${all.join(" ")}${how}`);
    },
  );
}

function locked(): Diagnosis {
  const bytes = lockableBytes();
  const name = "locked memory";
  if (bytes === Infinity) return ok(name, "no limit");
  if (isRoot()) return ok(name, `${bytes / MIB} MiB, which does not hold for root`);
  if (bytes >= ENOUGH_LOCKED) return ok(name, `${bytes / MIB} MiB`);
  return missing(
    name,
    `${bytes / MIB} MiB for all devices of a process together`,
    "ulimit -l unlimited (as root before; or LimitMEMLOCK=infinity in a systemd unit, or memlock in " +
      "/etc/security/limits.conf)",
  );
}

function hugePages({ sysfs }: Mounts): Diagnosis {
  const name = "huge pages";
  const free = Number(
    attribute(`${sysfs}/kernel/mm/hugepages/hugepages-2048kB/free_hugepages`) ?? 0,
  );
  return free > 0 ? ok(name, `${free} free`) : optional(
    name,
    "none free; only needed with --unsafe-dma",
    "as root: echo 64 > /proc/sys/vm/nr_hugepages",
  );
}

function qemu(): Diagnosis {
  const program = "qemu-system-x86_64";
  const path = findProgram(program);
  return path === undefined
    ? optional("QEMU", `no ${program}; only needed for --machine qemu`, "install qemu-system-x86")
    : ok("QEMU", path);
}
