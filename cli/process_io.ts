import { environment } from "../core/host/file.ts";
import { pciNames } from "../core/platform/pci_names.ts";
import { CliError, EXIT } from "./exit.ts";
import type { Io } from "./io.ts";
import type { System } from "./system.ts";

/** The world of this process: its streams, environment and signals. Needs `--allow-ffi` and nothing else. */
export function processIo(system: System): Io {
  const write = writer(Deno.stdout);
  return {
    out: lines(write),
    write,
    err: lines(writer(Deno.stderr)),
    terminal: Deno.stdout.isTerminal(),
    input: {
      terminal: Deno.stdin.isTerminal(),
      read: (into) => Deno.stdin.read(into),
      raw: (on) => Deno.stdin.setRaw(on),
    },
    // Help must not fail for want of a permission.
    get environment() {
      return environment();
    },
    denoVersion: Deno.version.deno,
    signal: endSignal(),
    system,
    names: pciNames,
  };
}

/** Writes lines. */
function lines(write: (bytes: Uint8Array) => unknown): (line: string) => void {
  const encoder = new TextEncoder();
  return (line) => void write(encoder.encode(line + "\n"));
}

/** Writes bytes, until nobody reads them any more: `ls | head -1` is no error. */
function writer(
  stream: { writeSync(bytes: Uint8Array): number },
): (bytes: Uint8Array) => boolean {
  let open = true;
  return (bytes) => {
    try {
      while (open && bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      open = false;
    }
    return open;
  };
}

/** The first SIGINT or SIGTERM lets the program clean up, the second ends it at once. */
function endSignal(): AbortSignal {
  const controller = new AbortController();
  const ends = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;
  for (const [name, exit] of Object.entries(ends) as ["SIGINT" | "SIGTERM", 130 | 143][]) {
    Deno.addSignalListener(name, () => {
      if (controller.signal.aborted) Deno.exit(exit);
      controller.abort(new CliError(exit, `Ended by ${name}`));
    });
  }
  return controller.signal;
}
