// An IOMMU group that this process holds.

import { withPages } from "../../linux/device_memory.ts";
import { close } from "../../linux/fd.ts";
import { open } from "../../linux/file.ts";
import { lockableBytes } from "../../linux/limits.ts";
import { advise } from "../../linux/os_error.ts";
import {
  type AddressRange,
  Iommu,
  iovaRanges,
  isViable,
  joinContainer,
  mapDma,
  openContainer,
  setIommu,
  supportsIommu,
  takeDevice,
  unmapDma,
} from "../../linux/vfio.ts";
import type { DmaMemory } from "../../pci/function.ts";
import type { DeviceAddresses } from "./device_addresses.ts";

/** What is used where the kernel does not say which addresses its IOMMU has: below the window of interrupts. */
const USUAL_RANGES: readonly AddressRange[] = [{ start: 0, end: 0xfedf_ffff }];

/** Where a group is, and what it is. */
export interface GroupPlace {
  /** Where the devices are mounted: `/dev`. */
  readonly dev: string;
  /** Its number. */
  readonly number: number;
  /** Whether it is one without an IOMMU. */
  readonly noIommu: boolean;
}

/** The device file of a group. */
export function groupPath({ dev, number, noIommu }: GroupPlace): string {
  return `${dev}/vfio/${noIommu ? "noiommu-" : ""}${number}`;
}

/**
 * An IOMMU group in a container of its own, and so with a domain of its own: what its devices can reach, no other
 * device can.
 */
export class VfioGroup implements Disposable {
  readonly #container: number;
  readonly #group: number;
  readonly #ranges: readonly AddressRange[];
  readonly #addresses: DeviceAddresses;
  /** The descriptors, to be closed. */
  readonly #kept: DisposableStack;

  /** @throws OsError If the group cannot be had; it says what to do. */
  constructor(place: GroupPlace, addresses: DeviceAddresses) {
    this.#addresses = addresses;
    const path = groupPath(place);
    using stack = new DisposableStack();
    const own = (fd: number) => stack.adopt(fd, close);
    const main = `${place.dev}/vfio/vfio`;
    this.#container = own(advise(`Cannot open ${main}`, {
      ENOENT: "load VFIO, as root: modprobe vfio-pci",
      ENODEV: "load VFIO, as root: modprobe vfio-pci",
      EACCES: `as root: chmod 666 ${main}`,
    }, () => openContainer(main)));
    this.#group = own(advise(`Cannot open ${path}`, {
      EBUSY: `another program holds IOMMU group ${place.number}; end that one first`,
      EACCES: `as root: chown $USER ${path}`,
      EPERM: place.noIommu
        ? "a group without an IOMMU is for root only (CAP_SYS_RAWIO)"
        : `as root: chown $USER ${path}`,
      ENOENT: "bind the device first, by the command bind",
    }, () => open(path, 2)));
    if (!isViable(this.#group)) {
      throw new Error(
        `Cannot use IOMMU group ${place.number}: a kernel driver holds another function of it; bind all of ` +
          `them (ls --json tells iommuGroup)`,
      );
    }
    joinContainer(this.#group, this.#container);
    const kind = place.noIommu ? Iommu.none : Iommu.type1;
    if (!supportsIommu(this.#container, kind)) {
      const module = place.noIommu ? "vfio" : "vfio_iommu_type1";
      throw new Error(
        `Cannot use VFIO: it does not know IOMMUs of kind ${kind}; as root: modprobe ${module}`,
      );
    }
    advise("Cannot set up the IOMMU", {
      EPERM:
        "it does not keep interrupts apart; if nothing but your own drivers runs here, as root: " +
        "echo 1 > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
    }, () => setIommu(this.#container, kind));
    this.#ranges = (place.noIommu ? undefined : iovaRanges(this.#container)) ?? USUAL_RANGES;
    this.#kept = stack.move();
  }

  /** Takes a device: a descriptor of it, which the caller closes. */
  device(address: string): number {
    return advise(`Cannot take ${address}`, {
      EBUSY: "another program holds it; end that one first",
      ENODEV: "bind it first, by the command bind",
    }, () => takeDevice(this.#group, address));
  }

  /**
   * Lets the group's devices reach a memory file, and nothing else.
   *
   * No process needs the file mapped for that: the kernel pins its pages.
   *
   * @param bits Bits of an address that they have.
   * @returns Where they find it.
   */
  map({ fd, offset, size }: Omit<DmaMemory, "runs">, bits: number): number {
    const start = this.#addresses.take(size, this.#ranges, bits);
    advise(
      `Cannot give a device ${size} bytes of memory`,
      {
        ENOMEM:
          `this process may lock ${lockableBytes()} bytes, all its devices together; allow more: ` +
          "ulimit -l unlimited (LimitMEMLOCK=infinity in a systemd unit)",
        ENOSPC: "it has too many pieces already (vfio_iommu_type1 dma_entry_limit)",
      },
      () => withPages(fd, offset, size, (address) => mapDma(this.#container, address, start, size)),
    );
    return start;
  }

  /** Takes memory back. */
  unmap(start: number, size: number): void {
    unmapDma(this.#container, start, size);
  }

  [Symbol.dispose](): void {
    this.#kept[Symbol.dispose]();
  }
}
