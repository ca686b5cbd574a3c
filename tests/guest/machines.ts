/**
 * The machines of the guest test. Both sides read this: the host makes them, the jobs find their devices by name.
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
      { name: "rng that bypasses the IOMMU", device: "virtio-rng-pci" },
      { name: "hot blk", device: "virtio-blk-pci,id=hot,drive=hot,iommu_platform=on" },
      { name: "blk in use", device: "virtio-blk-pci,drive=used,iommu_platform=on" },
      {
        name: "net in use",
        device: "virtio-net-pci,netdev=used,iommu_platform=on",
        backend: ["-netdev", "user,id=used,restrict=on"],
      },
    ],
    integrated: [{ name: "transitional rng", device: "virtio-rng-pci" }],
    disks: ["blk", "packed", "intx", "hot", "used"],
    jobs: ["first_run"],
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
    jobs: ["first_run"],
  },
];
