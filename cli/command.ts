import type { AnyDevice } from "../mod.ts";
import type { Io } from "./io.ts";
import type { Given, Options } from "./options.ts";
import type { Style } from "./style.ts";
import type { ExitCode } from "./exit.ts";

/** An option that not all commands have. */
export interface CommandOption {
  /** What the user types after `--`. */
  readonly name: string;
  /** What its value is, as in a usage line, for example `"<file>"`; it takes none if absent. */
  readonly value?: string;
  /** What it does, without a full stop. */
  readonly summary: string;
}

/** One command of the program. */
export interface Command {
  /** What the user types: a word, or a noun and a verb. */
  readonly name: string;
  /** One line for the list of commands, without a full stop. */
  readonly summary: string;
  /** Its arguments as in a usage line, for example `"<address>"`. */
  readonly usage: string;
  /** How many arguments it takes, least and most. */
  readonly words: readonly [number, number];
  /** Options of its own. A name that several commands have means the same in all of them. */
  readonly options?: readonly CommandOption[];
  /** Command lines to copy, and what each does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Whether it goes on until the user ends it: then only `--timeout` limits its time. */
  readonly standing?: boolean;
  /** Why there is nothing to look at: what it does instead of putting a device to work, as a sentence. Absent if it does that. */
  readonly idle?: string;
  /** Whether what it does can be traced all the same. */
  readonly traced?: boolean;
  /** What else is to be known, as lines of paragraphs; an empty line ends one. */
  readonly notes: readonly string[];
  /** Does it. */
  run(context: Context): Promise<ExitCode>;
}

/** What a command works with. */
export interface Context {
  /** The world. */
  readonly io: Io;
  /** The command line. */
  readonly options: Options;
  /** The command's arguments. */
  readonly words: readonly string[];
  /** Its own options as they were given; `true` for one without a value. */
  readonly given: Given;
  /** All commands of the program. */
  readonly commands: readonly Command[];
  /** How many columns there are for data; undefined where a program reads it. */
  readonly columns: number | undefined;
  /** Aborted when the command must end: time is over, or the user interrupted it. */
  readonly signal: AbortSignal;
  /** Devices that the command put to work: if one is gone, that is why the command failed. */
  readonly devices: AnyDevice[];
  /** Colours. */
  readonly style: Style;
  /** Tells something on the side, unless `--quiet`. */
  talk(line: string): void;
  /** Tells details, if `--verbose`. */
  detail(line: string): void;
  /** Tells what went wrong beside the command's own work; it has failed then, however that ends. */
  trouble(line: string): void;
  /** Waits for a promise, at most until `signal` aborts; then throws its reason. */
  until<T>(promise: Promise<T>): Promise<T>;
}
