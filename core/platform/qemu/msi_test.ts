/** Interrupts of functions that have MSI and no MSI-X: QEMU's educational device. */

import { assert, assertEquals } from "@std/assert";
import { clear } from "../../linux/fd.ts";
import { findMsi, isMsiEnabled } from "../../pci/msi.ts";
import type { OpenFunction, PciFunction } from "../../pci/function.ts";
import { qemuTest, signalled } from "./by_hand_test.ts";
import { openQemu, type QemuPlatform } from "./mod.ts";

/** Registers of the device (QEMU, docs/specs/edu.rst). */
const INTERRUPT_STATUS = 0x24, RAISE = 0x60, ACKNOWLEDGE = 0x64;

const edus = (qemu: QemuPlatform): readonly PciFunction[] =>
  qemu.functions.filter(({ config }) => config.read32(0) === 0x11e8_1234);

/** Has the device interrupt, and answers it. */
function interrupt(edu: OpenFunction): void {
  const registers = edu.bar(0)!;
  registers.write32(RAISE, 1);
  registers.write32(ACKNOWLEDGE, registers.read32(INTERRUPT_STATUS));
}

for (const machine of ["q35", "pc"] as const) {
  qemuTest(
    `each function with MSI has an interrupt of its own (${machine}) #core:msi`,
    async () => {
      await using qemu = await openQemu({
        machine,
        arguments: ["-device", "edu", "-device", "edu", "-device", "virtio-rng-pci"],
      });
      const [one, other] = edus(qemu);
      using first = one!.open();
      using second = other!.open();
      assertEquals(first.vectors(4), []);
      const fds = [first.msi!()!, second.msi!()!];
      const heard = () => fds.map((fd) => signalled(fd, 1000));
      interrupt(first);
      assert(signalled(fds[0]!, 1000), "there was no interrupt");
      assert(!signalled(fds[1]!, 0), "it was another function's");
      interrupt(second);
      assertEquals(heard(), [true, true]);

      // A reset of the machine takes it, and restoring brings it back.
      fds.forEach(clear);
      const msi = findMsi(one!.config)!;
      qemu.qmp.execute("system_reset");
      assert(qemu.qmp.event("RESET", 5000), "QEMU was not reset");
      assert(!isMsiEnabled(one!.config, msi));
      for (const edu of [first, second]) {
        edu.restore!();
        interrupt(edu);
      }
      assertEquals(heard(), [true, true]);
    },
  );
}

qemuTest(
  "an MSI that was given back is for the next, and silent until then #core:msi",
  async () => {
    await using qemu = await openQemu({ arguments: ["-device", "edu", "-device", "edu"] });
    const [one, other] = edus(qemu);
    using kept = other!.open();
    const silent = kept.msi!()!;
    for (let round = 0; round < 3; round++) {
      using edu = one!.open();
      const fd = edu.msi!()!;
      assert(!signalled(fd, 0), "an interrupt was left over");
      interrupt(edu);
      assert(signalled(fd, 1000), "there was no interrupt");
      assert(!signalled(silent, 0));
    }
    assert(!isMsiEnabled(one!.config, findMsi(one!.config)!));
  },
);
