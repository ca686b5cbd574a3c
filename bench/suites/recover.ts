/**
 * How long clients wait when what serves them is killed: from the signal to the end of what was in flight and of one more.
 *
 * @module
 */

import { contend } from "../contend.ts";
import { APPLICATION, deno, nullDisk, pinned } from "../programs.ts";
import { attachPinned, openPinned } from "../rig.ts";
import type { Suite } from "../suite.ts";
import { MACHINES } from "./blk.ts";

const BYTES = 4096;

/** What is killed. */
const VICTIMS = ["driver", "back end"] as const;
type Victim = typeof VICTIMS[number];
/** The kinds of machines of `blk` whose disk is taken, and who can be killed there. */
const KINDS: Readonly<Record<string, readonly Victim[]>> = {
  "simulated, split ring": ["driver"],
  "QEMU, split ring": ["driver"],
  "vhost-user": ["driver", "back end"],
};

/** Of drivers on machines of each kind, and of a back end that starts anew at once. */
export const recover: Suite = {
  name: "recover",
  what: "from the kill of a driver, or of a vhost-user back end, to the end of what was in flight",
  async *subjects(folder) {
    for (const [kind, victims] of Object.entries(KINDS)) {
      for (const victim of victims) {
        yield {
          subject: `${kind}: ${victim} killed`,
          axis: "in flight",
          points: [1, 32],
          unit: "ms",
          better: "less",
          contenders: [{
            name: "process",
            command: pinned(
              APPLICATION,
              deno([import.meta.filename!, kind, victim, `${folder}/recover-${victim}.sock`]),
            ),
          }],
        };
      }
    }
  },
};

if (import.meta.main) {
  const [kind, victim, socket] = Deno.args as [string, Victim, string];
  await using stack = new AsyncDisposableStack();
  let backEnd = kind === "vhost-user" ? await nullDisk(socket) : undefined;
  stack.defer(() => backEnd?.[Symbol.asyncDispose]());
  const kernel = stack.use(
    await openPinned({ ...MACHINES[kind]!(socket), isolation: "process", notice: () => {} }),
  );
  await contend(async (depth) => {
    // How often it may start anew, and how soon, counts for each attachment.
    await using device = await attachPinned(kernel, "block");
    const { client } = device;
    await client.read(0, BYTES);
    const reads = Promise.all(
      Array.from({ length: depth }, (_, i) => client.read(i * BYTES, BYTES)),
    );
    reads.catch(() => {}); // it may be too early
    const begin = performance.now();
    if (victim === "driver") Deno.kill(device.pid!, "SIGKILL");
    else {
      await backEnd![Symbol.asyncDispose]();
      Deno.removeSync(socket);
      backEnd = await nullDisk(socket);
    }
    await reads;
    await client.read(0, BYTES);
    return performance.now() - begin;
  });
}
