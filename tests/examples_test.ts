/**
 * The examples: each is a program that runs with `--allow-ffi` and nothing else, and prints what its lines
 * `// prints: text` say, in their order.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { patience } from "./support/patience.ts";

const FOLDER = new URL("../examples/", import.meta.url);

for (const { name } of [...Deno.readDirSync(FOLDER)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  if (!name.endsWith(".ts")) continue;
  Deno.test(`examples/${name}: runs with its only permission, and prints what it says`, async () => {
    const file = new URL(name, FOLDER);
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      signal: patience(),
      args: ["run", "--no-prompt", "--allow-ffi", file.pathname],
      stdin: "null",
      env: { NO_COLOR: "1" },
    }).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert(success, `${out}${err}`);
    const wanted = [...Deno.readTextFileSync(file).matchAll(/^\/\/ prints: (.+)$/gm)]
      .map(([, text]) => text!);
    assert(wanted.length > 0, "it says nothing of what it prints");
    let at = 0;
    const missing = wanted.filter((text) => {
      const found = out!.indexOf(text, at);
      if (found >= 0) at = found + text.length;
      return found < 0;
    });
    assertEquals(missing, [], out);
  });
}
