// Class devices of sysfs, and the PCI function below each.

import { exists, readFolder, readLink } from "../../core/linux/file.ts";
import type { Mounts } from "../mounts.ts";
import { attribute } from "../../core/platform/vfio/sysfs.ts";

/** A device of this machine as its class shows it. */
export interface ClassDevice {
  /** Its class: `block`, `net`, `tty`. */
  readonly kind: string;
  /** Its name there. */
  readonly name: string;
  /** Its folder in sysfs. */
  readonly folder: string;
  /** Its node, beneath `/dev`. */
  readonly node: string;
  /** The names on the way to its folder: the function that it stands beneath is one of them. */
  readonly path: readonly string[];
}

/** All devices of a machine that belong to a class or to the bus of VirtIO. */
export class Devices {
  readonly #all: readonly ClassDevice[];

  /** Lists them. */
  constructor({ sysfs }: Mounts) {
    const kinds = namesIn(`${sysfs}/class`).map((kind) =>
      [kind, `${sysfs}/class/${kind}`] as const
    );
    const bus = ["virtio", `${sysfs}/bus/virtio/devices`] as const;
    this.#all = [...kinds, bus].flatMap(([kind, folder]) =>
      namesIn(folder).flatMap((name) => {
        const path = readLink(`${folder}/${name}`)?.split("/");
        return path
          ? [{ kind, name, folder: `${folder}/${name}`, node: node(folder, name), path }]
          : [];
      })
    );
  }

  /** Those of one class. */
  all(kind: string): readonly ClassDevice[] {
    return this.#all.filter((device) => device.kind === kind);
  }

  /** Those beneath a function, of one class or of all. */
  beneath(address: string, kind?: string): readonly ClassDevice[] {
    return this.#all.filter((device) =>
      device.path.includes(address) && (kind === undefined || device.kind === kind)
    );
  }
}

function node(folder: string, name: string): string {
  const line = attribute(`${folder}/${name}/uevent`)?.match(/^DEVNAME=(.+)$/m);
  // A slash cannot stand in a name of sysfs.
  return line?.[1] ?? name.replaceAll("!", "/");
}

/** Names in a folder; none if it is not there, or may not be seen. */
export function namesIn(folder: string): string[] {
  try {
    return exists(folder) ? readFolder(folder) : [];
  } catch {
    return []; // It has gone meanwhile, or is none.
  }
}

/** The lines of a file; none if it is not there. */
export function linesOf(path: string): string[] {
  return attribute(path)?.split("\n") ?? [];
}

/** The last name of a path. */
export function lastName(path: string | undefined): string | undefined {
  return path?.split("/").at(-1);
}
