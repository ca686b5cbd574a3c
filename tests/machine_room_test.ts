/**
 * Machines with more than there is room for, and with more than one root bus: each device that can work does, and the
 * others say why they cannot.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import "./support/libc.ts";
import { qemuTest } from "./support/machine.ts";
import type { Kernel } from "../mod.ts";
import { openQemuKernel } from "./support/qemu.ts";
import { program, run } from "./support/program.ts";

/** So many root ports in slots from 3 on, with an entropy source behind each. */
function ports(count: number, options: string): string[] {
  return Array.from({ length: count }, (_, i) => {
    const [slot, number] = [3 + Math.floor(i / 7), 1 + i % 7];
    const port = `id=p${i},chassis=${i},slot=${i},multifunction=on`;
    return [
      // Function 0 must be there for the others to be found; it is a port with nothing behind it.
      ...(number === 1
        ? [
          "-device",
          `pcie-root-port,id=f${slot},chassis=${100 + slot},multifunction=on,addr=${slot}.0`,
        ]
        : []),
      ...["-device", `pcie-root-port,${port},addr=${slot}.${number}`],
      ...["-device", `virtio-rng-pci,bus=p${i},${options}`],
    ];
  }).flat();
}

/** Puts all entropy sources to work, one after the other; tells of each its error, or what interrupts it has. */
async function tryAll(kernel: Kernel): Promise<Map<string, string>> {
  const ends = new Map<string, string>();
  for (const { manifest, function: { address } } of kernel.nodes) {
    if (manifest?.class !== "entropy") continue;
    try {
      await using device = await kernel.attach(address);
      assert(device.class === "entropy");
      assertEquals((await device.client.read(100)).length, 100);
      ends.set(address, (await device.describe()).interrupts);
    } catch (error) {
      ends.set(address, (error as Error).message);
    }
  }
  return ends;
}

qemuTest(
  "legacy devices behind bridges work until there are no I/O ports, the others say so #core:io_space",
  async () => {
    const arguments_ = ports(18, "disable-modern=on,disable-legacy=off");
    await using kernel = await openQemuKernel(arguments_, { isolation: "inline" });
    const ends = [...await tryAll(kernel)];
    const failed = ends.filter(([, end]) => end !== "msix");
    // 60 KiB of ports in pieces of 4 KiB, the first of which has those of bus 0.
    assertEquals([ends.length, failed.length], [18, 4]);
    const lacking = kernel.nodes.filter((node) => node.function.noRoom !== undefined);
    assertEquals(failed.map(([address]) => address), lacking.map((node) => node.function.address));
    for (const [, end] of failed) {
      assertMatch(end, /^Cannot reach the legacy registers of the device: no I\/O ports are left/);
    }
  },
);

qemuTest("transitional devices behind bridges need no I/O ports #core:io_space", async () => {
  const arguments_ = ports(18, "disable-modern=off,disable-legacy=off");
  await using kernel = await openQemuKernel(arguments_, { isolation: "inline" });
  assertEquals(new Set((await tryAll(kernel)).values()), new Set(["msix"]));
  await using legacy = await openQemuKernel(arguments_, { isolation: "inline", legacy: true });
  const ends = [...(await tryAll(legacy)).values()];
  assertEquals(ends.filter((end) => end.includes("no I/O ports are left")).length, 4);
});

for (const size of ["512M", "8T", "64T"]) {
  qemuTest(`a 64-bit BAR of ${size} beside a device and before it #core:io_space`, async () => {
    const large = ["-device", `pci-testdev,membar=${size}`];
    const source = ["-device", "virtio-rng-pci,disable-legacy=on"];
    await using kernel = await openQemuKernel([...large, ...source, ...large, ...source], {
      isolation: "inline",
    });
    assertEquals([...(await tryAll(kernel)).values()], ["msix", "msix"]);
    const lacking = kernel.nodes.filter((node) => node.function.noRoom !== undefined);
    assertEquals(lacking.length, size === "64T" ? 2 : 0);
    for (const { function: { noRoom } } of lacking) {
      assertMatch(noRoom!, /no memory addresses are left for its BAR 2 of 70368744177664 bytes/);
    }
  });
}

