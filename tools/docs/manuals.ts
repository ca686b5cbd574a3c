/**
 * Manual pages of the program, from the commands' own table.
 *
 *     deno run -A tools/docs/manuals.ts <folder>      # then: man -l <folder>/virtio.1
 *
 * @module
 */

import { COMMANDS } from "../../cli/commands.ts";
import type { Command, CommandOption } from "../../cli/command.ts";
import { COMMON_OPTIONS } from "../../cli/common_options.ts";
import { MEANING } from "../../cli/exit.ts";
import config from "../../deno.json" with { type: "json" };

/** What the program is called where it is installed. */
const PROGRAM = "virtio";

/** Names and texts of all pages, in the language of man(7). */
export function manuals(): [name: string, text: string][] {
  return [
    [`${PROGRAM}.1`, whole()],
    ...COMMANDS.map((command): [string, string] => [`${pageOf(command)}.1`, page(command)]),
  ];
}

function pageOf({ name }: Command): string {
  return `${PROGRAM}-${name.replaceAll(" ", "-")}`;
}

function whole(): string {
  return lines([
    title(PROGRAM),
    ".SH NAME",
    `${PROGRAM} \\- user-space VirtIO drivers, each in a process of its own`,
    ".SH SYNOPSIS",
    `.B ${PROGRAM}`,
    "[command] [options]",
    ".SH COMMANDS",
    ...COMMANDS.flatMap((command) => [
      ".TP",
      `.B ${text(`${command.name} ${command.usage}`.trim())}`,
      `${text(command.summary)}; see`,
      `.BR ${text(pageOf(command))} (1).`,
    ]),
    ".SH OPTIONS",
    ...COMMON_OPTIONS.flatMap(option),
    ".SH EXIT STATUS",
    ...MEANING.flatMap(([status, meaning]) => [".TP", `.B ${status}`, text(meaning)]),
  ]);
}

function page(command: Command): string {
  const { name, usage, summary, options = [], examples, notes } = command;
  return lines([
    title(pageOf(command)),
    ".SH NAME",
    `${text(pageOf(command))} \\- ${text(summary[0]!.toLowerCase() + summary.slice(1))}`,
    ".SH SYNOPSIS",
    `.B ${text(`${PROGRAM} ${name}`)}`,
    text(`${usage} [options]`.trim()),
    ...(notes.length > 0
      ? [".SH DESCRIPTION", ...notes.map((line) => line === "" ? ".PP" : text(line))]
      : []),
    ...(options.length > 0 ? [".SH OPTIONS", ...options.flatMap(option)] : []),
    ".SH EXAMPLES",
    ...examples.flatMap(([line, does]) => [
      ".TP",
      `.B ${text(`${PROGRAM} ${line}`)}`,
      text(does),
    ]),
    ".SH SEE ALSO",
    `.BR ${PROGRAM} (1)`,
    "has the options that all commands have, and the exit statuses.",
  ]);
}

function title(name: string): string {
  return `.TH ${text(name).toUpperCase()} 1 "" "${PROGRAM} ${config.version}" "virtio for Deno"`;
}

function option(
  { name, value, summary, letter }: CommandOption & { readonly letter?: string },
): string[] {
  const names = [...(letter === undefined ? [] : [`-${letter}`]), `--${name}`].map(text);
  return [
    ".TP",
    `.B ${names.join(", ")}${value === undefined ? "" : ` ${text(value)}`}`,
    text(summary),
  ];
}

/** A text that is nothing but text to man(7). */
function text(plain: string): string {
  return plain.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^(['.])/, "\\&$1");
}

function lines(all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}

if (import.meta.main) {
  const [folder] = Deno.args;
  if (folder === undefined) throw new TypeError("Cannot write manual pages: name a folder");
  Deno.mkdirSync(folder, { recursive: true });
  for (const [name, text] of manuals()) Deno.writeTextFileSync(`${folder}/${name}`, text);
}
