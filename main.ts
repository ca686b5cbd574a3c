/**
 * The command line: `deno run --allow-ffi main.ts`.
 *
 * @module
 */

import { run } from "./cli/main.ts";
import { processIo } from "./cli/process_io.ts";
import { system } from "./system.ts";

Deno.exit(await run(Deno.args, processIo(system, import.meta.url)));
