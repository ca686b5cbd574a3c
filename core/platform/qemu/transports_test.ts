/** Registers of QEMU's devices in all the forms that it gives them. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { clear } from "../../linux/fd.ts";
import { isIoBar } from "../../pci/bars.ts";
import { findStructures } from "../../virtio/capabilities.ts";
import { DeviceFault } from "../../pci/device_fault.ts";
import { legacyTransport } from "../../virtio/legacy.ts";
import { modernTransport } from "../../virtio/modern.ts";
import { pciCfgWindow } from "../../virtio/pci_cfg_window.ts";
import { sharedMemoryRegions } from "../../virtio/shared_memory.ts";
import { vendorCapabilities } from "../../virtio/vendor_capabilities.ts";
import { NO_VECTOR } from "../../virtio/transport.ts";
import { ByHand, findAll, qemuTest, signalled } from "./by_hand_test.ts";
import { openQemu } from "./mod.ts";
import { written } from "../written_test.ts";

const DISK = ["-blockdev", "driver=null-co,size=1073741824,read-zeroes=on,node-name=n0"];
const LEGACY = "disable-legacy=off,disable-modern=on";
const BOTH = "disable-legacy=off,disable-modern=off";
const MODERN = "disable-legacy=on,disable-modern=off";
const transports = { legacy: legacyTransport, modern: modernTransport };

for (const machine of ["q35", "pc"] as const) {
  for (const [mode, kind] of [[LEGACY, "legacy"], [BOTH, "legacy"], [BOTH, "modern"]] as const) {
    for (const interrupts of [false, true]) {
      const how = `${machine}, ${mode}, ${interrupts ? "MSI-X" : "polling"}`;
      qemuTest(`blk and rng work by their ${kind} registers (${how})`, async () => {
        await using qemu = await openQemu({
          machine,
          arguments: [
            ...[...DISK, "-device", `virtio-blk-pci,drive=n0,${mode}`],
            ...["-device", `virtio-rng-pci,${mode}`],
          ],
        });
        using blk = findAll(qemu, 0x1001)[0]!.open();
        using rng = findAll(qemu, 0x1005)[0]!.open();
        assert(isIoBar(blk.config, 0));
        for (const device of [blk, rng]) {
          const [config, queue] = interrupts ? device.vectors(2) : [];
          const transport = transports[kind](device);
          assertEquals(transport.queues, 1);
          const hand = await new ByHand(device, transport).start(
            interrupts ? [1] : [],
            interrupts ? 0 : NO_VECTOR,
          );
          // Twice, since all is reset in between.
          for (let round = 0; round < 2; round++) {
            if (device === blk) hand.askSector();
            else hand.askRandom();
            if (queue !== undefined) {
              assert(signalled(queue, 5000), "no interrupt");
              clear(queue);
              assert(!signalled(config!, 0));
            }
            if (device === blk) hand.checkSector();
            else hand.checkRandom();
            if (round === 0) {
              await hand.start(interrupts ? [1] : [], interrupts ? 0 : NO_VECTOR);
            }
          }
          if (device === blk) {
            const capacity = new DataView(transport.config([8]).buffer).getBigUint64(0, true);
            assertEquals(capacity, 2n ** 30n / 512n);
          }
          await transport.reset();
        }
      });
    }
  }
}

qemuTest("legacyTransport() refuses a device that has modern registers only", async () => {
  await using qemu = await openQemu({ arguments: ["-device", `virtio-rng-pci,${MODERN}`] });
  using rng = findAll(qemu, 0x1044)[0]!.open();
  const error = assertThrows(() => legacyTransport(rng), DeviceFault, "BAR 0");
  assertEquals(error.rule, "D-06");
});

qemuTest("legacy: as many queues are found as the device has", async () => {
  await using qemu = await openQemu({
    arguments: [
      ...[...DISK, "-device", `virtio-blk-pci,drive=n0,num-queues=4,queue-size=512,${LEGACY}`],
      ...["-device", `virtio-serial-pci,max_ports=31,${LEGACY}`],
      ...["-device", `virtio-balloon-pci,${LEGACY}`],
    ],
  });
  for (const [id, queues, size] of [[0x1001, 4, 512], [0x1003, 64, 128], [0x1002, 3, 128]]) {
    using device = findAll(qemu, id!)[0]!.open();
    const transport = legacyTransport(device);
    assertEquals([transport.queues, transport.queueMaximum(1)], [queues, size], id!.toString(16));
  }
});

/** Arguments that QEMU takes for its devices; each device must be found and answer. */
const VARIETY: readonly {
  readonly options: string;
  readonly before?: readonly string[];
  readonly machine?: "q35" | "pc";
  readonly address?: string;
}[] = [
  { options: MODERN },
  { options: BOTH },
  { options: `${MODERN},page-per-vq=on` },
  { options: `${MODERN},modern-pio-notify=on` },
  { options: `${MODERN},iommu_platform=on` },
  { options: `${MODERN},ats=on` },
  { options: `${MODERN},vectors=0` },
  { options: `${MODERN},addr=1d.0`, address: "0000:00:1d.0" },
  { options: `${MODERN},addr=0a.5,multifunction=on`, address: "0000:00:0a.5", before: ["0a.0"] },
  { options: "bus=root", before: ["pcie-root-port,id=root,chassis=1"] },
  { options: `${BOTH},bus=root`, before: ["pcie-root-port,id=root,chassis=1"] },
  {
    options: `${BOTH},bus=inner,addr=7`,
    before: ["pcie-pci-bridge,id=outer", "pci-bridge,id=inner,bus=outer,addr=3,chassis_nr=2"],
  },
  { options: `${BOTH},bus=outer`, before: ["pci-bridge,id=outer,chassis_nr=1"], machine: "pc" },
  { options: MODERN, before: Array(12).fill(`virtio-rng-pci,${BOTH}`) },
];

