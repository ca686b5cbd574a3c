/**
 * `deno create jsr:@virtio/deno -- <name>`: writes the folder of a driver to begin with, as the command `new` does and with
 * its options. `--allow-ffi` is all it needs: `deno run --allow-ffi jsr:@virtio/deno/create <name>`.
 *
 * @module
 */

import { run } from "./cli/main.ts";
import { processIo } from "./cli/process_io.ts";
import { system } from "./system.ts";

const args = Deno.args.length > 0 ? Deno.args : ["--help"];
Deno.exit(await run(["new", ...args], processIo(system, import.meta.url)));
