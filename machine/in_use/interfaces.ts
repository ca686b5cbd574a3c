import { readLink } from "../../core/linux/file.ts";
import type { Mounts } from "../mounts.ts";
import { attribute } from "../../core/platform/vfio/sysfs.ts";
import { type Devices, lastName, linesOf, namesIn } from "./devices.ts";

/** The interface is up (`IFF_UP`). */
const UP = 1;
/** The kernel's driver of VirtIO cards. */
const DRIVER = "virtio_net";

/** What the network interfaces of a function are used for. */
export class Interfaces {
  readonly #sysfs: string;
  readonly #devices: Devices;
  /** Interfaces with the default route of IPv4 or IPv6. */
  readonly #defaults: ReadonlySet<string>;

  /** Looks at the routes. */
  constructor({ sysfs, proc }: Mounts, devices: Devices) {
    this.#sysfs = sysfs;
    this.#devices = devices;
    const ipv4 = linesOf(`${proc}/net/route`).slice(1).map((line) => line.split("\t"))
      .filter(([, target, , , , , , mask]) => all0(target) && all0(mask ?? "0")).map(([name]) =>
        name
      );
    const ipv6 = linesOf(`${proc}/net/ipv6_route`).map((line) => line.trim().split(/\s+/))
      .filter(([target, length]) => all0(target) && all0(length)).map((fields) => fields.at(-1));
    // The kernel keeps a default route at lo for what goes nowhere.
    this.#defaults = new Set(
      [...ipv4, ...ipv6].filter((name) => name !== undefined && name !== "lo") as string[],
    );
  }

  /** One sentence for each interface with a use. */
  uses(address: string): string[] {
    const own = this.#devices.beneath(address, "net");
    const away = this.#devices.beneath(address, "virtio")
      .some(({ folder }) => lastName(readLink(`${folder}/driver`)) === DRIVER);
    if (own.length === 0 && away) {
      return ["its network interface is in another network namespace (ip netns list)"];
    }
    return own.flatMap(({ name }) => this.#use(name));
  }

  #use(name: string): string[] {
    const what = `its network interface ${name}`;
    const above = this.#above(name);
    if (this.#defaults.has(name)) {
      return [`${what} carries the default route (the machine would lose its network)`];
    }
    const [first] = above;
    if (first !== undefined) {
      const route = above.find((upper) => this.#defaults.has(upper));
      const via = route === undefined
        ? ""
        : route === first
        ? ", which carries the default route"
        : `, and ${route} on it carries the default route`;
      return [`${what} is part of ${first}${via} (${this.#apart(name, first)})`];
    }
    const flags = Number(attribute(`${this.#sysfs}/class/net/${name}/flags`) ?? 0);
    return flags & UP ? [`${what} is up (ip link set ${name} down)`] : [];
  }

  /** Interfaces that were made of it, the nearest first: bridges, bonds, VLANs, macvlans. */
  #above(name: string, seen: Set<string> = new Set()): string[] {
    const folder = `${this.#sysfs}/class/net/${name}`;
    const linked = namesIn(folder).filter((entry) => entry.startsWith("upper_"))
      .map((entry) => entry.slice("upper_".length));
    const master = lastName(readLink(`${folder}/master`));
    for (const upper of master === undefined ? linked : [master, ...linked]) {
      if (seen.has(upper)) continue;
      seen.add(upper);
      this.#above(upper, seen);
    }
    return [...seen];
  }

  #apart(name: string, upper: string): string {
    const master = lastName(readLink(`${this.#sysfs}/class/net/${name}/master`));
    return master === upper ? `ip link set ${name} nomaster` : `ip link delete ${upper}`;
  }
}

function all0(digits: string | undefined): boolean {
  return digits !== undefined && /^0+$/.test(digits);
}
