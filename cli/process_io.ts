import { commandLine, environment, isIgnored, SIGHUP } from "../core/linux/mod.ts";
import { pciNames } from "../machine/mod.ts";
import { CliError, EXIT, type ExitCode, messageOf } from "./exit.ts";
import type { Io } from "./io.ts";
import { USUAL_COLUMNS } from "./layout.ts";
import { programName } from "./program_name.ts";
import type { System } from "./system.ts";

/**
 * The world of this process: its streams, environment and signals. Needs `--allow-ffi` and nothing else.
 *
 * @param main URL of the program's main module.
 */
export function processIo(system: System, main: string): Io {
  // Before anything is listened to: Deno catches SIGHUP itself from then on.
  const nohup = outlivesTerminal();
  const write = writer(Deno.stdout, "the standard output");
  const aside = writer(Deno.stderr);
  const err = lines(aside);
  const keys = terminalKeys();
  return {
    out: lines(write),
    write,
    err,
    terminal: Deno.stdout.isTerminal(),
    get columns() {
      return Deno.stdout.isTerminal() ? consoleColumns() : undefined;
    },
    side: Deno.stderr.isTerminal()
      ? {
        get columns() {
          return consoleColumns() || USUAL_COLUMNS;
        },
        draw: (text) => void aside(new TextEncoder().encode(text)),
      }
      : undefined,
    get program() {
      const { standalone } = Deno.build;
      return programName({ main, commandLine: orNothing(commandLine, []), standalone });
    },
    input: {
      terminal: Deno.stdin.isTerminal(),
      read: (into) => Deno.stdin.read(into),
      raw: keys.raw,
    },
    // Help must not fail for want of a permission.
    get environment() {
      return orNothing(environment, {});
    },
    denoVersion: Deno.version.deno,
    signal: endSignal(nohup, (signal, exit) => {
      keys.raw(false);
      err(`Ended at once by another ${signal}: what was not finished may be lost`);
      Deno.exit(exit);
    }),
    system,
    names: pciNames,
  };
}

/** What only the permission for C functions lets us look at: without it nothing runs that could need it. */
function orNothing<T>(look: () => T, nothing: T): T {
  try {
    return look();
  } catch {
    return nothing;
  }
}

function consoleColumns(): number {
  return orNothing(() => Deno.consoleSize().columns, 0);
}

/** Writes lines. */
function lines(write: (bytes: Uint8Array) => unknown): (line: string) => void {
  const encoder = new TextEncoder();
  return (line) => void write(encoder.encode(line + "\n"));
}

/**
 * Writes bytes, until they are read no more: `ls | head -1` is no error, nor is a terminal that is gone.
 *
 * @param data What it is called if what is written there matters; elsewhere no failure is told.
 */
function writer(
  stream: { writeSync(bytes: Uint8Array): number; isTerminal(): boolean },
  data?: string,
): (bytes: Uint8Array) => boolean {
  const matters = data !== undefined && !stream.isTerminal();
  let open = true;
  return (bytes) => {
    try {
      while (open && bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
    } catch (error) {
      open = false;
      if (matters && !(error instanceof Deno.errors.BrokenPipe)) {
        throw new CliError(EXIT.failed, `Cannot write to ${data}: ${messageOf(error)}`);
      }
    }
    return open;
  };
}

/** Switches a terminal between keys and lines. */
function terminalKeys(): { raw(on: boolean): void } {
  let raw = false;
  // The shell has made the terminal its own while the program was stopped.
  Deno.addSignalListener("SIGCONT", () => raw && Deno.stdin.setRaw(true));
  return {
    raw(on) {
      if (on === raw) return;
      raw = on;
      Deno.stdin.setRaw(on);
    },
  };
}

/** Whether nohup wants it to. Without the permission to look nothing runs that could end. */
function outlivesTerminal(): boolean {
  return orNothing(() => isIgnored(SIGHUP), false);
}

/** What tells the program to end, and its status then. */
const ENDS = [
  ["SIGINT", EXIT.interrupted],
  ["SIGTERM", EXIT.terminated],
  ["SIGHUP", EXIT.hungUp],
] as const;
/** What `timeout` and other wrappers send on comes twice, within so many milliseconds: it is the same wish. */
const SAME_WISH = 250;

/**
 * The first signal lets the program clean up. Another SIGINT ends it at once: only a person sends that, and sees what
 * is waited for.
 */
function endSignal(
  nohup: boolean,
  atOnce: (signal: string, exit: ExitCode) => void,
): AbortSignal {
  const controller = new AbortController();
  let first = 0;
  for (const [name, exit] of ENDS) {
    Deno.addSignalListener(name, () => {
      if (name === "SIGHUP" && nohup) return;
      const now = performance.now();
      if (!controller.signal.aborted) {
        first = now;
        controller.abort(new CliError(exit, `Ended by ${name}`));
      } else if (name === "SIGINT" && now - first > SAME_WISH) atOnce(name, exit);
    });
  }
  return controller.signal;
}
