import { isClaimed, readLink } from "../../core/linux/file.ts";
import type { Mounts } from "../mounts.ts";
import { attribute } from "../../core/platform/vfio/sysfs.ts";
import { type ClassDevice, type Devices, lastName, linesOf, namesIn } from "./devices.ts";

/** A line of `/proc/self/mountinfo` (proc(5)). */
interface Mount {
  /** Major and minor number; those of a file system that gives itself some say nothing. */
  readonly number: string;
  readonly place: string;
  readonly type: string;
  /** A device, several with colons between them, a tag, the name of a pool. */
  readonly source: string;
  readonly options: readonly string[];
}

/** What the disks of a function, and what else can be mounted of it, are used for. */
export class Disks {
  readonly #mounts: Mounts;
  readonly #devices: Devices;
  readonly #mounted: readonly Mount[];
  /** Names of block devices that are swapped to. */
  readonly #swaps: readonly string[];
  /** What stands directly on a block device, by its name. */
  readonly #above: ReadonlyMap<string, ReadonlySet<string>>;

  /** Looks at what is mounted, swapped to, and built on what. */
  constructor(mounts: Mounts, devices: Devices) {
    this.#mounts = mounts;
    this.#devices = devices;
    this.#mounted = linesOf(`${mounts.proc}/self/mountinfo`).flatMap(parseMount);
    this.#swaps = linesOf(`${mounts.proc}/swaps`).slice(1)
      .map((line) => this.#nameOf(unescape(line.split(/\s+/)[0]!)));
    this.#above = this.#builtOn();
  }

  /** One sentence for each use. */
  uses(address: string): string[] {
    const disks = this.#devices.beneath(address, "block");
    const known = disks.flatMap((disk) => this.#useOf(disk));
    return [
      ...known,
      ...(known.length === 0 ? disks.flatMap((disk) => this.#claim(disk)).slice(0, 1) : []),
      ...this.#devices.beneath(address, "virtio").flatMap((device) => this.#shared(device)),
    ];
  }

  #useOf({ name }: ClassDevice): string[] {
    const what = `its disk ${name}`;
    const own = this.#ends(name).map((end) => `${what} ${end}`);
    const layers = [...this.#above.get(name) ?? []].map((layer) => {
      const [end] = [layer, ...this.#higher(layer)].flatMap((upper) =>
        this.#ends(upper).map((end) =>
          upper === layer ? `, which ${end}` : `; ${upper} on it ${end}`
        )
      );
      return `${what} is part of ${layer}${end ?? ` (${this.#apart(layer)})`}`;
    });
    return [...own, ...layers];
  }

  /** What a block device is used for directly. */
  #ends(name: string): string[] {
    const number = attribute(`${this.#mounts.sysfs}/class/block/${name}/dev`);
    const mounted = this.#mounted.filter((mount) =>
      mount.number === number || this.#sources(mount).includes(name)
    );
    const places = new Set(mounted.map(({ place }) => place));
    const [pool] = places.size > 0 ? [] : this.#pools(name);
    return [
      ...[...places].map((place) => `is mounted on ${place} (umount ${place})`),
      ...(pool === undefined ? [] : [pool]),
      ...(this.#swaps.includes(name) ? [`is swap space (swapoff /dev/${name})`] : []),
    ];
  }

  /** A btrfs shows only the first of its devices as the source of a mount, but all of them in sysfs. */
  #pools(name: string): string[] {
    const folder = `${this.#mounts.sysfs}/fs/btrfs`;
    return namesIn(folder).flatMap((id) => {
      const members = namesIn(`${folder}/${id}/devices`);
      if (!members.includes(name)) return [];
      const mount = this.#mounted.find((each) =>
        each.type === "btrfs" && this.#sources(each).some((source) => members.includes(source))
      );
      return mount
        ? [`is part of the btrfs that is mounted on ${mount.place} (umount ${mount.place})`]
        : [`is part of the btrfs ${id} (unmount it)`];
    });
  }

  /** The names of the block devices that a mount says it is of. */
  #sources({ source, options }: Mount): string[] {
    // Journals and logs may lie on a device of their own.
    const others = options.map((option) => option.split("=")[1] ?? "");
    return [...source.split(":"), ...others].filter((path) => path.startsWith("/dev/"))
      .map((path) => this.#nameOf(path));
  }

