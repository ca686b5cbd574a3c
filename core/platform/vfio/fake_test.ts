// No tests, but what the tests here share: a sysfs, with a /dev beside it, in a folder of their own.

import type { Mounts } from "../../../machine/mounts.ts";

/** A function of a made-up sysfs. */
export interface FakeFunction {
  readonly driver?: string;
  readonly group?: number;
  /** The name of its group. */
  readonly groupName?: string;
  readonly numaNode?: number;
  /** Bytes of configuration space that can be read; 64 if left out. */
  readonly bytes?: number;
  /** More files in its folder, by their paths. */
  readonly files?: Readonly<Record<string, string>>;
}

/** A made-up machine. */
export interface FakeMachine extends AsyncDisposable {
  readonly root: string;
  readonly sysfs: string;
  readonly dev: string;
}

/** Makes a machine with these functions, these drivers and these files in its `/dev/vfio`. */
export async function fakeMachine(
  functions: Readonly<Record<string, FakeFunction>>,
  { drivers = [], nodes = [] }: {
    readonly drivers?: readonly string[];
    readonly nodes?: readonly string[];
  } = {},
): Promise<FakeMachine> {
  const root = await Deno.makeTempDir();
  const sysfs = `${root}/sys`, dev = `${root}/dev`;
  await Deno.mkdir(`${sysfs}/bus/pci/devices`, { recursive: true });
  for (const driver of drivers) {
    await Deno.mkdir(`${sysfs}/bus/pci/drivers/${driver}`, { recursive: true });
  }
  await Deno.mkdir(`${dev}/vfio`, { recursive: true });
  for (const node of ["vfio", ...nodes]) await Deno.writeTextFile(`${dev}/vfio/${node}`, "");
  for (const [address, fake] of Object.entries(functions)) {
    const folder = `${sysfs}/bus/pci/devices/${address}`;
    await Deno.mkdir(folder, { recursive: true });
    const config = new Uint8Array(fake.bytes ?? 64);
    config.set([0xf4, 0x1a, 0x42, 0x10].slice(0, config.length));
    await Deno.writeFile(`${folder}/config`, config, { mode: 0o444 });
    await Deno.writeTextFile(`${folder}/numa_node`, `${fake.numaNode ?? -1}\n`);
    for (const [path, text] of Object.entries(fake.files ?? {})) {
      await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${folder}/${path}`, text);
    }
    if (fake.driver) {
      await Deno.symlink(`../../../../bus/pci/drivers/${fake.driver}`, `${folder}/driver`);
    }
    if (fake.group === undefined) continue;
    const group = `${sysfs}/kernel/iommu_groups/${fake.group}`;
    await Deno.mkdir(`${group}/devices`, { recursive: true });
    await Deno.symlink(`../../../../bus/pci/devices/${address}`, `${group}/devices/${address}`);
    if (fake.groupName) await Deno.writeTextFile(`${group}/name`, `${fake.groupName}\n`);
    await Deno.symlink(
      `../../../../kernel/iommu_groups/${fake.group}`,
      `${folder}/iommu_group`,
    );
  }
  return { root, sysfs, dev, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}

/** Where a made-up machine shows itself. */
export const mounts = ({ root, sysfs, dev }: FakeMachine): Mounts => ({
  sysfs,
  dev,
  proc: `${root}/proc`,
});

/** Writes a file, and makes the folders that it needs. */
export async function put(path: string, text: string): Promise<void> {
  await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
  await Deno.writeTextFile(path, text);
}

/** Makes a device of a class beneath a function. */
export async function link(
  sysfs: string,
  address: string,
  kind: string,
  name: string,
  path: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const place = `${sysfs}/devices/pci0000:00/${address}/${path}`;
  await Deno.mkdir(place, { recursive: true });
  for (const [file, text] of Object.entries(files)) await put(`${place}/${file}`, text);
  await Deno.mkdir(`${sysfs}/class/${kind}`, { recursive: true });
  await Deno.symlink(
    `../../devices/pci0000:00/${address}/${path}`,
    `${sysfs}/class/${kind}/${name}`,
  );
}
