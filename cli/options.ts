import type { InterruptKind, Tunables, TunableValue } from "../mod.ts";
import { parseArgs } from "@std/cli";
import { INTERRUPTS } from "../machine/mod.ts";
import type { CommandOption } from "./command.ts";
import { FLAGS, LETTERS, type ValueName, VALUES } from "./common_options.ts";
import { usageError } from "./exit.ts";
import { suggest } from "./suggest.ts";

/** Where the devices are: on this machine, in a QEMU of our own, made of device models, or other programs. */
export type Machine = typeof MACHINES[number];
const MACHINES = ["local", "qemu", "simulated", "vhost-user"] as const;
const BOARDS = ["q35", "pc"] as const;
const ISOLATIONS = ["process", "inline"] as const;

/** A command line, taken apart. */
export interface Options {
  /** What stands there without a dash: the command and its arguments. */
  readonly words: readonly string[];
  /** Where to look for devices; undefined if the user did not say. */
  readonly machine?: Machine;
  /** The QEMU to start, a path or a name; undefined if the user did not say. */
  readonly qemu?: string;
  /** What board QEMU is to be. */
  readonly board: typeof BOARDS[number];
  /** Where drivers run. */
  readonly isolation: typeof ISOLATIONS[number];
  /** How devices tell that they are done. */
  readonly interrupts: InterruptKind;
  /** Use the legacy registers of transitional devices. */
  readonly legacy: boolean;
  /** Drive devices, too, that nothing keeps from reaching all memory of this machine. */
  readonly unsafeDma: boolean;
  /** Folders with drivers, beside our own. */
  readonly plugins: readonly string[];
  /** Modules with device classes, beside our own. */
  readonly classes: readonly string[];
  /** Modules with the device models of a simulated machine; the usual ones if there are none. */
  readonly models: readonly string[];
  /** What was chosen for drivers, by the names of driver and tunable. */
  readonly tunables: Tunables;
  /** A file for a trace of all that happens. */
  readonly trace?: string;
  /** The most bytes that it may have. */
  readonly traceLimit?: number;
  /** A socket at which other programs look at the machine. */
  readonly control?: string;
  /** A socket or a file for figures. */
  readonly metrics?: string;
  /** Seconds until everything is given up; undefined if the user did not say. */
  readonly timeout?: number;
  /** Print JSON instead of text. */
  readonly json: boolean;
  /** Print help. */
  readonly help: boolean;
  /** Print the version. */
  readonly version: boolean;
  /** No talk but errors. */
  readonly quiet: boolean;
  /** More talk. */
  readonly verbose: boolean;
  /** Colours are allowed. */
  readonly color: boolean;
  /** What follows `--`: for QEMU, or the devices that other programs serve. */
  readonly machineArguments: readonly string[];
  /** Options that not all commands have, as they were given. */
  readonly given: Given;
}

/** Options that were given, by name: their values, `true` where there is none. */
export type Given = Readonly<Record<string, string | true>>;

const NAMES = [...FLAGS, ...VALUES];

/**
 * Takes a command line apart.
 *
 * @param own Options that some command has.
 * @throws {CliError} With status 2, if an option or its value is wrong.
 */
export function parseOptions(
  args: readonly string[],
  own: readonly CommandOption[] = [],
): Options {
  const ownValues = own.filter(({ value }) => value !== undefined).map(({ name }) => name);
  const ownFlags = own.filter(({ value }) => value === undefined).map(({ name }) => name);
  const names = [...NAMES, ...own.map(({ name }) => name)];
  const { switches, rest } = takeSwitches(args, [...FLAGS, ...ownFlags]);
  const parsed = parseArgs(rest, {
    "--": true,
    string: [...VALUES, ...ownValues, "_"] as (ValueName | "_")[],
    collect: [...VALUES, ...ownValues] as ValueName[],
    unknown(arg, key) {
      if (key !== undefined) throw unknownOption(arg, names);
    },
  });
  const machine = single("machine", parsed.machine);
  const qemu = single("qemu", parsed.qemu);
  const board = single("board", parsed.board);
  const isolation = single("isolation", parsed.isolation);
  const interrupts = single("interrupts", parsed.interrupts);
  const timeout = single("timeout", parsed.timeout);
  const traceLimit = single("trace-limit", parsed["trace-limit"]);
  const paths = Object.fromEntries(
    (["trace", "control", "metrics"] as const).flatMap((name) => {
      const path = single(name, parsed[name]);
      return path === undefined ? [] : [[name, path || missing(name, "a path")]];
    }),
  );
  const options: Options = {
    words: parsed._.map(String),
    ...(machine === undefined ? {} : { machine: oneOf("machine", machine, MACHINES) }),
    ...(qemu === undefined ? {} : { qemu: qemu || missing("qemu", "a program") }),
    board: oneOf("board", board ?? "q35", BOARDS),
    isolation: oneOf("isolation", isolation ?? "process", ISOLATIONS),
    interrupts: oneOf("interrupts", interrupts ?? "msix", INTERRUPTS),
    plugins: parsed.plugins.map((folder) => folder || missing("plugins", "a folder")),
    classes: parsed.class.map((path) => path || missing("class", "a module")),
    models: parsed.model.map((path) => path || missing("model", "a module")),
    tunables: Object.fromEntries(parsed.tune.map(tunable)),
    ...(timeout === undefined ? {} : { timeout: seconds(timeout) }),
    ...paths,
    ...(traceLimit === undefined ? {} : { traceLimit: mebibytes(traceLimit) }),
    json: switches.has("json"),
    legacy: switches.has("legacy"),
    unsafeDma: switches.has("unsafe-dma"),
    help: switches.has("help"),
    version: switches.has("version"),
    quiet: switches.has("quiet"),
    verbose: switches.has("verbose"),
    color: !switches.has("no-color"),
    machineArguments: parsed["--"],
    given: givenOf(own, parsed, switches),
  };
  const takesMore = options.machine === "qemu" || options.machine === "vhost-user";
  if (options.machineArguments.length > 0 && !takesMore) {
    throw usageError(
      "Cannot use what follows --: it is for QEMU. Add --machine qemu, or leave it out",
    );
  }
  if (options.machine === "vhost-user" && options.machineArguments.length === 0) {
    throw usageError(
      "Cannot use --machine vhost-user without devices: name them, as in -- blk=/run/disk.sock",
    );
  }
  for (const name of ["board", "qemu"] as const) {
    if (parsed[name].length > 0 && options.machine !== "qemu") {
      throw usageError(`Cannot use --${name}: it is for QEMU. Add --machine qemu, or leave it out`);
    }
  }
  const conforms = options.words[0] === "conform" && options.words[1] === "driver";
  if (options.models.length > 0 && options.machine !== "simulated" && !conforms) {
    throw usageError(
      "Cannot use --model: it is for --machine simulated and conform driver; add that, or leave it out",
    );
  }
  if (options.traceLimit !== undefined && options.trace === undefined) {
    throw usageError("Cannot use --trace-limit without --trace <file>");
  }
  if (options.quiet && options.verbose) {
    throw usageError("Cannot be quiet and verbose at once: leave out --quiet or --verbose");
  }
  return options;
}

