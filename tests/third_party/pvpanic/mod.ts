/**
 * The driver of pvpanic-pci: one register of a byte. What is read are the events that the device knows, and what is
 * written happens.
 *
 * @module
 */

import { type DefinedPciPlugin, definePciPlugin, Status, Word } from "@virtio/deno/plugin";
import { WHICH } from "./protocol.ts";

const pvpanic: DefinedPciPlugin = definePciPlugin({
  plan: () => ({ lanes: { requests: { slots: 2, slotBytes: 4 } } }),

  start({ registers: { events }, lanes: { requests } }) {
    const known = events!.read8(0);
    if (known === 0xff) throw new Error("The device answers all ones: it is gone");

    function tell(slot: number): boolean {
      const event = requests.word(slot, Word.operation);
      if (event === WHICH) requests.setWord(slot, Word.first, known);
      else if ((event & ~known) === 0) events!.write8(0, event);
      else {
        requests.complete(slot, Status.unsupported, 0);
        return true;
      }
      requests.complete(slot, Status.ok, 0);
      return true;
    }

    return { rung: () => void requests.take(tell) };
  },
});

export default pvpanic;
