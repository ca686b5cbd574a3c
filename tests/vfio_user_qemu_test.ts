/**
 * Our models as PCI functions of a guest: QEMU's `vfio-user-pci`, and drivers that other people wrote.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { BalloonModel } from "@virtio/balloon/model";
import { DiskModel } from "@virtio/blk/model";
import { ConsoleModel } from "@virtio/console/model";
import { EntropyModel } from "@virtio/random/model";
import { ScsiModel } from "@virtio/scsi/model";
import { NetModel } from "@virtio/vtnet/model";
import { nguid, subsystemName } from "../plugins/nvme/identifiers.ts";
import { libc } from "../core/linux/libc.ts";
import { serveVfioUser } from "../serve/vfio_user.ts";
import { ask } from "../simulation/ask.ts";
import type { FunctionModel } from "../simulation/function_model.ts";
import { lying } from "../simulation/hostile.ts";
import {
  ACCESS_PLATFORM,
  type DeviceModel,
  fitted,
  type Fittings,
  RING_PACKED,
} from "../simulation/model.ts";
import { Shell, type ShellOptions } from "../tools/guest/shell.ts";
import { openSmallImage } from "../tools/guest/small_image.ts";
import { exists } from "../tools/cache.ts";
import { Unavailable } from "../tools/packages.ts";
import { bootSector, efiDisk } from "./support/boot_disk.ts";
import { soon } from "./support/leaks.ts";
import { listening } from "./support/listening.ts";
import { newerQemuTest, qemuProgram, withoutNewerQemu } from "./support/machine.ts";
import { program, start } from "./support/program.ts";

libc(); // opened once for all tests
const MIB = 2 ** 20;
/** How long our program may take to begin, in milliseconds. */
const START = 60_000;
/** T10 protection comes before the command in a request of Linux, and behind it in the model's. */
const F_T10_PI = 1n << 3n;
const OVMF = "/usr/share/OVMF";

/** Why no Linux of ours can be booted. */
const withoutImage = withoutNewerQemu ?? await openSmallImage().then(() => undefined, (error) => {
  if (error instanceof Unavailable) return `no guest: ${error.message}`;
  throw error;
});

type Models = Readonly<Record<string, DeviceModel | FunctionModel>>;

/** For QEMU's `-device`, or for `device_add`. */
function device(id: string, path: string, more: object = {}): object {
  return { driver: "vfio-user-pci", id, socket: { type: "unix", path }, ...more };
}

/** Models served to guests that QEMU boots. */
class Served implements AsyncDisposable {
  readonly said: string[] = [];
  readonly #folder = Deno.makeTempDirSync({ prefix: "virtio-serve-" });
  readonly #server;

  constructor(models: Models) {
    this.#server = serveVfioUser(models, this.#folder, { log: (line) => this.said.push(line) });
  }

  /** Of each function, or of some. */
  devices(...names: readonly string[]): string[] {
    const { sockets } = this.#server;
    const all = names.length > 0 ? names : Object.keys(sockets);
    return all.flatMap((name) => ["-device", JSON.stringify(device(name, sockets[name]!))]);
  }

  /** Path of a function's socket. */
  socket(name: string): string {
    return this.#server.sockets[name]!;
  }

