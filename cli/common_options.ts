import type { CommandOption } from "./command.ts";

/** An option that all commands have. */
export interface CommonOption extends CommandOption {
  /** A letter that stands for it, after one dash. */
  readonly letter?: string;
}

/** All of them, in the order in which help lists them. */
export const COMMON_OPTIONS = [
  {
    name: "machine",
    value: "<local|qemu|simulated|vhost-user>",
    summary: "where the devices are (local)",
  },
  {
    name: "qemu",
    value: "<program>",
    summary: "the QEMU to start, with --machine qemu (qemu-system-x86_64 in PATH)",
  },
  { name: "board", value: "<q35|pc>", summary: "what QEMU is to be, with --machine qemu (q35)" },
  {
    name: "isolation",
    value: "<process|inline>",
    summary: "where drivers run (process: each in one of its own)",
  },
  {
    name: "interrupts",
    value: "<msix|shared|intx|polling>",
    summary: "the best way to use in which devices tell that they are done (msix)",
  },
  {
    name: "legacy",
    summary: "use the registers from before version 1 of transitional devices",
  },
  {
    name: "unsafe-dma",
    summary: "drive devices of this machine, too, that could reach all of its memory",
  },
  {
    name: "plugins",
    value: "<folder>",
    summary: "the folder of a driver, to be taken before our own; may be repeated",
  },
  {
    name: "class",
    value: "<module>",
    summary:
      "device classes for such drivers; RUNS IN THIS PROGRAM, WITH ITS RIGHTS; may be repeated",
  },
  {
    name: "model",
    value: "<module>",
    summary:
      "a device of a simulated machine, instead of the usual ones; runs likewise; may be repeated",
  },
  {
    name: "tune",
    value: "<driver.name=value>",
    summary: "a choice that a driver offers, see drivers; may be repeated",
  },
  {
    name: "trace",
    value: "<file>",
    summary: "tell all that happens: as lines (.txt), for Perfetto (.json), as a page (.html)",
  },
  {
    name: "trace-limit",
    value: "<MiB>",
    summary: "the most that the trace may have (256; a page 16)",
  },
  {
    name: "control",
    value: "<socket>",
    summary: "let top, hosts and show --live of this user look at the machine",
  },
  {
    name: "metrics",
    value: "<socket|file>",
    summary: "figures for Prometheus: at a socket if it ends in .sock, else in a file",
  },
  { name: "json", summary: "data and errors as JSON; schemas/ has what it is like" },
  {
    name: "timeout",
    value: "<seconds>",
    summary:
      "give up after that (120, unless a command goes on until it is ended); exit status 124",
  },
  { name: "quiet", letter: "q", summary: "no talk on stderr but errors" },
  { name: "verbose", letter: "v", summary: "more details, and more talk on stderr" },
  { name: "no-color", summary: "no colours, as with NO_COLOR=1 or without a terminal" },
  { name: "help", letter: "h", summary: "this text; after a command, the command's" },
  { name: "version", letter: "V", summary: "the version" },
] as const satisfies readonly CommonOption[];

type Common = typeof COMMON_OPTIONS[number];
/** The name of one that takes a value. */
export type ValueName = Extract<Common, { readonly value: string }>["name"];
/** The name of one that takes none. */
export type FlagName = Exclude<Common["name"], ValueName>;

/** Those that take a value. */
export const VALUES: readonly ValueName[] = COMMON_OPTIONS.flatMap((option) =>
  "value" in option ? [option.name] : []
);
/** Those that take none. */
export const FLAGS: readonly FlagName[] = COMMON_OPTIONS.flatMap((option) =>
  "value" in option ? [] : [option.name]
);
/** Letters that stand for them. */
export const LETTERS: Readonly<Record<string, string>> = Object.fromEntries(
  COMMON_OPTIONS.flatMap((option) => "letter" in option ? [[option.letter, option.name]] : []),
);
