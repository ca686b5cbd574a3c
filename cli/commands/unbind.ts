import { BINDING_OPTIONS, rebind } from "../binding.ts";
import type { Command } from "../command.ts";

/** Gives functions back to the kernel. */
export const unbind: Command = {
  name: "unbind",
  summary: "Give devices back to the kernel, which finds its own driver for them",
  usage: "<address...>",
  words: [1, Infinity],
  idle: "It gives devices back to the kernel of this machine",
  options: BINDING_OPTIONS,
  examples: [
    ["unbind 00:03.0", "undo bind 00:03.0"],
    ["unbind 00:03.0 --dry-run", "only look whether that could be done"],
  ],
  notes: ["Needs root. Refused while a program drives the device."],
  run: (context) => rebind(context, "unbind", undefined),
};
