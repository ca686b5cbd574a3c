import { access, exists } from "../../host/file.ts";
import type { PciFunction, Platform } from "../platform.ts";
import { DeviceAddresses } from "./device_addresses.ts";
import { VfioFunction } from "./function.ts";
import { groupPath, type GroupPlace, VfioGroup } from "./group.ts";
import { listSysfs, type SysfsFunction } from "./sysfs.ts";

/** How this machine is looked at. */
export interface HostOptions {
  /** Where sysfs is mounted; `/sys` if left out. */
  readonly sysfs?: string;
  /** Where the devices are mounted; `/dev` if left out. */
  readonly dev?: string;
  /** Whether devices may be taken that nothing keeps from reaching all memory; they may not if left out. */
  readonly unsafeDma?: boolean;
}

/** The machine that this program runs on: functions that are bound to VFIO can be taken, the others are looked at. */
export function openHost(options: HostOptions = {}): Platform {
  return new HostPlatform(options);
}

/** What the functions of this machine share. */
interface Machine {
  readonly dev: string;
  readonly unsafeDma: boolean;
  /** Holds a group for one function; the second part gives it back. */
  hold(place: GroupPlace): [VfioGroup, () => void];
}

class HostPlatform implements Platform {
  readonly kind = "host";
  readonly #sysfs: string;
  readonly #machine: Machine;
  readonly #addresses = new DeviceAddresses();
  /** The groups that are held, by their device files, and for how many functions. */
  readonly #groups = new Map<string, { readonly group: VfioGroup; users: number }>();
  #found: readonly SysfsFunction[] | undefined;
  #functions: readonly PciFunction[] = [];

  constructor({ sysfs = "/sys", dev = "/dev", unsafeDma = false }: HostOptions) {
    this.#sysfs = sysfs;
    this.#machine = { dev, unsafeDma, hold: (place) => this.#hold(place) };
    this.refresh();
  }

  get description(): string {
    return this.#found
      ? `this machine, ${this.#functions.length} PCI functions`
      : `this machine, without PCI: there is no ${this.#sysfs}/bus/pci/devices`;
  }

  get functions(): readonly PciFunction[] {
    return this.#functions;
  }

  refresh(): void {
    this.#found = listSysfs(this.#sysfs);
    this.#functions = (this.#found ?? []).map((found) => hostFunction(this.#machine, found));
  }

  #hold(place: GroupPlace): [VfioGroup, () => void] {
    const path = groupPath(place);
    let entry = this.#groups.get(path);
    if (!entry) {
      entry = { group: new VfioGroup(place, this.#addresses), users: 0 };
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
    // Functions that were taken belong to those who took them.
  }
}

function hostFunction(machine: Machine, found: SysfsFunction): PciFunction {
  const { noIommu = false, ...shown } = found;
  const unsafeDma = noIommu ? "it has no IOMMU (VFIO without one)" : undefined;
  const refusal = refuse(machine, found, unsafeDma);
  return {
    ...shown,
    ...(unsafeDma === undefined ? {} : { unsafeDma }),
    ...(refusal === undefined ? {} : { refusal }),
    open() {
      if (refusal !== undefined) throw new Error(`Cannot take ${found.address}: ${refusal}`);
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
    },
  };
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
    return `it is not bound to VFIO; as root: main.ts bind ${address}`;
  }
  if (kernelDriver !== "vfio-pci") {
    return `the kernel driver ${kernelDriver} drives it; this program never takes a device away from it. ` +
      `To hand it over, as root: main.ts bind ${address}`;
  }
  const place = placeOf(machine, found);
  if (!place) return "it has no IOMMU group: turn the IOMMU on (doctor tells how)";
  if (unsafeDma !== undefined && !machine.unsafeDma) return unsafe(unsafeDma);
  const path = groupPath(place);
  if (!exists(path)) return `there is no ${path}: VFIO may be going away, or /dev is not complete`;
  if (!access(path)) return `this user may not open ${path}; as root: chown $USER ${path}`;
  return undefined;
}

function unsafe(reason: string): string {
  return `${reason}, so it could reach all memory; to drive it all the same: --unsafe-dma`;
}
