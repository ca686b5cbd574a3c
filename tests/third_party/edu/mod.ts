/**
 * The driver of QEMU's educational device (QEMU, docs/specs/edu.rst): one request at a time, which ends with an interrupt.
 *
 * @module
 */

import { type DefinedPciPlugin, definePciPlugin, Status, Word } from "@virtio/deno/plugin";
import { EDU_BYTES, EduOperation } from "./protocol.ts";

const Register = {
  identity: 0x00,
  factorial: 0x08,
  status: 0x20,
  interruptStatus: 0x24,
  acknowledge: 0x64,
  source: 0x80,
  destination: 0x88,
  count: 0x90,
  command: 0x98,
} as const;
const COMPUTING = 0x01;
const INTERRUPT_AFTER = 0x80;
const Command = { start: 1, toMemory: 2, interrupt: 4 } as const;
/** Where the device's DMA finds its own buffer. */
const BUFFER = 0x40000;

const edu: DefinedPciPlugin = definePciPlugin({
  plan: () => ({ lanes: { requests: { slots: 8, slotBytes: EDU_BYTES } } }),

  start({ registers, lanes: { requests }, address }) {
    const control = registers.control!;
    if ((control.read32(Register.identity) & 0xff) !== 0xed) throw new Error("This is no edu");
    // A driver before this one may have left it at work: what that asked for must not pass for what is asked now.
    control.write32(Register.status, 0);
    while (control.read32(Register.status) & COMPUTING);
    while (control.read32(Register.command) & Command.start);
    control.write32(Register.acknowledge, control.read32(Register.interruptStatus));
    let current = -1;

    function begin(slot: number): boolean {
      if (current >= 0) return false;
      current = slot;
      const operation = requests.word(slot, Word.operation);
      const memory = address(requests.offset(slot));
      if (operation === EduOperation.factorial) {
        control.write32(Register.status, INTERRUPT_AFTER);
        control.write32(Register.factorial, requests.word(slot, Word.first));
      } else {
        const load = operation === EduOperation.load;
        control.write32(Register.source, load ? BUFFER : memory);
        control.write32(Register.destination, load ? memory : BUFFER);
        control.write32(Register.count, Math.min(requests.word(slot, Word.length), EDU_BYTES));
        const direction = load ? Command.toMemory : 0;
        control.write32(Register.command, Command.start | Command.interrupt | direction);
      }
      return true;
    }

    return {
      rung() {
        const causes = control.read32(Register.interruptStatus);
        if (causes !== 0) {
          control.write32(Register.acknowledge, causes);
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
