/** Functions that lose their configuration space to a reset, and get it back. */

import { assert, assertEquals } from "@std/assert";
import { clear } from "../../linux/fd.ts";
import { InterruptLoop } from "../../irq/interrupt_loop.ts";
import { sizeBars } from "../../pci/bars.ts";
import { capabilities } from "../../pci/capabilities.ts";
import { BAR0, COMMAND } from "../../pci/config_space.ts";
import type { Registers } from "../../pci/registers.ts";
import { legacyTransport } from "../../virtio/legacy.ts";
import { modernTransport } from "../../virtio/modern.ts";
import { ByHand, findAll, qemuTest, signalled } from "./by_hand_test.ts";
import { openQemu, type QemuPlatform } from "./mod.ts";

const DISK = ["-blockdev", "driver=null-co,size=1073741824,read-zeroes=on,node-name=n0"];
const PORT = ["-device", "pcie-root-port,id=root,chassis=1"];

function resetMachine(qemu: QemuPlatform): void {
  qemu.qmp.execute("system_reset");
  assert(qemu.qmp.event("RESET", 5000), "QEMU was not reset");
}

const header = (config: Registers) =>
  Array.from({ length: 6 }, (_, i) => config.read32(BAR0 + 4 * i));

for (
  const [place, machine, before, options] of [
    ["on the root bus", "q35", [], "disable-legacy=on"],
    ["on the root bus", "pc", [], "disable-legacy=on"],
    ["legacy, on the root bus", "pc", [], "disable-legacy=off,disable-modern=on"],
    ["behind a root port", "q35", PORT, "bus=root"],
    [
      "behind two bridges",
      "q35",
      [
        ...["-device", "pcie-pci-bridge,id=outer"],
        ...["-device", "pci-bridge,id=inner,bus=outer,addr=3,chassis_nr=2"],
      ],
      "bus=inner,addr=7,disable-legacy=on",
    ],
  ] as const
) {
  for (const how of ["MSI-X", "interrupt pin"]) {
    qemuTest(
      `a disk works after a reset of the machine (${machine}, ${place}, ${how})`,
      async () => {
        await using loop = new InterruptLoop();
        await using qemu = await openQemu({
          machine,
          arguments: [
            ...before,
            ...[...DISK, "-device", `virtio-blk-pci,drive=n0,${options}`],
            ...["-device", "virtio-rng-pci"],
          ],
        }, loop);
        using blk = [...findAll(qemu, 0x1042), ...findAll(qemu, 0x1001)][0]!.open();
        const fd = how === "MSI-X" ? blk.vectors(1)[0]! : blk.intx!()!;
        const legacy = options.includes("disable-modern");
        const transport = (legacy ? legacyTransport : modernTransport)(blk);
        const hand = new ByHand(blk, transport);
        const use = async () => {
          await hand.start(how === "MSI-X" ? [0] : []);
          for (let i = 0; i < 2; i++) {
            hand.askSector();
            for (let turns = 0; !signalled(fd, 0); turns++) {
              assert(turns < 6000, "no interrupt");
              loop.runOnce(10);
            }
            clear(fd);
            hand.checkSector();
            if (how !== "MSI-X") {
              assertEquals(transport.interruptStatus(), 1);
              blk.unmaskIntx!();
            }
          }
        };
        await use();
        const bars = header(blk.config);
        const command = blk.config.read16(COMMAND);
        for (let round = 0; round < 2; round++) {
          hand.askSector(); // under way
          resetMachine(qemu);
          blk.restore!();
          assertEquals(header(blk.config), bars);
          assertEquals(blk.config.read16(COMMAND), command);
          clear(fd);
          await use();
        }
        // A function that is taken afterwards is reachable as well, without having been asked for.
        resetMachine(qemu);
        using rng = [...findAll(qemu, 0x1044), ...findAll(qemu, 0x1005)][0]!.open();
        const random = await new ByHand(rng, modernTransport(rng)).start();
        random.askRandom();
        random.checkRandom();
        blk.restore!();
        await use();
      },
    );
  }
}

qemuTest(
  "a disk works after a reset of its function, and its neighbour does not notice",
  async () => {
    await using qemu = await openQemu({
      arguments: [
        ...PORT,
        ...[...DISK, "-device", "virtio-blk-pci,drive=n0,bus=root"],
        ...["-device", "virtio-rng-pci,disable-legacy=on"],
      ],
    });
    using blk = findAll(qemu, 0x1042)[0]!.open();
    using rng = findAll(qemu, 0x1044)[0]!.open();
    const random = await new ByHand(rng, modernTransport(rng)).start();
    const [fd] = blk.vectors(1);
    const hand = await new ByHand(blk, modernTransport(blk)).start([0]);
    hand.askSector();
    assert(signalled(fd!, 5000));
    hand.checkSector();
    clear(fd!);

    const express = capabilities(blk.config).find(({ id }) => id === 0x10)!;
    const bars = header(blk.config);
    blk.config.write16(express.offset + 8, 1 << 15); // initiate function-level reset
    assertEquals(blk.config.read16(COMMAND), 0);
    blk.restore!();
    assertEquals(header(blk.config), bars);
    await hand.start([0]);
    hand.askSector();
    assert(signalled(fd!, 5000));
    hand.checkSector();
    random.askRandom();
    random.checkRandom();
  },
);

qemuTest("restore() without a reset changes nothing", async () => {
  await using qemu = await openQemu({
    arguments: [...PORT, ...DISK, "-device", "virtio-blk-pci,drive=n0,bus=root"],
  });
  using blk = findAll(qemu, 0x1042)[0]!.open();
  const [fd] = blk.vectors(1);
  const hand = await new ByHand(blk, modernTransport(blk)).start([0]);
  const before = Array.from({ length: 64 }, (_, i) => blk.config.read32(4 * i));
  hand.askSector();
  blk.restore!();
  assert(signalled(fd!, 5000));
  hand.checkSector();
  assertEquals(Array.from({ length: 64 }, (_, i) => blk.config.read32(4 * i)), before);
  assertEquals(sizeBars(blk.config).map(({ index }) => index), [1, 4]);
});
