/**
 * The command line.
 *
 * @module
 */
import type { AnyDevice } from "../mod.ts";
import { abortable } from "@std/async";
import deno from "../deno.json" with { type: "json" };
import type { Command, Context } from "./command.ts";
import { COMMANDS, OWN_OPTIONS } from "./commands.ts";
import { checkAnything } from "./commands/check.ts";
import { help } from "./commands/help.ts";
import { errorJson } from "./error_json.ts";
import {
  CliError,
  endedByPerson,
  EXIT,
  type ExitCode,
  exitCode,
  messageOf,
  usageError,
} from "./exit.ts";
import { findCommand, type Program, verbMissing } from "./find_command.ts";
import { goneAmong } from "./gone.ts";
import type { Io } from "./io.ts";
import { jsonText } from "./json.ts";
import { columnsOf } from "./layout.ts";
import { type Given, type Options, parseOptions } from "./options.ts";
import { printable } from "./printable.ts";
import { styleFor } from "./style.ts";

/** How long a command may take to clean up after it was told to end, in milliseconds. */
const GRACE = 5000;
/** A standing one has what others gave to it: it may take as long as a request to its device, a last flush. */
const STANDING_GRACE = 40_000;
/** When it is told that the command takes its time, in milliseconds. */
const PATIENCE = 1000;
/** How long a command may take that ends by itself, in seconds. */
const TIMEOUT = 120;

/**
 * Runs the program.
 *
 * @param args Its arguments, without its name.
 * @returns Its exit status; whatever goes wrong was said on `io.err` by then.
 */
export async function run(args: readonly string[], world: Io): Promise<ExitCode> {
  let printed = false;
  const io: Io = withOut(world, (line) => {
    printed = true;
    world.out(line);
  });
  let options: Options | undefined;
  let command: Command | undefined;
  try {
    options = parseOptions(args, OWN_OPTIONS);
    if (options.version) {
      const { version } = deno;
      io.out(options.json ? jsonText("version", { version }) : `virtio for Deno ${version}`);
      return EXIT.done;
    }
    const program = { commands: COMMANDS, program: io.program };
    command = options.help ? help : findCommand(program, options.words);
    const words = wordsOf(command, options, program);
    if (options.words.length > 0 && !command) throw verbMissing(program, options.words);
    if (command) checkWords(command, words, io.program);
    if (command !== help) checkGiven(command, options.given);
    checkWatched(command, options);
    const limit = options.timeout ?? (command?.standing ? undefined : TIMEOUT);
    const grace = command?.standing ? STANDING_GRACE : GRACE;
    return await runLimited(command?.run ?? checkAnything, { io, options, words }, limit, grace);
  } catch (error) {
    // Nothing reads what it writes any more: it may end as well.
    if (exitCode(error) === EXIT.done) return EXIT.done;
    io.err(printable(`error: ${messageOf(error)}`));
    // One document is not followed by another, unless the command prints one after the other.
    if (wantsJson(args) && (!printed || command?.standing)) {
      world.out(jsonText(command?.name ?? null, { error: errorJson(error) }));
    }
    // Errors that the commands make say all there is to say.
    const unexpected = error instanceof Error && !(error instanceof CliError);
    if (options?.verbose && unexpected && error.stack) io.err(printable(error.stack));
    return exitCode(error);
  }
}

/** The arguments of a command. */
function wordsOf(
  command: Command | undefined,
  { words, help: asked }: Options,
  program: Program,
): readonly string[] {
  const own = words.slice(command?.name.split(" ").length ?? 0);
  if (!asked) return own;
  // `net ping 10.0.2.2 --help` is about net ping, and `help --help` about help.
  const about = words[0] === help.name && own.length > 0 ? own : words;
  return about.slice(0, findCommand(program, about)?.name.split(" ").length ?? 2);
}

