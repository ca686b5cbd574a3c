import { assertEquals } from "@std/assert";
import "../../tests/support/libc.ts";
import {
  type FakeMachine,
  fakeMachine,
  link,
  mounts,
  put,
} from "../../core/platform/vfio/fake_test.ts";
import { InUse } from "./in_use.ts";

const A = "0000:00:02.0", B = "0000:00:03.0";

/** Makes files of a machine, by their paths; what is `-> x` becomes a link to x. */
async function lay(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await put(`${root}/${path}`, "");
    if (!text.startsWith("-> ")) await Deno.writeTextFile(`${root}/${path}`, text);
    else {
      await Deno.remove(`${root}/${path}`);
      await Deno.symlink(text.slice(3), `${root}/${path}`);
    }
  }
}

/** A device of a class that is beneath no function. */
async function virtual(
  { sysfs }: FakeMachine,
  kind: string,
  name: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const place = `devices/virtual/${kind}/${name}`;
  await Deno.mkdir(`${sysfs}/${place}`, { recursive: true });
  await lay(`${sysfs}/${place}`, files);
  await Deno.mkdir(`${sysfs}/class/${kind}`, { recursive: true });
  await Deno.symlink(`../../${place}`, `${sysfs}/class/${kind}/${name}`);
}

const block = ({ sysfs }: FakeMachine, name: string, number: string, files = {}) =>
  link(sysfs, A, "block", name, `virtio1/block/${name}`, { dev: `${number}\n`, ...files });
const card = ({ sysfs }: FakeMachine, flags: string) =>
  link(sysfs, A, "net", "eth0", "virtio1/net/eth0", { flags: `${flags}\n` });
const mountinfo = ({ root }: FakeMachine, ...lines: readonly string[]) =>
  put(`${root}/proc/self/mountinfo`, lines.join("\n"));

/** A VirtIO device beneath the function, and the kernel's driver of it. */
async function virtio(
  { sysfs }: FakeMachine,
  driver: string,
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  const place = `${sysfs}/devices/pci0000:00/${A}/virtio1`;
  await lay(place, { driver: `-> ../../../../bus/virtio/drivers/${driver}`, ...files });
  await Deno.mkdir(`${sysfs}/bus/virtio/devices`, { recursive: true });
  const target = `../../../devices/pci0000:00/${A}/virtio1`;
  await Deno.symlink(target, `${sysfs}/bus/virtio/devices/virtio1`);
}

const DISK = "30 1 254:16 / /data rw - ext4 /dev/vdb rw";
const UP = "0x1003", DOWN = "0x1002";

