/**
 * The part of the guest that may differ from run to run: this project as it is, and the guest's first process.
 *
 * @module
 */

import { type Entry, file, program } from "./cpio.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** Folders that neither the program nor the jobs need; of some, a part. */
const LEFT_OUT = ["bench", "coverage", "docs", "examples", "node_modules", "tests", "tools"];
const PARTS = [
  "tests/guest",
  "tests/support/plugin.ts",
  "tests/third_party/edu",
  "tools/guest/machine.ts",
];

/** The entries. */
export function* appEntries(): Generator<Entry> {
  yield program("init", Deno.readFileSync(`${ROOT}tools/guest/init.sh`));
  const top = [...Deno.readDirSync(ROOT)].map(({ name }) => name)
    .filter((name) => !name.startsWith(".") && !LEFT_OUT.includes(name));
  for (const path of [...top, ...PARTS]) yield* copies(`${ROOT}${path}`, `app/${path}`);
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