/**
 * Takes the switches out of a command line. The parser would take a word behind one for its value, as in `--json false`,
 * and any other value for true.
 *
 * @throws {CliError} With status 2, if the user gives a value to a switch.
 */
function takeSwitches(
  args: readonly string[],
  known: readonly string[],
): { readonly switches: ReadonlySet<string>; readonly rest: readonly string[] } {
  const switches = new Set<string>();
  const end = args.includes("--") ? args.indexOf("--") : args.length;
  const rest = args.filter((arg, index) => {
    if (index >= end) return true;
    const [, letters = ""] = /^-([a-z]+)$/i.exec(arg) ?? [];
    const names = Array.from(letters, (letter) => LETTERS[letter] ?? "");
    if (letters !== "" && !names.includes("")) {
      for (const name of names) switches.add(name);
      return false;
    }
    const [, name = "", value] = /^--([^=]+)(=.*)?$/s.exec(arg) ?? [];
    if (!known.includes(name)) return true;
    if (value !== undefined) {
      throw usageError(
        `Cannot use ${JSON.stringify(arg)}: --${name} is a switch and takes no value`,
      );
    }
    switches.add(name);
    return false;
  });
  return { switches, rest };
}

/** Which of a command's own options were given. */
function givenOf(
  own: readonly CommandOption[],
  parsed: Readonly<Record<string, unknown>>,
  switches: ReadonlySet<string>,
): Given {
  return Object.fromEntries(own.flatMap(({ name, value }): [string, string | true][] => {
    if (value === undefined) return switches.has(name) ? [[name, true]] : [];
    const found = single(name, parsed[name] as readonly string[]);
    return found === undefined ? [] : [[name, found === "" ? missing(name, value) : found]];
  }));
}

function unknownOption(arg: string, names: readonly string[]): Error {
  const name = arg.replace(/^-+/, "").replace(/=.*$/s, "");
  const hint = suggest(name, names).replace('"', '"--');
  return usageError(
    `Unknown option ${JSON.stringify(arg)}.${hint} Run with --help to see them all`,
  );
}

function single(name: string, values: readonly string[]): string | undefined {
  if (values.length > 1) {
    throw usageError(`Cannot use --${name} ${values.length} times: give it once`);
  }
  return values[0];
}

function oneOf<T extends string>(name: string, value: string, known: readonly T[]): T {
  const found = known.find((candidate) => candidate === value);
  if (found) return found;
  if (value === "") return missing(name, known.join(", "));
  throw usageError(
    `Unknown value ${JSON.stringify(value)} for --${name}: wanted one of ${known.join(", ")}.` +
      suggest(value, known),
  );
}

/** `vtnet.csum_disable=true`, or without a value for a switch. What is true of it, the kernel knows. */
function tunable(text: string): [string, TunableValue] {
  const [, name, value = "true"] = /^([^=]+)(?:=(.+))?$/s.exec(text) ?? [];
  if (name === undefined) return missing("tune", "for example vtnet.csum_disable=true");
  if (value === "true" || value === "false") return [name, value === "true"];
  return [name, /^-?\d{1,15}$/.test(value) ? Number(value) : value];
}

function seconds(value: string): number {
  const number = Number(value);
  // A timer holds 31 bits of milliseconds.
  if (value !== "" && number > 0 && number <= 2_000_000) return number;
  throw usageError(
    `Unknown value ${
      JSON.stringify(value)
    } for --timeout: wanted seconds, more than 0 and up to 2000000`,
  );
}

function mebibytes(value: string): number {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 1 && number <= 1_048_576) return number * 2 ** 20;
  throw usageError(
    `Unknown value ${JSON.stringify(value)} for --trace-limit: wanted MiB, from 1 to 1048576`,
  );
}

function missing(name: string, wanted: string): never {
  throw usageError(`Cannot use --${name} without a value: wanted ${wanted}`);
}
