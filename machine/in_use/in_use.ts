import { Disks } from "./disks.ts";
import { Interfaces } from "./interfaces.ts";
import type { Mounts } from "../mounts.ts";
import { Programs } from "./programs.ts";
import {
  attribute,
  functionFolder,
  iommuGroup,
  kernelDriver,
} from "../../core/platform/vfio/sysfs.ts";
import { Devices } from "./devices.ts";
import { exists } from "../../core/linux/file.ts";

/**
 * What a machine is doing with its functions, as it was when this was made. One rule for all commands: a device beneath the
 * function, or whatever was built on one, that has a user.
 */
export class InUse {
  readonly #mounts: Mounts;
  readonly #devices: Devices;
  readonly #disks: Disks;
  readonly #interfaces: Interfaces;
  readonly #programs: Programs;

  /** Looks at the machine; changes nothing. */
  constructor(mounts: Mounts) {
    this.#mounts = mounts;
    this.#devices = new Devices(mounts);
    this.#disks = new Disks(mounts, this.#devices);
    this.#interfaces = new Interfaces(mounts, this.#devices);
    this.#programs = new Programs(mounts);
  }

  /**
   * What would be lost if a function's driver went away: for each thing what it is, and in parentheses how to end that.
   * Empty if the machine seems to do nothing with it.
   */
  of(address: string): string[] {
    const { sysfs } = this.#mounts;
    const folder = functionFolder(sysfs, address);
    const virtual = Number(attribute(`${folder}/sriov_numvfs`) ?? 0);
    return [
      ...this.#disks.uses(address),
      ...this.#interfaces.uses(address),
      ...this.#consoles(address),
      ...(attribute(`${folder}/boot_vga`) === "1" ? ["it is the screen of the console"] : []),
      ...(virtual > 0 ? [`it has ${virtual} virtual functions (write 0 to its sriov_numvfs)`] : []),
      ...this.#opened(address),
    ];
  }

  #consoles(address: string): string[] {
    const terminals = this.#terminals(address);
    return this.#active().filter((name) => terminals.includes(name))
      .map((name) => `${name} is a console (leave console=${name} out when the kernel starts)`);
  }

  #active(): string[] {
    return attribute(`${this.#mounts.sysfs}/class/tty/console/active`)?.split(" ") ?? [];
  }

  /** Names of a function's terminals. Those of virtio are not beneath their device, but they have no other owner. */
  #terminals(address: string): string[] {
    const names = (devices: readonly { readonly name: string }[]) =>
      devices.map(({ name }) => name);
    const own = names(this.#devices.beneath(address, "tty"));
    if (this.#devices.beneath(address, "virtio-ports").length === 0) return own;
    const all = [...names(this.#devices.all("tty")), ...this.#active()];
    return [...own, ...all.filter((name) => name.startsWith("hvc"))];
  }

  /** What programs have open of it: the kernel would wait for some of them without end. */
  #opened(address: string): string[] {
    const { sysfs, dev } = this.#mounts;
    const nodes = [
      ...this.#devices.beneath(address).map(({ node }) => node),
      ...this.#terminals(address),
    ];
    const uses = [...new Set(nodes)].flatMap((node) => this.#programs.uses(node));
    const group = iommuGroup(sysfs, address);
    if (kernelDriver(sysfs, address) !== "vfio-pci" || group === undefined) return uses;
    const names = [`vfio/${group}`, `vfio/noiommu-${group}`];
    const users = [...uses, ...names.flatMap((name) => this.#programs.uses(name))];
    if (users.length > 0) return users;
    // Which program it is, only root sees; that there is one shows all the same.
    const held = names.some((name) => exists(`${dev}/${name}`) && this.#programs.holds(name));
    return held ? ["a program drives it (end it)"] : [];
  }
}
