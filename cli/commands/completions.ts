import { bashCompletion } from "../completions/bash.ts";
import { fishCompletion } from "../completions/fish.ts";
import { wantedOf, type WantedProgram } from "../completions/wanted.ts";
import { zshCompletion } from "../completions/zsh.ts";
import type { Command } from "../command.ts";
import { EXIT, usageError } from "../exit.ts";
import { printJson } from "../json.ts";
import { shortName } from "../program_name.ts";
import { suggest } from "../suggest.ts";

/** The shells that are served. */
const SHELLS: Readonly<Record<string, (program: WantedProgram) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** Prints what makes a shell complete command lines of the program. */
export const completions: Command = {
  name: "completions",
  summary: "Print what makes a shell complete command lines by the Tab key",
  usage: "<bash|zsh|fish>",
  words: [1, 1],
  examples: [
    ["completions bash > virtio.bash", "to be sourced in ~/.bashrc"],
    ["completions zsh > _virtio", "for a folder of fpath, or to be sourced after compinit"],
    ["completions fish > virtio.fish", "for ~/.config/fish/completions"],
  ],
  notes: [
    "Commands, options, their values and the devices of this machine are completed for the program's name, as deno install",
    "gives it one: virtio, if there is none.",
  ],
  // deno-lint-ignore require-await -- so that errors are rejections
  async run(context) {
    const { io, words: [shell = ""], commands, options } = context;
    const make = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
    if (!make) {
      const known = Object.keys(SHELLS);
      throw usageError(
        `Unknown shell ${JSON.stringify(shell)}: wanted one of ${known.join(", ")}.` +
          suggest(shell, known),
      );
    }
    const script = make(wantedOf(shortName(io.program), commands));
    if (options.json) printJson(context, "completions", { shell, script });
    else io.out(script);
    return EXIT.done;
  },
};
