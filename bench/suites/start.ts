/**
 * How long it takes from nothing to the first answer of a device.
 *
 * @module
 */

import type { Isolation } from "../../mod.ts";
import { contend } from "../contend.ts";
import { MACHINES } from "./blk.ts";
import { applicationOf, deno, DRIVER, nullDisk, pinned } from "../programs.ts";
import { openPinned } from "../rig.ts";
import type { Suite } from "../suite.ts";

const BYTES = 4096;
/** The kinds of machines of `blk` whose disk is taken. */
const KINDS = ["simulated, split ring", "vhost-user", "QEMU, split ring"];
const PROGRAM = new URL("../../main.ts", import.meta.url).pathname;

/** Of a driver on machines of each kind, and of the whole program. */
export const start: Suite = {
  name: "start",
  what: "from the start of a driver, and of the program, to the end of the first request",
  async *subjects(folder) {
    const shared = { axis: "requests", points: [1], unit: "ms", better: "less" } as const;
    for (const kind of KINDS) {
      yield {
        ...shared,
        subject: kind,
        contenders: (["inline", "process"] as const).map((isolation) => ({
          name: isolation,
          command: pinned(
            applicationOf(isolation),
            deno([import.meta.filename!, kind, isolation, `${folder}/start-${isolation}.sock`]),
          ),
        })),
      };
    }
    yield {
      ...shared,
      subject: "the whole program, simulated",
      contenders: [
        { name: "process", command: pinned(DRIVER, deno([import.meta.filename!, "program"])) },
      ],
    };
  },
};

/** The whole program: one random byte. */
async function program(): Promise<void> {
  const args = ["run", "--no-prompt", "--allow-ffi", PROGRAM, "random", "1"];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args, "--machine", "simulated"],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

if (import.meta.main) {
  const [kind, isolation, socket] = Deno.args as [string, Isolation, string];
  await using stack = new AsyncDisposableStack();
  let once = program;
  if (kind !== "program") {
    if (kind === "vhost-user") stack.use(await nullDisk(socket));
    const kernel = stack.use(await openPinned({ ...MACHINES[kind]!(socket), isolation }));
    once = async () => {
      await using device = await kernel.attachFirst("block");
      await device.client.read(0, BYTES);
      took = performance.now() - begin;
    };
  }
  let [begin, took] = [0, 0];
  await contend(async () => {
    begin = performance.now();
    took = 0;
    await once();
    // A driver is stopped afterwards.
    return took || performance.now() - begin;
  });
}