/** What a function is used for, and the tree that says so; none for what is no use. */
const USES: readonly (readonly [
  what: string,
  use: string | undefined,
  arrange: (machine: FakeMachine) => Promise<void>,
])[] = [
  ["a file system", "its disk vdb is mounted on /data (umount /data)", async (machine) => {
    await block(machine, "vdb", "254:16");
    await mountinfo(machine, DISK);
  }],
  [
    "a place with a blank",
    "its disk vdb is mounted on /my data (umount /my data)",
    async (machine) => {
      await block(machine, "vdb", "254:16");
      await mountinfo(machine, "30 1 254:16 / /my\\040data rw - ext4 /dev/vdb rw");
    },
  ],
  ["a link for its name", "its disk vdb is mounted on /data (umount /data)", async (machine) => {
    await block(machine, "vdb", "254:16");
    await lay(machine.dev, { "disk/by-uuid/1": "-> ../../vdb" });
    await mountinfo(machine, "30 1 0:40 / /data rw - btrfs /dev/disk/by-uuid/1 rw");
  }],
  ["the log of an XFS", "its disk vdb is mounted on /data (umount /data)", async (machine) => {
    await block(machine, "vdb", "254:16");
    await mountinfo(machine, "30 1 8:1 / /data rw - xfs /dev/sda1 rw,logdev=/dev/vdb");
  }],
  ["one of a bcachefs", "its disk vdb is mounted on /data (umount /data)", async (machine) => {
    await block(machine, "vdb", "254:16");
    await mountinfo(machine, "30 1 0:40 / /data rw - bcachefs /dev/sda:/dev/vdb rw");
  }],
  [
    "the second of a btrfs",
    "its disk vdb is part of the btrfs that is mounted on /data (umount /data)",
    async (machine) => {
      await block(machine, "vdb", "254:16");
      await mountinfo(machine, "30 1 0:33 / /data rw - btrfs /dev/sda rw");
      await lay(machine.sysfs, { "fs/btrfs/1-2/devices/vdb": "", "fs/btrfs/1-2/devices/sda": "" });
    },
  ],
  [
    "a btrfs of another mount namespace",
    "its disk vdb is part of the btrfs 1-2 (unmount it)",
    async (machine) => {
      await block(machine, "vdb", "254:16");
      await lay(machine.sysfs, { "fs/btrfs/1-2/devices/vdb": "" });
    },
  ],
  ["a btrfs of others", undefined, async (machine) => {
    await block(machine, "vdb", "254:16");
    await mountinfo(machine, "30 1 0:33 / /data rw - btrfs /dev/sda rw");
    await lay(machine.sysfs, { "fs/btrfs/1-2/devices/sda": "" });
  }],
  [
    "a ZFS somewhere, and no right to ask",
    "its disk vdb may be part of the zfs that is mounted on /tank, which cannot be told here (as root, with /dev/vdb, it can)",
    async (machine) => {
      await block(machine, "vdb", "254:16");
      await mountinfo(machine, "30 1 0:44 / /tank rw - zfs tank rw");
    },
  ],
  ["a ZFS of others", undefined, async (machine) => {
    await block(machine, "vdb", "254:16");
    await mountinfo(machine, "30 1 0:44 / /tank rw - zfs tank rw");
    await lay(machine.dev, { vdb: "can be claimed" });
  }],
  ["swap", "its disk vdb1 is swap space (swapoff /dev/vdb1)", async (machine) => {
    await block(machine, "vdb1", "254:17");
    await put(`${machine.root}/proc/swaps`, "Filename Type\n/dev/vdb1 partition 9 0 -2\n");
  }],
  [
    "a volume of LVM on an encrypted partition",
    "its disk vdb1 is part of dm-0; dm-1 on it is mounted on /data (umount /data)",
    async (machine) => {
      await block(machine, "vdb1", "254:17", { "holders/dm-0": "" });
      await virtual(machine, "block", "dm-0", { dev: "253:0\n", "holders/dm-1": "" });
      await virtual(machine, "block", "dm-1", { dev: "253:1\n" });
      await mountinfo(machine, "30 1 253:1 / /data rw - ext4 /dev/mapper/x rw");
    },
  ],
  [
    "a logical volume that only its slaves tell of",
    "its disk vdb is part of dm-0 (LVM's vg-root: lvchange -an /dev/mapper/vg-root)",
    async (machine) => {
      await block(machine, "vdb", "254:16");
      await virtual(machine, "block", "dm-0", {
        "slaves/vdb": "",
        "dm/name": "vg-root\n",
        "dm/uuid": "LVM-1\n",
      });
    },
  ],
  ["dm-crypt", "its disk vdb is part of dm-0 (cryptsetup close secret)", async (machine) => {
    await block(machine, "vdb", "254:16", { "holders/dm-0": "" });
    await virtual(machine, "block", "dm-0", {
      "dm/name": "secret\n",
      "dm/uuid": "CRYPT-LUKS2-1\n",
    });
  }],
  ["an array", "its disk vdb is part of md0 (mdadm --stop /dev/md0)", async (machine) => {
    await block(machine, "vdb", "254:16");
    const text = "Personalities : [raid1]\nmd0 : active raid1 sdx[1] vdb[0](F)\n  9 blocks\n";
    await put(`${machine.root}/proc/mdstat`, text);
  }],
  [
    "a partition of an array",
    "its disk vdb is part of md0; md0p1 on it is mounted on /data (umount /data)",
    async (machine) => {
      await block(machine, "vdb", "254:16", { "holders/md0": "" });
      await virtual(machine, "block", "md0", { dev: "9:0\n", "md0p1/dev": "259:0\n" });
      await lay(machine.sysfs, { "class/block/md0p1": "-> ../../devices/virtual/block/md0/md0p1" });
      await mountinfo(machine, "30 1 259:0 / /data rw - ext4 /dev/md0p1 rw");
    },
  ],
  [
    "a loop over it",
    "its disk vdb is part of loop0, which is swap space (swapoff /dev/loop0)",
    async (machine) => {
      await block(machine, "vdb", "254:16");
      await virtual(machine, "block", "loop0", { "loop/backing_file": "/dev/vdb\n" });
      await put(`${machine.root}/proc/swaps`, "Filename Type\n/dev/loop0 partition 9 0 -2\n");
    },
  ],
  [
    "a ring of holders",
    "its disk vdb is part of dm-0 (lsblk tells what it is)",
    async (machine) => {
      await block(machine, "vdb", "254:16", { "holders/dm-0": "" });
      await virtual(machine, "block", "dm-0", { "holders/dm-1": "" });
      await virtual(machine, "block", "dm-1", { "holders/dm-0": "" });
    },
  ],
  ["a disk that lies idle", undefined, async (machine) => {
    await block(machine, "vdb", "254:16");
    await mountinfo(machine, DISK.replace("254:16", "8:1").replace("vdb", "vdc"));
    await put(`${machine.root}/proc/swaps`, "Filename Type\n/dev/vdc partition 9 0 -2\n");
    await virtual(machine, "block", "loop0", { "loop/backing_file": "/var/image\n" });
  }],
  ["virtiofs", "its file system home is mounted on /home (umount /home)", async (machine) => {
    await virtio(machine, "virtiofs");
    await lay(machine.sysfs, {
      "fs/virtiofs/4/tag": "home\n",
      "fs/virtiofs/4/device": `-> ../../../devices/pci0000:00/${A}/virtio1`,
    });
    await mountinfo(
      machine,
      "30 1 0:50 / /home rw - virtiofs home rw",
      "31 1 0:51 / / rw - virtiofs root rw",
    );
  }],
  [
    "virtiofs of a kernel that tells no tags",
    "it is a virtiofs, as what is mounted on / (umount /)",
    async (machine) => {
      await virtio(machine, "virtiofs");
      await mountinfo(machine, "1 0 0:20 / / rw - virtiofs rootfs rw");
    },
  ],
  ["9p", "its file system home is mounted on /home (umount /home)", async (machine) => {
    await virtio(machine, "9pnet_virtio", { mount_tag: "home\0" });
    await mountinfo(machine, "30 1 0:50 / /home rw - 9p home rw,trans=virtio");
  }],
  ["9p with another tag", undefined, async (machine) => {
    await virtio(machine, "9pnet_virtio", { mount_tag: "spare\0" });
    await mountinfo(machine, "30 1 0:50 / /home rw - 9p home rw,trans=virtio");
  }],
  [
    "the default route of IPv6",
    "its network interface eth0 carries the default route (the machine would lose its network)",
    async (machine) => {
      await card(machine, UP);
      const zeros = "0".repeat(32);
      const line = (name: string) =>
        `${zeros} 00 ${zeros} 00 fe80${
          "0".repeat(27)
        }1 00000400 00000002 00000000 00000003     ${name}`;
      await put(`${machine.root}/proc/net/ipv6_route`, `${line("lo")}\n${line("eth0")}\n`);
    },
  ],
  [
    "a bridge",
    "its network interface eth0 is part of br0, which carries the default route (ip link set eth0 nomaster)",
    async (machine) => {
      await card(machine, UP);
      await lay(`${machine.sysfs}/class/net/eth0`, {
        master: "-> ../../br0",
        upper_br0: "-> ../../br0",
      });
      await virtual(machine, "net", "br0", { flags: UP });
      await put(
        `${machine.root}/proc/net/route`,
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\nbr0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\n",
      );
    },
  ],
  [
    "a VLAN of a bond that is down",
    "its network interface eth0 is part of bond0, and bond0.7 on it carries the default route (ip link set eth0 nomaster)",
    async (machine) => {
      await card(machine, DOWN);
      await lay(`${machine.sysfs}/class/net/eth0`, { master: "-> ../../bond0" });
      await virtual(machine, "net", "bond0", { "upper_bond0.7": "" });
      await virtual(machine, "net", "bond0.7", {});
      await put(`${machine.root}/proc/net/route`, "Iface\tDestination\nbond0.7\t00000000\n");
    },
  ],
  [
    "a macvlan",
    "its network interface eth0 is part of macvlan0 (ip link delete macvlan0)",
    async (machine) => {
      await card(machine, UP);
      await lay(`${machine.sysfs}/class/net/eth0`, { upper_macvlan0: "-> ../../macvlan0" });
    },
  ],
  [
    "an interface that is up",
    "its network interface eth0 is up (ip link set eth0 down)",
    (machine) => card(machine, UP),
  ],
  ["an interface that is down", undefined, async (machine) => {
    await card(machine, DOWN);
    await put(`${machine.root}/proc/net/route`, "Iface\tDestination\neth1\t00000000\n");
  }],
  [
    "an interface that a container has",
    "its network interface is in another network namespace (ip netns list)",
    (machine) => virtio(machine, "virtio_net"),
  ],
  [
    "a port that a program has open",
    "/dev/vport1p1 is open in qemu-ga (process 812) (end it)",
    async (machine) => {
      await link(machine.sysfs, A, "virtio-ports", "vport1p1", "virtio1/virtio-ports/vport1p1", {});
      await lay(`${machine.root}/proc/812`, { comm: "qemu-ga\n", "fd/3": "-> /dev/vport1p1" });
    },
  ],
  [
    "a getty on the console's terminal",
    "/dev/hvc0 is open in getty (process 9) (end it)",
    async (machine) => {
      await link(machine.sysfs, A, "virtio-ports", "vport1p0", "virtio1/virtio-ports/vport1p0", {});
      await virtual(machine, "tty", "hvc0", {});
      await lay(`${machine.root}/proc/9`, { comm: "getty\n", "fd/0": "-> /dev/hvc0" });
    },
  ],
  [
    "programs with a disk open",
    "/dev/vdb is open in a (process 1) and a (process 2) and a (process 3) and 1 more (end it)",
    async (machine) => {
      await block(machine, "vdb", "254:16");
      for (const process of [1, 2, 3, 4]) {
        await lay(`${machine.root}/proc/${process}`, { comm: "a\n", "fd/3": "-> /dev/vdb" });
      }
    },
  ],
  [
    "a node that has another name",
    "/dev/snd/pcm is open in mpd (process 5) (end it)",
    async (machine) => {
      await link(machine.sysfs, A, "sound", "pcm0", "sound/pcm0", {
        uevent: "MAJOR=1\nDEVNAME=snd/pcm\n",
      });
      await lay(`${machine.root}/proc/5`, { comm: "mpd\n", "fd/3": "-> /dev/snd/pcm" });
    },
  ],
  [
    "virtual functions",
    "it has 4 virtual functions (write 0 to its sriov_numvfs)",
    ({ sysfs }) => put(`${sysfs}/bus/pci/devices/${A}/sriov_numvfs`, "4\n"),
  ],
];

for (const [what, use, arrange] of USES) {
  Deno.test(`a function in use: ${what} #core:bind_in_use`, async () => {
    await using machine = await fakeMachine({ [A]: { driver: "virtio-pci" }, [B]: {} });
    await arrange(machine);
    const inUse = new InUse(mounts(machine));
    assertEquals([inUse.of(A), inUse.of(B)], [use === undefined ? [] : [use], []]);
  });
}

Deno.test("a function in use: a program drives it through VFIO #core:bind_in_use", async () => {
  await using machine = await fakeMachine({ [A]: { driver: "vfio-pci", group: 7 } }, {
    nodes: ["7"],
  });
  assertEquals(new InUse(mounts(machine)).of(A), []);
  await lay(`${machine.root}/proc/44`, { comm: "deno\n", "fd/9": "-> /dev/vfio/7" });
  assertEquals(new InUse(mounts(machine)).of(A), [
    "/dev/vfio/7 is open in deno (process 44) (end it)",
  ]);
});
