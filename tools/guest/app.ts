/**
 * The part of the guest that may differ from run to run: this project as it is, and the guest's first process.
 *
 * @module
 */

import { type Entry, file, program } from "./cpio.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** What the program and the jobs need. */
const WANTED = [
  "deno.json",
  "deno.lock",
  "main.ts",
  "mod.ts",
  "drivers.ts",
  "core",
  "cli",
  "plugins",
  "bridge",
  "tests/guest",
  "tests/support/plugin.ts",
  "tools/guest/machine.ts",
];

/** The entries. */
export function* appEntries(): Generator<Entry> {
  yield program("init", Deno.readFileSync(`${ROOT}tools/guest/init.sh`));
  for (const path of WANTED) yield* copies(`${ROOT}${path}`, `app/${path}`);
  const { npmCache } = JSON.parse(new TextDecoder().decode(
    new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).outputSync().stdout,
  ));
  // There is no network in the guest; Deno wants all that the lock file names, used or not.
  const { npm } = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.lock`));
  for (const name of Object.keys(npm).map((each) => each.replace(/@[^@]*$/, ""))) {
    const path = `npm/registry.npmjs.org/${name}`;
    yield* copies(`${npmCache}/../${path}`, `deno/${path}`);
  }
}

/** A file, or a folder and all in it but tests. */
function* copies(from: string, to: string): Generator<Entry> {
  if (Deno.statSync(from).isFile) {
    if (!from.endsWith("_test.ts")) yield file(to, Deno.readFileSync(from));
    return;
  }
  for (const { name } of Deno.readDirSync(from)) {
    if (name !== "node_modules") yield* copies(`${from}/${name}`, `${to}/${name}`);
  }
}
