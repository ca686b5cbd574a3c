/**
 * The driver of QEMU's educational device: one request at a time, which ends with an interrupt.
 *
 * @module
 */

import { type DefinedPciPlugin, definePciPlugin, Status, Word } from "@virtio/deno/plugin";
import { EDU_BYTES, EduOperation } from "./protocol.ts";
import { BUFFER, DmaCommand, EDU, EduStatus, Register } from "./registers.ts";

const edu: DefinedPciPlugin = definePciPlugin({
  plan: () => ({ lanes: { requests: { slots: 8, slotBytes: EDU_BYTES } } }),

  start({ registers, lanes: { requests }, address }) {
    const control = registers.control!;
    if ((control.read32(Register.identity) & 0xff) !== EDU) throw new Error("This is no edu");
    // A driver before this one may have left it at work: what that asked for must not pass for what is asked now.
    control.write32(Register.status, 0);
    while (control.read32(Register.status) & EduStatus.computing);
    while (control.read32(Register.command) & DmaCommand.start);
    control.write32(Register.acknowledge, control.read32(Register.interruptStatus));
    let current = -1;

    function begin(slot: number): boolean {
      if (current >= 0) return false;
      current = slot;
      const operation = requests.word(slot, Word.operation);
      if (operation === EduOperation.factorial) {
        control.write32(Register.status, EduStatus.interrupt);
        control.write32(Register.factorial, requests.word(slot, Word.first));
        return true;
      }
      const load = operation === EduOperation.load;
      const memory = address(requests.offset(slot));
      control.write32(Register.source, load ? BUFFER.address : memory);
      control.write32(Register.destination, load ? memory : BUFFER.address);
      control.write32(Register.count, Math.min(requests.word(slot, Word.length), EDU_BYTES));
      const direction = load ? DmaCommand.toMemory : 0;
      control.write32(Register.command, DmaCommand.start | DmaCommand.interrupt | direction);
      return true;
    }

    return {
      rung() {
        const causes = control.read32(Register.interruptStatus);
        if (causes === 0xffffffff) throw new Error("The device answers all ones: it is gone");
        if (causes !== 0) control.write32(Register.acknowledge, causes);
        if (causes !== 0 && current >= 0) {
          requests.setWord(current, Word.first, control.read32(Register.factorial));
          requests.complete(current, Status.ok, requests.word(current, Word.length));
          current = -1;
        }
        requests.take(begin);
      },
    };
  },
});

export default edu;
