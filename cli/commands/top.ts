import { delay } from "@std/async";
import type { ControlError, Snapshot } from "../../watch/mod.ts";
import type { Command, Context } from "../command.ts";
import { endedByPerson, EXIT } from "../exit.ts";
import { SCHEMA } from "../json.ts";
import { columnsOf, table } from "../layout.ts";
import { numberOption } from "../number_option.ts";
import { machineLine, ratesOf, TOP_HEAD, topRow } from "../watch/figures.ts";
import { watchMachine } from "../watch/look.ts";

/** To the top left; and what is behind the end of a line, and of all, goes. */
const HOME = "\x1b[H", REST_OF_LINE = "\x1b[K", REST = "\x1b[J";
/** At first, the whole screen goes. */
const CLEAR = "\x1b[2J";

/** Looks at the machine of a running command again and again. */
export const top: Command = {
  name: "top",
  summary: "Watch the devices of a running command, until ended",
  usage: "<socket>",
  words: [1, 1],
  standing: true,
  idle: "It looks at a machine of another program, which has such options of its own",
  options: [
    { name: "interval", value: "<seconds>", summary: "how often to look (1)" },
    { name: "count", value: "<looks>", summary: "end after so many" },
  ],
  examples: [
    ["top /tmp/machine.sock", "what goes on in a command that was given --control"],
    ["top /tmp/machine.sock --count 1 --json", "a line of JSON for each look"],
  ],
  notes: [
    "The other command was started with --control <socket>. Only its own user may look, and nothing can be changed.",
    "It ends when the other does. Without a terminal there is a line for each device and look.",
  ],
  async run(context) {
    const { io, options, words: [socket], signal } = context;
    const seconds = numberOption(context, "interval", {
      ...{ usual: 1, least: 0.05, greatest: 3600 },
      fraction: true,
    });
    const most = numberOption(context, "count", { usual: Infinity, least: 1, greatest: 1e9 });
    using watched = await watchMachine(context, socket!);
    let before: Snapshot | undefined;
    for (let count = 1;; count++) {
      let now: Snapshot;
      try {
        now = await watched.look();
      } catch (error) {
        if (signal.aborted) break;
        if (!before || !(error as Partial<ControlError>).ended) throw error;
        context.talk("The other program has ended");
        return EXIT.done;
      }
      const open = options.json ? printLook(context, now) : draw(context, now, before);
      if (!open || count >= most) return EXIT.done;
      before = now;
      // However often it is aborted: that is looked at next.
      await delay(seconds * 1000, { signal }).catch(() => {});
      if (signal.aborted) break;
    }
    if (io.terminal) context.talk("");
    if (!endedByPerson(signal)) throw signal.reason;
    return EXIT.done;
  },
};

function printLook({ io }: Context, now: Snapshot): boolean {
  const { schema: _, ...rest } = now;
  const line = JSON.stringify({ schema: SCHEMA, command: "top", ...rest });
  return io.write(new TextEncoder().encode(`${line}\n`));
}

/** Writes what goes on. Returns whether it is still read. */
function draw({ io }: Context, now: Snapshot, before: Snapshot | undefined): boolean {
  const seconds = before ? now.uptime - before.uptime : now.uptime;
  const rows = now.devices.map((device) => {
    const then = before?.devices.find(({ address }) => address === device.address);
    return topRow(device, ratesOf(device, seconds, then));
  });
  const columns = columnsOf(io.environment, io.columns);
  const some = rows.length > 0 ? table([TOP_HEAD, ...rows], columns) : ["No device is at work"];
  const lines = [machineLine(now), ...some];
  const text = io.terminal
    ? (before ? HOME : CLEAR + HOME) + lines.map((line) => `${line}${REST_OF_LINE}\n`).join("") +
      REST
    : `${(before ? lines.slice(rows.length > 0 ? 2 : 1) : lines).join("\n")}\n`;
  return io.write(new TextEncoder().encode(text));
}
