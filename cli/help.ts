import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { MEANING } from "./exit.ts";

/** What a user types to start the program. */
const PROGRAM = "deno run --allow-ffi main.ts";

const OPTIONS: readonly (readonly [string, string])[] = [
  ["--machine <local|qemu|simulated|vhost-user>", "where the devices are (local)"],
  ["--qemu <program>", "the QEMU to start, with --machine qemu (qemu-system-x86_64 in PATH)"],
  ["--board <q35|pc>", "what QEMU is to be, with --machine qemu (q35)"],
  ["--isolation <process|inline>", "where drivers run (process: each in one of its own)"],
  [
    "--interrupts <msix|shared|intx|polling>",
    "the best way to use in which devices tell that they are done (msix)",
  ],
  ["--legacy", "use the registers from before version 1 of transitional devices"],
  ["--unsafe-dma", "drive devices of this machine, too, that could reach all of its memory"],
  ["--plugins <dir>", "a folder with drivers, beside our own; may be repeated"],
  [
    "--class <module>",
    "device classes for such drivers; RUNS IN THIS PROGRAM, WITH ITS RIGHTS; may be repeated",
  ],
  [
    "--model <module>",
    "a device of a simulated machine, instead of the usual ones; runs likewise; may be repeated",
  ],
  ["--tune <driver.name=value>", "a choice that a driver offers, see drivers; may be repeated"],
  ["--trace <file>", "all that happens: lines (.txt), for Perfetto (.json), a page (.html)"],
  ["--trace-limit <MiB>", "the most that the trace may have (256; a page 16)"],
  ["--control <socket>", "let top, hosts and show --live of this user look at the machine"],
  ["--metrics <socket|file>", "figures for Prometheus: a socket if it ends in .sock, else a file"],
  ["--json", 'data as JSON, with "schema": 1'],
  [
    "--timeout <seconds>",
    "give up after that (120, unless a command goes on until it is ended); exit status 124",
  ],
  ["-q, --quiet", "no talk on stderr but errors"],
  ["-v, --verbose", "more talk on stderr"],
  ["--no-color", "no colours, as with NO_COLOR=1 or without a terminal"],
  ["-h, --help", "this text; after a command, the command's"],
  ["-V, --version", "the version"],
  [
    "-- <arguments>",
    "for QEMU; without any it has a device for each driver, and no file; for vhost-user, devices: blk=<socket>",
  ],
];

/** Help for the whole program. */
export function programHelp(): string {
  return [
    "User-space VirtIO drivers in TypeScript, each in a process of its own.",
    "",
    "Examples:",
    ...table([
      [PROGRAM, "check the devices here, or simulated ones if none may be driven"],
      ...COMMANDS.flatMap(({ examples }) => examples.slice(0, 1)).map(onCommandLine),
      onCommandLine(["ls --machine qemu -- -device virtio-rng-pci", "the rest goes to QEMU"]),
    ]),
    "",
    `Usage: ${PROGRAM} [command] [options]`,
    "",
    "Commands:",
    ...table(COMMANDS.map(({ name, usage, summary }) => [`${name} ${usage}`.trim(), summary])),
    "",
    "Options:",
    ...table(OPTIONS),
    "",
    "Exit status:",
    ...table(MEANING.map(([code, meaning]) => [String(code), meaning])),
  ].join("\n");
}

/** Help for the noun of several commands. */
export function nounHelp(noun: string): string {
  const commands = COMMANDS.filter(({ name }) => name.startsWith(`${noun} `));
  return [
    "Examples:",
    ...table(commands.flatMap(({ examples }) => examples.slice(0, 1)).map(onCommandLine)),
    "",
    "Commands:",
    ...table(commands.map(({ name, usage, summary }) => [`${name} ${usage}`.trim(), summary])),
  ].join("\n");
}

/** Help for one command. */
export function commandHelp(
  { name, usage, summary, options = [], examples, notes }: Command,
): string {
  return [
    `${summary}.`,
    "",
    "Examples:",
    ...table(examples.map(onCommandLine)),
    "",
    `Usage: ${`${PROGRAM} ${name} ${usage}`.trim()} [options]`,
    "",
    ...notes,
    ...(notes.length > 0 ? [""] : []),
    ...(options.length > 0
      ? [
        "Options:",
        ...table(options.map((option) => [
          [`--${option.name}`, option.value ?? ""].join(" ").trim(),
          option.summary,
        ])),
        "",
      ]
      : []),
    "The other options are the same for all commands: --help without a command lists them.",
  ].join("\n");
}

function onCommandLine([line, what]: readonly [string, string]): readonly [string, string] {
  return [`${PROGRAM} ${line}`, what];
}

/** Two columns. */
function table(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
