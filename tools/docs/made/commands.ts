import { COMMANDS } from "../../../cli/commands.ts";
import type { Command, CommandOption } from "../../../cli/command.ts";
import { COMMON_OPTIONS } from "../../../cli/common_options.ts";
import { code, slug, table } from "../markdown.ts";

/** What starts the program. */
const PROGRAM = "deno run --allow-ffi main.ts";

/** All commands, each with its options and examples; then what all have in common. */
export function commands(): string {
  return [
    table(
      ["command", "what it does"],
      COMMANDS.map(({ name, usage, summary }) => [
        `[${code(`${name} ${usage}`.trim())}](#${slug(name)})`,
        `${summary}`,
      ]),
    ),
    "",
    ...COMMANDS.flatMap(section),
    "## Options of all commands",
    "",
    options(COMMON_OPTIONS),
  ].join("\n");
}

function section(
  { name, usage, summary, options: own = [], examples, notes, standing }: Command,
): string[] {
  return [
    `## ${name}`,
    "",
    `${summary}.${standing ? " It goes on until it is ended, by Ctrl-C or `--timeout`." : ""}`,
    "",
    `Usage: ${code(`${name} ${usage}`.trim())}`,
    "",
    "<!-- not run: cli/main_test.ts tries all examples of help, which these are -->",
    "```sh",
    ...examples.flatMap(([line, does]) => [`# ${does}`, `${PROGRAM} ${line}`]),
    "```",
    "",
    ...notes.flatMap((line) => [line.replaceAll("<", "\\<")]),
    "",
    ...(own.length > 0 ? [options(own), ""] : []),
  ];
}

function options(list: readonly (CommandOption & { readonly letter?: string })[]): string {
  return table(
    ["option", ""],
    list.map(({ name, value, summary, letter }) => [
      code(`${letter ? `-${letter}, ` : ""}--${name} ${value ?? ""}`.trim()),
      summary.replaceAll("<", "\\<"),
    ]),
  );
}
