/**
 * The command line: `deno run --allow-ffi main.ts`.
 *
 * @module
 */

import { run } from "./cli/main.ts";
import { processIo } from "./cli/process_io.ts";
import { system } from "./system.ts";

// What modules of the user's print in this program is talk: the standard output is for data.
console.log = console.info = console.debug = console.error;
Deno.exit(await run(Deno.args, processIo(system, import.meta.url)));
