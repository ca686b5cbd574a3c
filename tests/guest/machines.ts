/**
 * The machines of the guest test. Both sides read this: the test makes them, the jobs find their devices by name.
 *
 * @module
 */

import type { GuestMachine } from "../../tools/guest/machine.ts";

/** A machine, and the programs of this folder that run in it, in this order. */
export interface TestMachine extends GuestMachine {
  readonly jobs: readonly string[];
}

/** Every machine. */
export const MACHINES: readonly TestMachine[] = [
  {
    name: "iommu",
    iommu: true,
    ports: [
      { name: "rng", device: "virtio-rng-pci,iommu_platform=on" },
      { name: "blk", device: "virtio-blk-pci,drive=blk,iommu_platform=on" },
      { name: "rng packed", device: "virtio-rng-pci,iommu_platform=on,packed=on" },
      { name: "blk packed", device: "virtio-blk-pci,drive=packed,iommu_platform=on,packed=on" },
      { name: "rng intx", device: "virtio-rng-pci,iommu_platform=on,vectors=0" },
      { name: "blk intx", device: "virtio-blk-pci,drive=intx,iommu_platform=on,vectors=0" },
      {
        name: "net",
        device: "virtio-net-pci,netdev=net,iommu_platform=on",
        backend: ["-netdev", "user,id=net,restrict=on"],
      },
      {
        name: "console",
        device: "virtio-serial-pci,id=serial,iommu_platform=on",
        backend: ["-chardev", "null,id=console"],
        child: "virtconsole,bus=serial.0,chardev=console,name=console",
      },
      {
        name: "scsi",
        device: "virtio-scsi-pci,id=scsi,iommu_platform=on",
        child: "scsi-hd,bus=scsi.0,drive=scsi",
      },
      // Of QEMU 7.2 it has no MSI-X.
      { name: "balloon intx", device: "virtio-balloon-pci,iommu_platform=on" },
      { name: "rng that bypasses", device: "virtio-rng-pci" },
      { name: "hot blk", device: "virtio-blk-pci,id=hot,drive=hot,iommu_platform=on" },
      { name: "blk in use", device: "virtio-blk-pci,drive=used,iommu_platform=on" },
      {
        name: "net in use",
        device: "virtio-net-pci,netdev=used,iommu_platform=on",
        backend: ["-netdev", "user,id=used,restrict=on"],
      },
      { name: "nvme", device: "nvme,drive=nvme,serial=NVME-0001" },
    ],
    integrated: [
      { name: "transitional rng", device: "virtio-rng-pci" },
      { name: "edu", device: "edu" },
    ],
    disks: ["blk", "packed", "intx", "hot", "used", "scsi", "nvme"],
    jobs: ["bind", "drive", "bypass", "user", "kill", "isolation", "unplug", "load", "edu"],
  },
  {
    name: "bare",
    iommu: false,
    ports: [
      { name: "rng", device: "virtio-rng-pci" },
      { name: "blk", device: "virtio-blk-pci,drive=blk" },
    ],
    integrated: [
      { name: "transitional rng", device: "virtio-rng-pci" },
      { name: "transitional blk", device: "virtio-blk-pci,drive=transitional" },
      { name: "legacy blk", device: "virtio-blk-pci,drive=legacy,disable-modern=on" },
    ],
    disks: ["blk", "transitional", "legacy"],
    jobs: ["first_run", "unsafe"],
  },
];