  boot(options: Partial<ShellOptions> = {}): Promise<Shell> {
    return Shell.boot({ qemu: qemuProgram(), devices: this.devices(), ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** Declares a test with a guest that boots a Linux of ours. */
function guestTest(name: string, fn: () => Promise<void>): void {
  newerQemuTest(name, fn, withoutImage);
}

/** Writes to a disk of the guest's past its cache, and reads it back. */
async function useDisk(shell: Shell, disk: string): Promise<string> {
  return await shell.run(
    `[ -b ${disk} ] && dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null && ` +
      `dd if=/tmp/a of=${disk} bs=64k oflag=direct 2>/dev/null && ` +
      `dd if=${disk} of=/tmp/b bs=64k count=32 iflag=direct 2>/dev/null && cmp /tmp/a /tmp/b && ` +
      `sha256sum </tmp/a | cut -c 1-64`,
  );
}

function hash(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return crypto.subtle.digest("SHA-256", bytes).then((sum) => new Uint8Array(sum).toHex());
}

/** The first bytes of a simulated disk, asked of it without a machine. */
function contents(disk: DiskModel, length: number): Uint8Array<ArrayBuffer> {
  const { bytes } = ask(disk, new Uint8Array(16), length + 1)!;
  assertEquals(bytes[length], 0);
  return Uint8Array.from(bytes.subarray(0, length));
}

/** Puts them there. */
function fill(disk: DiskModel, bytes: Uint8Array): void {
  const request = new Uint8Array(16 + bytes.length);
  request[0] = 1; // OUT
  request.set(bytes, 16);
  assertEquals(ask(disk, request, 1)!.bytes, Uint8Array.of(0));
}

guestTest(
  "six devices in one Linux, by its own drivers, before and after a reboot #core:vfio_user_linux",
  async () => {
    const blk = new DiskModel({ capacity: 64 * MIB, serial: "SERVED-0001" });
    const net = new NetModel().meet();
    const scsi = new ScsiModel({ units: [{ target: 0, capacity: 16 * MIB }], lacks: F_T10_PI });
    const balloon = new BalloonModel();
    const console = new ConsoleModel({ ports: { 1: { name: "org.echo", echo: true } } });
    await using served = new Served({
      blk,
      net,
      scsi,
      console,
      balloon,
      rng: new EntropyModel(),
    });
    await using shell = await served.boot({
      modules: [
        ...["virtio_pci", "virtio_blk", "virtio_net", "virtio_scsi", "sd_mod", "virtio_rng"],
        ...["virtio_console", "virtio_balloon", "af_packet"],
      ],
    });

    const written = await useDisk(shell, "/dev/vda");
    assertEquals(await hash(contents(blk, 2 * MIB)), written);
    assertEquals(await shell.run("cat /sys/block/vda/serial"), "SERVED-0001");
    await useDisk(shell, "/dev/sda");
    await shell.run("mke2fs -F /dev/vda >/dev/null 2>&1 && mount -t ext4 /dev/vda /mnt");
    await shell.run("cp /bin/busybox /mnt/file && sync && umount /mnt");

    await shell.run("ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up");
    // On a busy machine an answer may come after ping's end.
    await shell.run(
      "for i in $(seq 5); do ping -c 3 10.0.2.2 | grep '3 packets received' && exit; done; exit 1",
    );
    assertMatch(await shell.run("cat /sys/class/misc/hw_random/rng_current"), /virtio_rng/);
    assertMatch(await shell.run("dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c"), /^64$/);

    assertMatch(await shell.run("cat /sys/class/virtio-ports/*/name"), /org\.echo/);
    assertEquals(
      await shell.run("exec 3<>$(echo /dev/vport*p1); echo hello >&3; head -c 6 <&3"),
      "hello",
    );

    balloon.want(2560);
    assert(await soon(() => balloon.actual === 2560), `${balloon.actual} pages`);
    balloon.want(0);
    assert(await soon(() => balloon.actual === 0), `${balloon.actual} pages`);

    await shell.reboot();
    await shell.run("mount -t ext4 /dev/vda /mnt && cmp /bin/busybox /mnt/file && umount /mnt");
    await useDisk(shell, "/dev/vda");
    assertMatch(await shell.run("cat /proc/interrupts"), /PCI-MSI.*virtio\d-req/);
    await shell.powerOff();
    assertEquals(served.said, []);
  },
);

guestTest(
  "functions that are no VirtIO devices, by the command line: Linux's NVMe driver, and a third party's device by hand #core:vfio_user_pci #nvme:identifiers",
  async () => {
    const folder = Deno.makeTempDirSync({ prefix: "virtio-serve-" });
    const edu = new URL("third_party/edu", import.meta.url).pathname;
    const [deno, run, ...rest] = program("serve", "nvme", "edu", "--plugins", edu);
    const child = start([deno!, run!, `--allow-read=${edu}`, ...rest, "--vfio-user", folder]);
    const output = child.output();
    try {
      const paths = ["nvme", "edu"].map((name) => `${folder}/${name}.sock`);
      assert(await soon(() => paths.every(listening), START), "it does not serve");
      const devices = paths
        .flatMap((path, i) => ["-device", JSON.stringify(device(`function${i}`, path))]);
      // Memory that the kernel leaves alone, for a device without a driver.
      const kernel = `memmap=64K$${SPARE}`;
      await using shell = await Shell.boot({ qemu: qemuProgram(), devices, kernel });
      await useNvme(shell);
      await useEdu(shell);
      await shell.reboot();
      await shell.run(FIND_NVME);
      await shell.run(
        "dd if=/dev/nvme0n1 bs=64k count=32 iflag=direct 2>/dev/null | tr -d '\\0' | grep -q .",
      );
    } finally {
      child.kill("SIGINT");
      const { code, stderr } = await output;
      await Deno.remove(folder, { recursive: true });
      const said = new TextDecoder().decode(stderr);
      assertEquals(code, 130, said);
      // A machine that is reset takes the bus away before it resets the device.
      const wrong = said.split("\n")
        .filter((line) => /^(nvme|edu):/.test(line) && !line.includes("may not master the bus"));
      assertEquals(wrong, []);
    }
  },
);

const FIND_NVME =
  "for i in $(seq 300); do [ -b /dev/nvme0n1 ] && exit; sleep 0.1; done; dmesg | tail; exit 1";
/** A part of the guest's memory, below 2^28: edu reaches no further. */
const SPARE = "0x8000000";

/** Linux's driver has nothing to say against the controller, and its disk holds what is written. */
async function useNvme(shell: Shell): Promise<void> {
  await shell.run(FIND_NVME);
  await useDisk(shell, "/dev/nvme0n1");
  const said = await shell.run("dmesg | grep -i nvme");
  assertEquals(/^.*(bogus|invalid|missing|duplicate|warn).*$/im.exec(said)?.[0], undefined, said);
  const name = await shell.run("cat /sys/class/nvme/nvme0/subsysnqn");
  assertEquals(name.trim(), subsystemName("VIRTIO-DENO-1"));
  const [id] = (await shell.run("cat /sys/block/nvme0n1/wwid")).trim().split("\n");
  assertEquals(id, `eui.${nguid("VIRTIO-DENO-1", 1).toHex()}`);
}

/** An inversion, a factorial, and eight bytes there and back by DMA. */
async function useEdu(shell: Shell): Promise<void> {
  await shell.run([
    "d=$(dirname $(grep -l 0x11e8 /sys/bus/pci/devices/*/device))",
    "a=$(head -n 1 $d/resource | cut -d ' ' -f 1)",
    "printf '\\006\\000' | dd of=$d/config bs=1 seek=4 conv=notrunc 2>/dev/null",
    "echo $a >/tmp/edu",
  ].join("; "));
  const script = [
    "a=$(cat /tmp/edu)",
    "put() { devmem $((a + $1)) 32 $2; }",
    "get() { devmem $((a + $1)) 32; }",
    // It works when it comes to it, and until then says so in bit 0.
    "ended() { for i in $(seq 1000); do [ $(($(get $1) & 1)) = 0 ] && return; done; echo $1; }",
    "put 4 0x12345678; get 4",
    "put 8 10; ended 0x20; get 8",
    `devmem ${SPARE} 32 0xdecaf; devmem $((${SPARE} + 4)) 32 0xc0ffee`,
    `put 0x80 ${SPARE}; put 0x88 0x40000; put 0x90 8; put 0x98 1; ended 0x98`,
    `put 0x80 0x40000; put 0x88 $((${SPARE} + 256)); put 0x90 8; put 0x98 3; ended 0x98; get 0x98`,
    `devmem $((${SPARE} + 256)); devmem $((${SPARE} + 260))`,
  ];
  const words = (await shell.run(script.join("; "))).trim().split(/\s+/).map(Number);
  assertEquals(words, [~0x12345678 >>> 0, 3628800, 2, 0xdecaf, 0xc0ffee]);
}

guestTest(
  "disks of every generation, ring and interrupt in one Linux #core:vfio_user_transports",
  async () => {
    const kinds: Readonly<Record<string, Fittings>> = {
      msix: {},
      pin: { vectors: 0 },
      packed: { with: RING_PACKED },
      packedpin: { with: RING_PACKED, vectors: 0 },
      transitional: { generation: "transitional" },
      legacy: { generation: "legacy" },
      legacypin: { generation: "legacy", vectors: 0 },
      one: { vectors: 1 },
    };
    const disks = Object.fromEntries(
      Object.entries(kinds).map(([serial, fittings]) => [
        serial,
        fitted(new DiskModel({ capacity: 4 * MIB, serial, requestQueues: 2 }), fittings),
      ]),
    );
    await using served = new Served(disks);
    await using shell = await served.boot({ devices: [...served.devices(), "-smp", "2"] });
    for (const name of Object.keys(kinds)) {
      const disk = await shell.run(`grep -lx ${name} /sys/block/vd*/serial | cut -d / -f 4`);
      const written = await useDisk(shell, `/dev/${disk}`);
      assertEquals(await hash(contents(disks[name]!, 2 * MIB)), written, name);
    }
    assertEquals(served.said, []);
  },
);

guestTest(
  "disks are plugged in and out while the guest runs #core:vfio_user_hot_plug",
  async () => {
    // With MSI-X, taking it out ends QEMU 11.1 by an assertion: see docs/findings.md.
    const disk = fitted(new DiskModel({ capacity: 4 * MIB }), { vectors: 0 });
    const other = new DiskModel({ capacity: 4 * MIB, serial: "other" });
    await using served = new Served({ disk, other });
    const port = (n: number) => ["-device", `pcie-root-port,id=port${n},chassis=${n},slot=${n}`];
    await using shell = await served.boot({ devices: [...port(1), ...port(2)] });
    await shell.execute("device_add", device("other", served.socket("other"), { bus: "port2" }));
    for (let round = 1; round <= 3; round++) {
      await shell.execute("device_add", device("disk", served.socket("disk"), { bus: "port1" }));
      await shell.run(
        "for i in $(seq 100); do set -- /dev/vd?; [ $# = 2 ] && exit 0; sleep 0.1; done; exit 1",
      );
      const name = await shell.run(
        "for d in /sys/block/vd?; do grep -q . $d/serial || echo $d; done",
      );
      const path = `/dev/${name.trim().split("/").at(-1)}`;
      const mark = await shell.run(`dd if=${path} bs=512 skip=8 count=1 2>/dev/null | head -c 7`);
      assertEquals(mark.replaceAll("\0", ""), round === 1 ? "" : `round-${round - 1}`);
      await shell.run(
        `printf round-${round} >/tmp/m; dd if=/tmp/m of=${path} bs=512 seek=8 conv=sync oflag=direct`,
      );
      await shell.execute("device_del", { id: "disk" });
      await shell.event("DEVICE_DELETED", round);
    }
    const [left] = (await shell.run("ls /dev | grep vd")).split("\n");
    await useDisk(shell, `/dev/${left}`);
    assertEquals(served.said, []);
  },
);

guestTest("a disk behind an IOMMU of the guest's #core:vfio_user_iommu", async () => {
  const disk = fitted(new DiskModel({ capacity: 8 * MIB }), { with: ACCESS_PLATFORM });
  await using served = new Served({ disk });
  await using shell = await served.boot({
    machine: "q35,kernel-irqchip=split",
    devices: ["-device", "intel-iommu,caching-mode=on", ...served.devices()],
    kernel: "intel_iommu=on iommu.passthrough=0 iommu.strict=1",
  });
  assertMatch(await shell.run("ls /sys/class/iommu"), /dmar0/);
  assertMatch(await shell.run("cat /sys/kernel/iommu_groups/*/type"), /DMA/);
  const written = await useDisk(shell, "/dev/vda");
  assertEquals(await hash(contents(disk, 2 * MIB)), written);
  assertEquals(served.said, []);
});

guestTest("a guest with memory on both sides of 4 GiB #core:vfio_user_large", async () => {
  const disk = new DiskModel({ capacity: 8 * MIB });
  await using served = new Served({ disk });
  await using shell = await served.boot({ memory: 6144 });
  assertMatch(await shell.run("grep -c 'System RAM' /proc/iomem"), /^[3-9]/);
  const written = await useDisk(shell, "/dev/vda");
  assertEquals(await hash(contents(disk, 2 * MIB)), written);
  assertEquals(served.said, []);
});

guestTest(
  "one QEMU after another, and one that is killed at work #core:vfio_user_comes_and_goes",
  async () => {
    const disk = new DiskModel({ capacity: 8 * MIB });
    await using served = new Served({ disk });
    {
      await using shell = await served.boot();
      await useDisk(shell, "/dev/vda");
      await shell.say("dd if=/dev/zero of=/dev/vda bs=64k seek=40 oflag=direct count=10000");
    }
    await using shell = await served.boot();
    await useDisk(shell, "/dev/vda");
    await shell.powerOff();
    assert(served.said.every((line) => line.includes("is gone in the middle")), `${served.said}`);
  },
);

newerQemuTest("SeaBIOS starts a program from a served disk #core:vfio_user_firmware", async () => {
  for (const fittings of [{}, { generation: "legacy" }] as const) {
    const disk = fitted(new DiskModel({ capacity: MIB }), fittings);
    fill(disk, bootSector("STARTED-BY-SEABIOS"));
    await using served = new Served({ disk });
    await using shell = await Shell.start({
      qemu: qemuProgram(),
      instead: [],
      devices: served.devices(),
    });
    await shell.waitFor(/STARTED-BY-SEABIOS/);
    assertEquals(served.said, []);
  }
});

newerQemuTest(
  "UEFI firmware starts a program from a served disk #core:vfio_user_firmware",
  async () => {
    const disk = new DiskModel({ capacity: 8 * MIB });
    fill(disk, efiDisk("STARTED-BY-UEFI", 8 * MIB));
    await using served = new Served({ disk });
    await using shell = await Shell.start({
      qemu: qemuProgram(),
      instead: ["-drive", `if=pflash,format=raw,readonly=on,file=${OVMF}/OVMF_CODE_4M.fd`],
      devices: served.devices(),
    });
    await shell.waitFor(/STARTED-BY-UEFI/, 120_000);
    assertEquals(served.said, []);
  },
  exists(`${OVMF}/OVMF_CODE_4M.fd`) ? undefined : "there is no UEFI firmware (package ovmf)",
);

/** Memory that does not do, as QEMU is told of it, and what is said. */
const MEMORIES: Readonly<Record<string, [readonly string[], RegExp]>> = {
  "no memfd": [
    ["-object", "memory-backend-ram,id=ram,size=256M"],
    /cannot reach the guest's memory: \d+ bytes came without a descriptor.*memory-backend-memfd/,
  ],
  "not shared": [
    ["-object", "memory-backend-memfd,id=ram,size=256M,share=off"],
    /uses another copy of it: share=on is missing/,
  ],
  "can shrink": [
    ["-object", "memory-backend-memfd,id=ram,size=256M,share=on,seal=off"],
    /could shrink under us/,
  ],
  "too much": [
    ["-object", "memory-backend-memfd,id=ram,size=64G,share=on,reserve=off", "-m", "64G"],
    /has 64 GiB, of which 16 can be mapped/,
  ],
};

for (const [name, [memory, wanted]] of Object.entries(MEMORIES)) {
  newerQemuTest(
    `a guest's memory that does not do, ${name}, is told in a sentence #core:vfio_user_memory`,
    async () => {
      await using served = new Served({ disk: new DiskModel({ capacity: MIB }) });
      const devices = served.devices();
      const starting = Shell.start({ qemu: qemuProgram(), backend: memory, instead: [], devices });
      // QEMU may refuse to start, or its firmware find no disk.
      await using _shell = await starting.catch(() => undefined);
      assert(
        await soon(() => served.said.some((line) => wanted.test(line)), 60_000),
        `${served.said}`,
      );
    },
  );
}

guestTest(
  "devices that lie are told to Linux, and others beside them serve #core:vfio_user_lies",
  async () => {
    const lies = {
      "D-05": /leaving for legacy driver/,
      "D-10": /virtio_pci|leaving for legacy driver/,
      "D-19": /features|failed/i,
      "D-33": /bad queue size/,
    } as const;
    const liars = Object.keys(lies).map((id, i) =>
      [`liar${i}`, lying(new EntropyModel(), id as keyof typeof lies)] as const
    );
    const honest = new DiskModel({ capacity: 4 * MIB });
    await using served = new Served({ ...Object.fromEntries(liars), honest });
    const ports = liars.flatMap((_, i) => [
      "-device",
      `pcie-root-port,id=port${i},chassis=${i},slot=${i}`,
    ]);
    await using shell = await served.boot({ devices: [...ports, ...served.devices("honest")] });
    await shell.run("dmesg -c >/dev/null");
    for (const [i, wanted] of Object.values(lies).entries()) {
      await shell.execute(
        "device_add",
        device(`l${i}`, served.socket(`liar${i}`), { bus: `port${i}` }),
      );
      const said = await shell.run(
        `for i in $(seq 200); do dmesg | grep -qiE '${wanted.source}' && break; sleep 0.1; done; dmesg -c`,
      );
      assertMatch(said, wanted);
      await useDisk(shell, "/dev/vda");
    }
  },
);