qemuTest("ls and show say of a function what there is no room for #core:io_space", async () => {
  const machine = ["--machine", "qemu", "--", "-device", "pci-testdev,membar=64T,addr=9"];
  const ls = await run(...program("ls", "-v", ...machine));
  assertMatch(ls.text, /00:09\.0 [^]*NO ROOM: no memory addresses are left for its BAR 2/);
  const show = await run(...program("show", "00:09.0", ...machine));
  assertMatch(show.text, /NO ROOM +no memory addresses are left for its BAR 2/);
});

for (
  const [machine, expander, behind] of [
    ["q35", "pxb-pcie", ["pcie-root-port,id=r,bus=p,chassis=9,slot=9", "virtio-rng-pci,bus=r"]],
    ["pc", "pxb", ["virtio-rng-pci,bus=p,addr=4"]],
  ] as const
) {
  const root = machine === "q35" ? "pcie.0" : "pci.0";
  for (const bus of [2, 240]) {
    for (const interrupts of ["msix", "intx"] as const) {
      qemuTest(
        `functions behind ${expander} with bus ${bus} work (${interrupts}) #core:pxb`,
        async () => {
          const devices = [
            `${expander},id=p,bus_nr=${bus},addr=8`,
            ...behind,
            `virtio-rng-pci,bus=${root}`,
          ];
          await using kernel = await openQemuKernel(
            devices.flatMap((device) => ["-device", device]),
            { isolation: "inline", interrupts },
            machine,
          );
          const ends = await tryAll(kernel);
          const hex = (bus + 1).toString(16).padStart(2, "0");
          const far = [...ends.keys()].filter((address) => address.startsWith(`0000:${hex}:`));
          assertEquals([ends.size, far.length], [2, 1]);
          // Where the pins of a PCIe expander lead to, QEMU does not say: such a device is polled.
          const wanted = interrupts === "intx" && machine === "q35" ? "polling" : interrupts;
          assertEquals(ends.get(far[0]!), wanted);
        },
      );
    }
  }
}

qemuTest(
  "memory disks and the carrier of interrupts are on bus 0, whatever buses there are #core:pxb",
  async () => {
    await using kernel = await openQemuKernel(["-device", "pxb-pcie,id=p,bus_nr=9"], {
      qemu: {
        arguments: ["-device", "pxb-pcie,id=p,bus_nr=9"],
        disks: [2 ** 20],
        units: [2 ** 20],
      },
      isolation: "inline",
    });
    const { client } = await kernel.attachFirst("block");
    await client.write(0, new Uint8Array(512).fill(7));
    assertEquals((await client.read(0, 512))[511], 7);
    await kernel.attachFirst("scsi");
  },
);

qemuTest(
  "a bridge for which no bus number is left is listed with its reason, the machine opens #core:io_space",
  async () => {
    const ports = [1, 2, 3].flatMap((i) => [
      ...["-device", `pcie-root-port,id=b${i},bus=pcie.0,chassis=${i},slot=${i}`],
      ...["-device", `virtio-rng-pci,bus=b${i}`],
    ]);
    await using kernel = await openQemuKernel([
      ...["-device", "pxb-pcie,id=p,bus_nr=3"],
      ...[
        "-device",
        "pcie-root-port,id=r,bus=p,chassis=9,slot=9",
        "-device",
        "virtio-rng-pci,bus=r",
      ],
      ...ports,
    ], { isolation: "inline" });
    assertEquals([...(await tryAll(kernel)).values()], ["msix", "msix", "msix"]);
    const unseen = kernel.nodes.filter((node) => node.function.noRoom?.includes("bus number"));
    assertEquals(unseen.length, 1);
    await assertRejects(() => kernel.attach("0000:05:00.0"), RangeError, "no such function");
  },
);
