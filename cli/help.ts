import type { Command } from "./command.ts";
import { COMMON_OPTIONS, type CommonOption } from "./common_options.ts";
import { MEANING } from "./exit.ts";
import { findCommand, type Program, verbMissing } from "./find_command.ts";
import { definitions, paragraphs, widthOf, wrapped } from "./layout.ts";

/** For whom help is. */
export interface HelpFor extends Program {
  /** How wide it is to be. */
  readonly columns: number;
}

/** Command lines to begin with. */
export const EXAMPLES: Command["examples"] = [
  ["", "check the devices here, or simulated ones if none may be driven"],
  ["ls", "the PCI functions of this machine"],
  ["check --machine simulated", "see all drivers work; needs nothing"],
  ["check --machine qemu", "the same with QEMU's devices"],
  ["net ping 10.0.2.2 --machine simulated", "a station on a simulated wire"],
  ["ls --machine qemu -- -device virtio-rng-pci", "the rest goes to QEMU"],
  ["help net ping", "what a command takes, with examples"],
];

/** What stands behind `--`. */
export const REST = [
  "-- <arguments>",
  "for QEMU; without any it has a device for each driver, and no file; for vhost-user, devices: blk=<socket>, net=<socket>,mac=…,pairs=2,listen",
] as const;

/**
 * Help: for the whole program, the noun of several commands, or a command.
 *
 * @param words What it is about; all if there are none.
 * @throws {CliError} With status 2, if there is no such command.
 */
export function help(words: readonly string[], to: HelpFor): string {
  const [noun, verb] = words;
  const command = findCommand(to, words);
  if (command) return commandHelp(command, to);
  if (noun === undefined) return programHelp(to);
  if (verb !== undefined) throw verbMissing(to, words);
  return nounHelp(noun, to);
}

/** The same as data: all commands that the words begin with, and what is common to all. */
export function helpJson(words: readonly string[], to: HelpFor): object {
  const command = findCommand(to, words);
  if (words.length > 1 && !command) throw verbMissing(to, words);
  const about = to.commands.filter((each) =>
    command ? each === command : words.length === 0 || each.name.startsWith(`${words[0]} `)
  );
  return {
    commands: about.map(({ name, usage, summary, notes, examples, options = [], standing }) => ({
      name,
      usage,
      summary,
      standing: standing === true,
      options: options.map(optionJson),
      examples: examples.map(([line, does]) => ({ line, does })),
      notes: notes.join("\n"),
    })),
    options: COMMON_OPTIONS.map(optionJson),
    exits: MEANING.map(([exit, meaning]) => ({ exit, meaning })),
  };
}

function programHelp(to: HelpFor): string {
  const { commands, program, columns } = to;
  return [
    ...wrapped(
      "User-space VirtIO drivers in TypeScript, each in a process of its own.",
      columns,
    ),
    "",
    "Examples:",
    ...exampleLines(EXAMPLES, to),
    "",
    ...usageLines(`${program} [command] [options]`, columns),
    "",
    "Commands:",
    ...definitions(commands.map(commandLine), columns),
    "",
    "Options:",
    ...definitions([...COMMON_OPTIONS.map(optionLine), REST], columns),
    "",
    "Exit status:",
    ...definitions(MEANING.map(([code, meaning]) => [String(code), meaning]), columns),
  ].join("\n");
}

function nounHelp(noun: string, to: HelpFor): string {
  const commands = to.commands.filter(({ name }) => name.startsWith(`${noun} `));
  return [
    "Examples:",
    ...exampleLines(commands.flatMap(({ examples }) => examples.slice(0, 1)), to),
    "",
    "Commands:",
    ...definitions(commands.map(commandLine), to.columns),
  ].join("\n");
}

function commandHelp(command: Command, to: HelpFor): string {
  const { name, usage, summary, options = [], examples, notes } = command;
  const { columns } = to;
  const section = (lines: readonly string[]) => lines.length > 0 ? [...lines, ""] : [];
  return [
    ...wrapped(`${summary}.`, columns),
    "",
    "Examples:",
    ...exampleLines(examples, to),
    "",
    ...usageLines(`${`${to.program} ${name} ${usage}`.trim()} [options]`, columns),
    "",
    ...section(paragraphs(notes, columns)),
    ...section(
      options.length > 0 ? ["Options:", ...definitions(options.map(optionLine), columns)] : [],
    ),
    ...wrapped(
      "The other options are the same for all commands: --help without a command lists them.",
      columns,
    ),
  ].join("\n");
}

function usageLines(usage: string, columns: number): string[] {
  return wrapped(`Usage: ${usage}`, columns, 7);
}

function commandLine({ name, usage, summary }: Command): readonly [string, string] {
  return [`${name} ${usage}`.trim(), summary];
}

function optionLine({ name, value, summary, letter }: CommonOption): readonly [string, string] {
  const short = letter === undefined ? "" : `-${letter}, `;
  return [`${short}--${name} ${value ?? ""}`.trim(), summary];
}

function optionJson({ name, value, summary, letter }: CommonOption): object {
  return { name, letter: letter ?? null, value: value ?? null, summary };
}

/** Lines to copy: beside what each does if there is room for all, else above it. One that is too long goes on in the next. */
function exampleLines(examples: Command["examples"], { program, columns }: HelpFor): string[] {
  const rows = examples.map(([line, does]) => [`${program} ${line}`.trim(), does] as const);
  const left = Math.max(...rows.map(([line]) => widthOf(line)));
  if (rows.every(([, does]) => left + widthOf(does) + 4 <= columns)) {
    return rows.map(([line, does]) => `  ${line.padEnd(left)}  ${does}`);
  }
  return rows.flatMap(([line, does]) => [
    ...continued(line, columns),
    ...wrapped(does, columns - 6).map((text) => `      ${text}`),
  ]);
}

/** A command line as a shell takes it over several lines. */
function continued(line: string, columns: number): string[] {
  const whole = `  ${line}`;
  if (widthOf(whole) <= columns) return [whole];
  const lines = wrapped(whole.trimStart(), columns - 4, 2).map((text) => `  ${text}`);
  return lines.map((text, i) => i < lines.length - 1 ? `${text} \\` : text);
}
