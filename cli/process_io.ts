import { environment } from "../core/host/file.ts";
import { pciNames } from "../core/platform/pci_names.ts";
import { CliError, EXIT } from "./exit.ts";
import type { Io } from "./io.ts";
import type { System } from "./system.ts";

/** The world of this process: its streams, environment and signals. Needs `--allow-ffi` and nothing else. */
export function processIo(system: System): Io {
  return {
    out: lines(Deno.stdout),
    err: lines(Deno.stderr),
    terminal: Deno.stdout.isTerminal(),
    // Help must not fail for want of a permission.
    get environment() {
      return environment();
    },
    signal: endSignal(),
    system,
    names: pciNames,
  };
}

/** Writes lines, until nobody reads them any more: `ls | head -1` is no error. */
function lines(stream: { writeSync(bytes: Uint8Array): number }): (line: string) => void {
  const encoder = new TextEncoder();
  let open = true;
  return (line) => {
    let bytes = encoder.encode(line + "\n");
    try {
      while (open && bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      open = false;
    }
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