for (const { options, before = [], machine = "q35", address } of VARIETY) {
  const name = [...before.slice(0, 2), options].join(" ");
  qemuTest(`a disk answers (${machine}: ${name})`, async () => {
    await using qemu = await openQemu({
      machine,
      arguments: [
        ...before.flatMap((each) => [
          "-device",
          each === "0a.0" ? "virtio-rng-pci,addr=0a.0,multifunction=on" : each,
        ]),
        ...[...DISK, "-device", `virtio-blk-pci,drive=n0,num-queues=2,${options}`],
      ],
    });
    const found = [...findAll(qemu, 0x1042), ...findAll(qemu, 0x1001)][0]!;
    if (address) assertEquals(found.address, address);
    using blk = found.open();
    // A root port of QEMU passes no ports on for a device behind it, unless there are any to pass on.
    const kinds = isIoBar(blk.config, 0) ? ["modern", "legacy"] as const : ["modern"] as const;
    const vectors = blk.vectors(3).length;
    assertEquals(vectors, options.includes("vectors=0") ? 0 : 3);
    for (const kind of kinds) {
      const transport = transports[kind](blk);
      const hand = await new ByHand(blk, transport).start(vectors > 0 ? [1, 2] : []);
      for (const queue of [0, 1]) {
        hand.askSector(queue);
        hand.checkSector(queue);
      }
      await transport.reset();
    }
  });
}

qemuTest("a notification capability that names an I/O BAR is passed over (D-06)", async () => {
  await using qemu = await openQemu({
    arguments: ["-device", `virtio-rng-pci,${MODERN},modern-pio-notify=on`],
  });
  using rng = findAll(qemu, 0x1044)[0]!.open();
  assert(isIoBar(rng.config, 2));
  assertEquals(rng.bar(2)?.size, 4);
  const { notify } = findStructures(rng.config, (bar) => rng.bar(bar)?.size);
  assertEquals(notify.bar, 4);
  // Its port is a doorbell like any other.
  const { message } = written(rng.doorbell(2, 0, 0, 2));
  assertEquals(/^outw 0x[1-9a-f]\w{3} 0x0\n$/.test(new TextDecoder().decode(message)), true);
});

qemuTest("pciCfgWindow() shows what is behind the BAR", async () => {
  await using qemu = await openQemu({
    arguments: [...DISK, "-device", `virtio-blk-pci,drive=n0,num-queues=3,${MODERN}`],
  });
  using blk = findAll(qemu, 0x1042)[0]!.open();
  const { common, device } = findStructures(blk.config, (bar) => blk.bar(bar)?.size);
  const bar = blk.bar(4)!;
  for (const structure of [common, device!]) {
    const window = pciCfgWindow(blk.config, structure)!;
    const direct = (offset: number) => structure.offset + offset;
    const fields = structure === common ? 0x38 : 24; // behind these QEMU has none
    for (let at = 0; at < fields; at += 4) {
      assertEquals(window.read32(at), bar.read32(direct(at)), `at 0x${at.toString(16)}`);
    }
    for (let at = 0; at < fields; at += 2) {
      assertEquals(window.read16(at), bar.read16(direct(at)));
    }
    for (let at = 0; at < fields; at++) assertEquals(window.read8(at), bar.read8(direct(at)));
  }
  const window = pciCfgWindow(blk.config, common)!;
  assertEquals(window.read16(0x12), 3);
  window.write8(0x14, 1);
  window.write16(0x16, 2); // queue_select
  window.write32(0x00, 1); // device_feature_select
  assertEquals([bar.read8(0x14), bar.read16(0x16), bar.read32(0x00)], [1, 2, 1]);
  assertEquals(bar.read32(0x04) & 1, 1, "VERSION_1");
});

qemuTest("QEMU's own devices have neither shared memory nor vendor data", async () => {
  await using qemu = await openQemu({ arguments: ["-device", `virtio-rng-pci,${MODERN}`] });
  using rng = findAll(qemu, 0x1044)[0]!.open();
  assertEquals(sharedMemoryRegions(rng.config, (bar) => rng.bar(bar)?.size), []);
  assertEquals(vendorCapabilities(rng.config), []);
});

for (const vectors of [1, 2, 5]) {
  qemuTest(`four queues work with ${vectors} MSI-X vectors`, async () => {
    await using qemu = await openQemu({
      arguments: [
        ...DISK,
        ...["-device", `virtio-blk-pci,drive=n0,num-queues=4,vectors=${vectors},${MODERN}`],
      ],
    });
    using blk = findAll(qemu, 0x1042)[0]!.open();
    const fds = blk.vectors(5);
    assertEquals(fds.length, vectors);
    const transport = modernTransport(blk);
    // The last vectors are for the queues, the first is for the configuration if there is one to spare.
    const vector = (queue: number) => vectors === 1 ? 0 : 1 + queue % (vectors - 1);
    const hand = await new ByHand(blk, transport).start([0, 1, 2, 3].map(vector));
    for (const queue of [0, 3, 1, 2, 0]) {
      hand.askSector(queue);
      assert(signalled(fds[vector(queue)]!, 5000), "no interrupt");
      assertEquals(fds.map((fd) => clear(fd)).filter((was) => was), [true]);
      hand.checkSector(queue);
    }
    await transport.reset();
  });
}
