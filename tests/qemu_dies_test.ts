/**
 * QEMU is killed under each command: all of them say the same sentence, and nothing is left.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { ControlClient } from "../watch/mod.ts";
import { alive, soon } from "./support/leaks.ts";
import { qemuTest } from "./support/machine.ts";
import { program, start } from "./support/program.ts";
import { childrenOf } from "./support/terminal.ts";

/** A disk that reads as zeroes and does not end soon. */
const DISK = "-blockdev driver=null-co,size=1099511627776,read-zeroes=on,node-name=n " +
  "-device virtio-blk-pci,drive=n";

const COMMANDS: readonly (readonly [string, string])[] = [
  ["blk read /dev/null", ` -- ${DISK}`],
  ["blk bench --runtime 60", ` -- ${DISK}`],
  ["blk serve --nbd SOCKET", ` -- ${DISK}`],
  ["random --continuous", ""],
  ["net ping 10.0.2.2 --count 60000 --interval 0.01", ""],
  ["net bench --seconds 60", ""],
  ["net dump --text", ""],
  ["console pipe org.virtio.ring --linger 60", ""],
  ["balloon watch", ""],
];

/** Whether a command's device is at work. */
async function atWork(control: string): Promise<boolean> {
  try {
    using client = new ControlClient(control);
    const { devices } = await client.look(AbortSignal.timeout(10_000), 10_000);
    return devices.some(({ state }) => state === "running");
  } catch {
    return false; // it does not listen yet
  }
}

for (const [command, devices] of COMMANDS) {
  qemuTest(`${command}: QEMU killed meanwhile is said, exit 7 #cli:qemu_dies`, async () => {
    const socket = `/tmp/virtio-dies-${crypto.randomUUID()}`;
    const control = `${socket}-control`;
    const use = command.replace("SOCKET", socket);
    const line = `${use} --machine qemu --control ${control}${devices}`;
    const child = start(program(...line.split(" ")));
    const output = child.output();
    const timer = setTimeout(() => child.kill("SIGKILL"), 90_000);
    for (const late = performance.now() + 60_000; !await atWork(control);) {
      assert(performance.now() < late, "its device does not begin to work");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const pids = childrenOf(child.pid);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const qemu = pids.find((pid) => Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes("qemu"));
    Deno.kill(qemu!, "SIGKILL");
    const { code, stderr } = await output;
    clearTimeout(timer);
    const err = new TextDecoder().decode(stderr);
    assertMatch(err, /^error: Cannot go on with 0000:\S+: Cannot use QEMU .*signal 9/m);
    assertEquals(code, 7, err);
    for (const pid of pids) assert(await soon(() => !alive(pid)), `process ${pid} lives on`);
  });
}
