import type { Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { help as helpText, helpJson } from "../help.ts";
import { printJson } from "../json.ts";
import { USUAL_COLUMNS } from "../layout.ts";

/** Tells how a command is used. */
export const help: Command = {
  name: "help",
  summary: "Tell how a command is used; the same as --help after it",
  usage: "[command]",
  words: [0, 2],
  examples: [
    ["help", "all commands and options"],
    ["help blk", "the commands for disks"],
    ["help net ping", "one command, with examples"],
  ],
  notes: [],
  // deno-lint-ignore require-await -- so that errors are rejections
  async run(context) {
    const { io, words, commands, columns = USUAL_COLUMNS } = context;
    const to = { commands, program: io.program, columns };
    if (context.options.json) printJson(context, "help", helpJson(words, to));
    else io.out(helpText(words, to));
    return EXIT.done;
  },
};