/** Whether errors are wanted as JSON: where the command line itself is wrong, nothing else tells. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).includes("--json");
}

/** The world, but for where lines go. */
function withOut(world: Io, out: (line: string) => void): Io {
  return Object.create(world, { out: { value: out } });
}
/** Refuses options that other commands have. */
function checkGiven(command: Command | undefined, given: Given): void {
  for (const name of Object.keys(given)) {
    const has = ({ options = [] }: Command) => options.some((option) => option.name === name);
    if (command && has(command)) continue;
    const owners = COMMANDS.filter(has).map((candidate) => candidate.name);
    throw usageError(
      `Cannot use --${name} here: it is for the command${owners.length > 1 ? "s" : ""} ` +
        owners.join(", "),
    );
  }
}

/** Refuses what looks on, where there is nothing to see. */
function checkWatched(command: Command | undefined, options: Options): void {
  if (!command?.idle) return;
  const name = (["trace", "control", "metrics"] as const).find((each) =>
    options[each] !== undefined && !(each === "trace" && command.traced)
  );
  if (name === undefined) return;
  throw usageError(
    `Cannot use --${name} with ${command.name}: it puts no device to work. ${command.idle}`,
  );
}

function checkWords(
  { name, usage, words: [least, most] }: Command,
  words: readonly string[],
  program: string,
): void {
  if (words.length >= least && words.length <= most) return;
  const wanted = usage === "" ? "takes no arguments" : `takes ${usage}`;
  throw usageError(
    `Cannot run ${name} with ${words.length} argument${
      words.length === 1 ? "" : "s"
    }: it ${wanted}. ${program} help ${name} has examples`,
  );
}

/** Runs a command until it is done, its time is over or the user ends it. */
async function runLimited(
  command: (context: Context) => Promise<ExitCode>,
  { io, options, words }: Pick<Context, "io" | "options" | "words">,
  seconds: number | undefined,
  graceMilliseconds: number,
): Promise<ExitCode> {
  const time = new AbortController();
  const signal = AbortSignal.any([time.signal, io.signal]);
  const timer = seconds === undefined ? undefined : setTimeout(() => {
    const message =
      `Not done after ${seconds} seconds: --timeout allows more, --verbose tells more`;
    time.abort(new CliError(EXIT.timeout, message));
  }, seconds * 1000);
  const tell = (line: string) => io.err(printable(line));
  const talk = options.quiet ? () => {} : tell;
  const devices: AnyDevice[] = [];
  let troubled = false;
  const running = command({
    io,
    options,
    words,
    signal,
    commands: COMMANDS,
    columns: columnsOf(io.environment, io.columns),
    given: options.given,
    style: styleFor(io, options.color),
    devices,
    talk,
    detail: options.verbose ? tell : () => {},
    trouble(line) {
      troubled = true;
      tell(`error: ${line}`);
    },
    until: (promise) => abortable(promise, signal),
  });
  // A command that was told to end cleans up first; one that does not manage to is left behind.
  const left = Promise.withResolvers<never>();
  const timers = [timer];
  const end = () => {
    const ending = "Still finishing what is under way; SIGINT (Ctrl-C) once more ends it at once";
    if (endedByPerson(signal)) timers.push(setTimeout(() => talk(ending), PATIENCE));
    timers.push(setTimeout(() => left.reject(unfinished(signal.reason)), graceMilliseconds));
  };
  signal.addEventListener("abort", end, { once: true });
  try {
    const exit = await Promise.race([running, left.promise]);
    // What it had to say is said; how it came to its end the status says.
    if (endedByPerson(signal)) return exitCode(signal.reason);
    return troubled && exit === EXIT.done ? EXIT.failed : exit;
  } catch (error) {
    throw (error === signal.reason ? undefined : await goneAmong(devices)) ?? error;
  } finally {
    signal.removeEventListener("abort", end);
    timers.forEach(clearTimeout);
  }
}

/** The error of a command that did not manage to clean up. */
function unfinished(reason: unknown): CliError {
  return new CliError(
    exitCode(reason),
    `${messageOf(reason)}; what was under way did not finish, and may be lost`,
  );
}
