import type { Command } from "../command.ts";
import { COMMON_OPTIONS, type CommonOption } from "../common_options.ts";

/** What a shell can offer for a word: some words, addresses of devices, files, folders; else nothing. */
export interface Wanted {
  /** Words to choose from. */
  readonly words: readonly string[];
  /** Whether the word names a PCI function of this machine, a file or a folder. */
  readonly device?: boolean;
  readonly file?: boolean;
  readonly folder?: boolean;
}

/** An option, as shells complete it. */
export interface WantedOption {
  /** What is typed: `--machine`, and `-q` if there is such a letter. */
  readonly names: readonly string[];
  readonly summary: string;
  /** What its value may be; undefined for a switch. */
  readonly value: Wanted | undefined;
}

/** A command, as shells complete it. */
export interface WantedCommand {
  /** Its words: one or two. */
  readonly words: readonly string[];
  readonly summary: string;
  /** What its arguments may be. */
  readonly argument: Wanted;
  /** Options of its own. */
  readonly options: readonly WantedOption[];
}

/** What can be completed of the program. */
export interface WantedProgram {
  /** Its name. */
  readonly name: string;
  readonly commands: readonly WantedCommand[];
  /** Options of all commands. */
  readonly options: readonly WantedOption[];
}

/** Words of usage lines that stand for files. */
const FILES = ["file", "from", "to", "module", "socket", "program"];
/** Those for folders, and for functions. */
const FOLDERS = ["folder", "dir"], DEVICES = ["address"];

/** The program as shells complete it, made of the table of its commands. */
export function wantedOf(name: string, commands: readonly Command[]): WantedProgram {
  const nouns = [...new Set(commands.map((command) => command.name.split(" ")[0]!))];
  return {
    name,
    commands: commands.map((command) => ({
      words: command.name.split(" "),
      summary: command.summary,
      argument: command.name === "help" ? { words: nouns } : wanted(command.usage),
      options: (command.options ?? []).map(wantedOption),
    })),
    options: COMMON_OPTIONS.map(wantedOption),
  };
}

/** The first words of all commands, each with what it is for. */
export function nounsOf({ commands }: WantedProgram): readonly (readonly [string, string])[] {
  const nouns = new Map<string, string>();
  for (const { words: [noun, verb], summary } of commands) {
    const known = nouns.get(noun!);
    if (verb === undefined) nouns.set(noun!, summary);
    else nouns.set(noun!, known === undefined ? `commands: ${verb}` : `${known}, ${verb}`);
  }
  return [...nouns];
}

function wantedOption({ name, value, summary, letter }: CommonOption): WantedOption {
  const long = `--${name}`;
  return {
    names: letter === undefined ? [long] : [long, `-${letter}`],
    summary,
    value: value === undefined ? undefined : wanted(value),
  };
}

/** What is wanted where a usage line says `<local|qemu>`, `[address...]` or `<from> <to>`. */
function wanted(usage: string): Wanted {
  const names = usage.replace(/[<>[\].]/g, " ").split(/[ |]+/).filter((word) => word !== "");
  const some = (known: readonly string[]) => names.some((name) => known.includes(name));
  const known = [...FILES, ...FOLDERS, ...DEVICES];
  return {
    words: usage.includes("|") ? names.filter((name) => !known.includes(name)) : [],
    device: some(DEVICES),
    file: some(FILES),
    folder: some(FOLDERS),
  };
}

/** Options that take a value, of all commands: each name once. */
export function valued({ commands, options }: WantedProgram): readonly WantedOption[] {
  const all = [...options, ...commands.flatMap(({ options }) => options)];
  return [...new Map(all.map((option) => [option.names[0], option])).values()]
    .filter(({ value }) => value !== undefined);
}

/** The names that stand for an option on a command line. */
export function flat(options: readonly WantedOption[]): readonly string[] {
  return options.flatMap(({ names }) => names);
}

/** Whether there is anything to offer. */
export function offers({ words, device, file, folder }: Wanted): boolean {
  return words.length > 0 || device === true || file === true || folder === true;
}
