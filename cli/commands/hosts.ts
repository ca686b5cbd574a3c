import type { Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { printJson } from "../json.ts";
import { columnsOf, table } from "../layout.ts";
import { HOST_HEAD, hostRow, machineLine } from "../watch/figures.ts";
import { watchMachine } from "../watch/look.ts";

/** Looks at the processes of the drivers of a running command. */
export const hosts: Command = {
  name: "hosts",
  summary: "Show where the drivers of a running command run: process, heap, CPU, restarts",
  usage: "<socket>",
  words: [1, 1],
  idle: "It looks at a machine of another program, which has such options of its own",
  examples: [["hosts /tmp/machine.sock", "of a command that was given --control"]],
  notes: ["Memory is what a process has in use, with what it shares with the core and its device."],
  async run(context) {
    const { io, options, words: [socket] } = context;
    using watched = await watchMachine(context, socket!);
    const now = await watched.look();
    if (options.json) {
      const { schema: _, devices, ...rest } = now;
      const facts = devices.map(({ address, driver, state, isolation, pid, restarts, host }) => ({
        ...{ address, driver, state, isolation, pid: pid ?? null, restarts },
        uptime: host.uptime,
        heap: host.heap ?? null,
        memory: host.memory ?? null,
        processor: host.processor ?? null,
      }));
      printJson(context, "hosts", { ...rest, hosts: facts });
      return EXIT.done;
    }
    context.talk(machineLine(now));
    const rows = now.devices.map(hostRow);
    if (rows.length === 0) context.talk("No device is at work");
    else table([HOST_HEAD, ...rows], columnsOf(io.environment, io.columns)).forEach(io.out);
    return EXIT.done;
  },
};
