import { exists, readFolder, readLink } from "../../host/file.ts";
import { attribute } from "./sysfs.ts";

/** Where the kernel shows itself. */
export interface Mounts {
  /** `/sys`. */
  readonly sysfs: string;
  /** `/proc`. */
  readonly proc: string;
  /** `/dev`. */
  readonly dev: string;
}

/** Where that usually is. */
export const MOUNTS: Mounts = { sysfs: "/sys", proc: "/proc", dev: "/dev" };

/** The interface is up (`IFF_UP`). */
const UP = 1;

/**
 * What the machine is doing with a function right now, one sentence for each thing that would be lost if its driver
 * went away. Empty if it seems to do nothing.
 */
export function usesOf(mounts: Mounts, address: string): string[] {
  return [
    ...disks(mounts, address),
    ...interfaces(mounts, address),
    ...consoles(mounts, address),
  ];
}

/** Names of a class's devices that are beneath a function. */
function beneath({ sysfs }: Mounts, kind: string, address: string): string[] {
  const folder = `${sysfs}/class/${kind}`;
  if (!exists(folder)) return [];
  return readFolder(folder).filter((name) =>
    readLink(`${folder}/${name}`)?.split("/").includes(address)
  );
}

function disks(mounts: Mounts, address: string): string[] {
  const { sysfs, proc } = mounts;
  const mounted = lines(`${proc}/self/mountinfo`).map((line) => line.split(" "));
  const swaps = lines(`${proc}/swaps`).slice(1).map((line) => line.split(/\s+/)[0]);
  return beneath(mounts, "block", address).flatMap((name) => {
    const folder = `${sysfs}/class/block/${name}`;
    const number = attribute(`${folder}/dev`);
    const places = mounted.filter((fields) =>
      // The source stands after a "-": some file systems have numbers of their own.
      fields[2] === number || fields[fields.indexOf("-") + 2] === `/dev/${name}`
    );
    const holders = exists(`${folder}/holders`) ? readFolder(`${folder}/holders`) : [];
    return [
      ...places.map((fields) => `its disk ${name} is mounted on ${fields[4]}`),
      ...swaps.filter((path) => path === `/dev/${name}`).map(() =>
        `its disk ${name} is swap space`
      ),
      ...holders.map((holder) => `its disk ${name} is part of ${holder}`),
    ];
  });
}

function interfaces(mounts: Mounts, address: string): string[] {
  const { sysfs, proc } = mounts;
  const routes = lines(`${proc}/net/route`).slice(1).map((line) => line.split("\t"));
  return beneath(mounts, "net", address).flatMap((name) => {
    const isDefault = routes.some(([at, target]) => at === name && target === "00000000");
    if (isDefault) return [`its network interface ${name} carries the default route`];
    const flags = Number(attribute(`${sysfs}/class/net/${name}/flags`) ?? 0);
    return flags & UP ? [`its network interface ${name} is up`] : [];
  });
}

function consoles(mounts: Mounts, address: string): string[] {
  const { sysfs } = mounts;
  const active = attribute(`${sysfs}/class/tty/console/active`)?.split(" ") ?? [];
  const ports = [
    ...beneath(mounts, "tty", address),
    // Those of virtio are not beneath their device, but they have no other owner.
    ...(beneath(mounts, "virtio-ports", address).length > 0
      ? active.filter((name) => name.startsWith("hvc"))
      : []),
  ];
  const isScreen = attribute(`${sysfs}/bus/pci/devices/${address}/boot_vga`) === "1";
  return [
    ...ports.filter((name) => active.includes(name)).map((name) => `${name} is a console`),
    ...(isScreen ? ["it is the screen of the console"] : []),
  ];
}

function lines(path: string): string[] {
  return attribute(path)?.split("\n") ?? [];
}