  /** The name of a block device whose node may be a link to another: `/dev/mapper/x` is `dm-0`. */
  #nameOf(path: string): string {
    const target = readLink(path.replace(/^\/dev\//, `${this.#mounts.dev}/`));
    return lastName(target ?? path)!;
  }

  /** Members of what the kernel's volume managers made of block devices; loops over one; partitions. */
  #builtOn(): ReadonlyMap<string, ReadonlySet<string>> {
    const above = new Map<string, Set<string>>();
    const add = (below: string, upper: string) => {
      if (below !== upper) above.set(below, (above.get(below) ?? new Set()).add(upper));
    };
    for (const { name, folder, path } of this.#devices.all("block")) {
      for (const holder of namesIn(`${folder}/holders`)) add(name, holder);
      for (const slave of namesIn(`${folder}/slaves`)) add(slave, name);
      const file = attribute(`${folder}/loop/backing_file`);
      if (file?.startsWith("/dev/")) add(this.#nameOf(file), name);
      const whole = path.at(-2);
      // Partitions of a function's own disks are beneath it themselves.
      if (path.includes("virtual") && whole !== "block") add(whole!, name);
    }
    // md0 : active raid1 vdb[1] vda1[0](F)
    for (const line of linesOf(`${this.#mounts.proc}/mdstat`)) {
      const [, array, members = ""] = /^(md\S*) : (.*)$/.exec(line) ?? [];
      for (const [, member] of members.matchAll(/(\S+)\[\d+\]/g)) add(member!, array!);
    }
    return above;
  }

  /** All that was built on a block device, near things first. */
  #higher(name: string, seen: Set<string> = new Set()): string[] {
    for (const upper of this.#above.get(name) ?? []) {
      if (seen.has(upper)) continue;
      seen.add(upper);
      this.#higher(upper, seen);
    }
    return [...seen];
  }

  /** How to take a layer away. */
  #apart(layer: string): string {
    const folder = `${this.#mounts.sysfs}/class/block/${layer}`;
    const name = attribute(`${folder}/dm/name`);
    const id = attribute(`${folder}/dm/uuid`) ?? "";
    if (name === undefined) {
      if (layer.startsWith("md")) return `mdadm --stop /dev/${layer}`;
      if (layer.startsWith("loop")) return `losetup -d /dev/${layer}`;
      return "lsblk tells what it is";
    }
    if (id.startsWith("LVM-")) return `LVM's ${name}: lvchange -an /dev/mapper/${name}`;
    if (id.startsWith("CRYPT-")) return `cryptsetup close ${name}`;
    return `dmsetup remove ${name}`;
  }

  /** A user of a block device alone has claimed it, whether or not that shows anywhere else, as a ZFS. */
  #claim({ name, node }: ClassDevice): string[] {
    const claimed = isClaimed(`${this.#mounts.dev}/${node}`);
    if (claimed === true) {
      return [
        `its disk ${name} is claimed by the kernel or a program (lsblk and zpool status may tell by which)`,
      ];
    }
    if (claimed === false) return [];
    // The kernel cannot be asked, and something is mounted of which it might be a part.
    const shown = namesIn(`${this.#mounts.sysfs}/fs/btrfs`).length > 0;
    const hidden = this.#mounted.find(({ type }) => type === "zfs" || type === "btrfs" && !shown);
    return hidden === undefined ? [] : [
      `its disk ${name} may be part of the ${hidden.type} that is mounted on ${hidden.place}, ` +
      `which cannot be told here (as root, with /dev/${node}, it can)`,
    ];
  }

  /** File systems without a disk: their devices have tags, which are the sources of their mounts. */
  #shared({ name, folder }: ClassDevice): string[] {
    const driver = lastName(readLink(`${folder}/driver`));
    const tag = attribute(`${folder}/mount_tag`)?.replaceAll("\0", "") ?? this.#tagOf(name);
    const type = driver === "virtiofs" ? "virtiofs" : driver === "9pnet_virtio" ? "9p" : undefined;
    return this.#mounted.filter((mount) =>
      // Older kernels do not tell the tag of a virtiofs.
      mount.type === type && (tag === undefined || mount.source === tag)
    ).map(({ place, source }) =>
      tag === undefined
        ? `it is a virtiofs, as what is mounted on ${place} (umount ${place})`
        : `its file system ${source} is mounted on ${place} (umount ${place})`
    );
  }

  #tagOf(device: string): string | undefined {
    const folder = `${this.#mounts.sysfs}/fs/virtiofs`;
    const own = namesIn(folder).find((id) =>
      lastName(readLink(`${folder}/${id}/device`)) === device
    );
    return own === undefined ? undefined : attribute(`${folder}/${own}/tag`);
  }
}

function parseMount(line: string): Mount[] {
  const fields = line.split(" ").map(unescape);
  // The source stands after a "-": before it are optional fields.
  const end = fields.indexOf("-", 6);
  if (end < 0) return [];
  const [type = "", source = "", options = ""] = fields.slice(end + 1);
  return [{ number: fields[2]!, place: fields[4]!, type, source, options: options.split(",") }];
}

/** Blanks and the like stand as three octal digits. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(parseInt(digits, 8)));
}
