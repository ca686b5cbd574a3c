// The machine that this program runs on, with VFIO and UIO.

import { access, exists } from "../../linux/file.ts";
import type { Loop } from "../../irq/interrupt_loop.ts";
import type { OpenFunction, PciFunction } from "../../pci/function.ts";
import type { Platform } from "../platform.ts";
import { DeviceAddresses } from "./device_addresses.ts";
import { VfioFunction } from "./vfio_function.ts";
import { groupPath, type GroupPlace, VfioGroup } from "./group.ts";
import { functionFolder, listSysfs, type SysfsFunction } from "./sysfs.ts";
import { UioFunction, uioPath } from "./uio_function.ts";

/** How this machine is looked at. */
export interface LocalOptions {
  /** Waits for what no descriptor of a driver's own tells of. */
  readonly loop: Loop;
  /** Where sysfs is mounted; `/sys` if left out. */
  readonly sysfs?: string;
  /** Where the devices are mounted; `/dev` if left out. */
  readonly dev?: string;
  /** Whether devices may be taken that nothing keeps from reaching all memory; they may not if left out. */
  readonly unsafeDma?: boolean;
}

/** The machine that this program runs on: functions that a user bound for programs can be taken. */
export function openLocal(options: LocalOptions): Platform {
  return new LocalPlatform(options);
}

/** What the functions of this machine share. */
interface Machine {
  readonly loop: Loop;
  readonly sysfs: string;
  readonly dev: string;
  readonly unsafeDma: boolean;
  /** Holds a group for one function; the second part gives it back. */
  hold(place: GroupPlace): [VfioGroup, () => void];
}

/** Of all devices of this process, whichever kernel drives them. */
const addresses = new DeviceAddresses();

class LocalPlatform implements Platform {
  readonly kind = "local";
  readonly #machine: Machine;
  /** The groups that are held, by their device files, and for how many functions. */
  readonly #groups = new Map<string, { readonly group: VfioGroup; users: number }>();
  #found: readonly SysfsFunction[] | undefined;
  #functions: readonly PciFunction[] = [];

  constructor({ loop, sysfs = "/sys", dev = "/dev", unsafeDma = false }: LocalOptions) {
    this.#machine = { loop, sysfs, dev, unsafeDma, hold: (place) => this.#hold(place) };
    this.refresh();
  }

  get description(): string {
    return this.#found
      ? `this machine, ${this.#functions.length} PCI functions`
      : `this machine, without PCI: there is no ${this.#machine.sysfs}/bus/pci/devices`;
  }

  get functions(): readonly PciFunction[] {
    return this.#functions;
  }

  refresh(): void {
    this.#found = listSysfs(this.#machine.sysfs);
    this.#functions = (this.#found ?? []).map((found) => hostFunction(this.#machine, found));
  }

  #hold(place: GroupPlace): [VfioGroup, () => void] {
    const path = groupPath(place);
    let entry = this.#groups.get(path);
    if (!entry) {
      entry = { group: new VfioGroup(place, addresses), users: 0 };
      this.#groups.set(path, entry);
    }
    const { group } = entry;
    entry.users++;
    const release = () => {
      if (--entry.users > 0) return;
      this.#groups.delete(path);
      group[Symbol.dispose]();
    };
    return [group, release];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Functions that were taken belong to the kernel that took them.
  }
}

const UIO = "uio_pci_generic";

function hostFunction(machine: Machine, found: SysfsFunction): PciFunction {
  const { noIommu = false, ...shown } = found;
  const unsafeDma = noIommu
    ? "it has no IOMMU (VFIO without one)"
    : found.kernelDriver === UIO
    ? `no driver sets up an IOMMU for it (${UIO})`
    : undefined;
  const refusal = refuse(machine, found, unsafeDma);
  return {
    ...shown,
    ...(unsafeDma === undefined ? {} : { unsafeDma }),
    ...(refusal === undefined ? {} : { refusal }),
    open() {
      if (refusal !== undefined) throw new Error(`Cannot take ${found.address}: ${refusal}`);
      return found.kernelDriver === UIO
        ? openUio(machine, found, unsafeDma!)
        : openVfio(machine, found, unsafeDma);
    },
  };
}

function openVfio(
  machine: Machine,
  found: SysfsFunction,
  unsafeDma: string | undefined,
): OpenFunction {
  const [group, release] = machine.hold(placeOf(machine, found)!);
  try {
    return new VfioFunction({
      address: found.address,
      group,
      release,
      ...(unsafeDma === undefined ? {} : { unsafeDma }),
      allowUnsafeDma: machine.unsafeDma,
    });
  } catch (error) {
    release();
    throw error;
  }
}

function openUio(
  { loop, sysfs, dev }: Machine,
  { address }: SysfsFunction,
  unsafeDma: string,
): OpenFunction {
  return new UioFunction({
    address,
    folder: functionFolder(sysfs, address),
    dev,
    loop,
    unsafeDma,
  });
}

function placeOf({ dev }: Machine, found: SysfsFunction): GroupPlace | undefined {
  const { iommuGroup: number, noIommu = false } = found;
  return number === undefined ? undefined : { dev, number, noIommu };
}

/** Why a function is not handed out. */
function refuse(
  machine: Machine,
  found: SysfsFunction,
  unsafeDma: string | undefined,
): string | undefined {
  const { address, kernelDriver } = found;
  if (kernelDriver === undefined) {
    return `it is not bound to VFIO; the command bind ${address} does it, as root`;
  }
  if (kernelDriver !== "vfio-pci" && kernelDriver !== UIO) {
    return `the kernel driver ${kernelDriver} drives it; this program never takes a device away from it. ` +
      `The command bind ${address} hands it over, as root`;
  }
  if (unsafeDma !== undefined && !machine.unsafeDma) {
    return `${unsafeDma}, so it could reach all memory; to drive it all the same: --unsafe-dma`;
  }
  const path = devicePath(machine, found);
  if (path === undefined) return "it has no IOMMU group: turn the IOMMU on (doctor tells how)";
  if (!exists(path)) return `there is no ${path}: VFIO may be going away, or /dev is not complete`;
  if (!access(path)) return `this user may not open ${path}; as root: chown $USER ${path}`;
  return undefined;
}

/** The file that gives access to a function. */
function devicePath(machine: Machine, found: SysfsFunction): string | undefined {
  if (found.kernelDriver === UIO) {
    return uioPath(functionFolder(machine.sysfs, found.address), machine.dev);
  }
  const place = placeOf(machine, found);
  return place && groupPath(place);
}
