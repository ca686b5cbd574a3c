/**
 * The examples work: each is run as an application would run it, with `--allow-ffi` and nothing else, and prints what
 * its lines `// prints: text` say.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);
const EXAMPLES = new URL("examples/", ROOT);

for (const { name } of [...Deno.readDirSync(EXAMPLES)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  if (!name.endsWith(".ts")) continue;
  Deno.test(`examples/${name} prints what it says`, async () => {
    const text = await Deno.readTextFile(new URL(name, EXAMPLES));
    const wanted = [...text.matchAll(/^\/\/ prints: (.*)$/gm)].map(([, line]) => line);
    assert(wanted.length > 0, "it does not say what it prints");
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-ffi", "--no-prompt", "--cached-only", `examples/${name}`],
      cwd: ROOT,
      signal: AbortSignal.timeout(60_000),
    }).output();
    const decoder = new TextDecoder();
    assertEquals([code, decoder.decode(stderr)], [0, ""]);
    assertEquals(decoder.decode(stdout).trimEnd().split("\n"), wanted);
  });
}
