/**
 * Writes to a port of a console, by promise.
 *
 * @module
 */

import type { Isolation } from "../../mod.ts";
import { concurrently } from "../concurrently.ts";
import { contend } from "../contend.ts";
import { applicationOf, deno, pinned } from "../programs.ts";
import { attachPinned, openPinned } from "../rig.ts";
import type { Suite } from "../suite.ts";

const ROUND_MS = 200;
const PORT = "bench";
/** How long the port may take to be announced, in milliseconds. */
const PATIENCE = 5000;
const QEMU = [
  ...["-chardev", "file,id=bench,path=/dev/null", "-device", "virtio-serial-pci"],
  ...["-device", `virtserialport,chardev=bench,name=${PORT}`],
];

/** Writes of a line and of a page. */
export const consoles: Suite = {
  name: "console",
  what: "writes to a port of QEMU's console whose other side takes all, by promise",
  async *subjects() {
    for (const bytes of [64, 4096]) {
      yield {
        subject: `QEMU, writes of ${bytes} bytes`,
        axis: "depth",
        points: [1, 32],
        unit: "thousand writes a second",
        better: "more",
        contenders: (["inline", "process"] as const).map((isolation) => ({
          name: isolation,
          command: pinned(
            applicationOf(isolation),
            deno([import.meta.filename!, `${bytes}`, isolation]),
          ),
        })),
      };
    }
  },
};

if (import.meta.main) {
  const [bytes, isolation] = Deno.args as [string, Isolation];
  const qemu = { arguments: QEMU };
  await using kernel = await openPinned({ machine: "qemu", isolation, qemu });
  const { client } = await attachPinned(kernel, "console");
  const port = await client.find(PORT, PATIENCE);
  if (port === undefined) throw new Error(`no port ${PORT}`);
  await port.open();
  const text = new Uint8Array(Number(bytes)).fill(0x2e);
  await contend((depth) => concurrently(depth, ROUND_MS, () => port.write(text)));
}
