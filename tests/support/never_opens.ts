/**
 * The command line on a machine that never opens, so that nothing ever finishes.
 *
 * @module
 */

import { run } from "../../cli/main.ts";
import { processIo } from "../../cli/process_io.ts";

if (import.meta.main) {
  setInterval(() => {}, 1000);
  const never = () => new Promise<never>(() => {});
  const system = {
    loadDrivers: never,
    openKernel: never,
    rebind: never,
    diagnose: never,
    walls: never,
    importModule: never,
    loadConform: never,
    loadServing: never,
    loadClasses: never,
    loadTesting: never,
    loadWatch: never,
    writeFolder: never,
  };
  Deno.exit(
    await run(["ls", "--machine", "simulated", "--verbose"], processIo(system, import.meta.url)),
  );
}
