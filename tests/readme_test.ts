/**
 * The README is for the Deno that this project is built with; what it tells people to do is run by `docs_test.ts`.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";

const README = new URL("../README.md", import.meta.url);
const ROOT = new URL("../", import.meta.url);

function readme(): string | undefined {
  try {
    return Deno.readTextFileSync(README);
  } catch {
    return undefined;
  }
}

const text = readme();
const missing = text === undefined ? " (there is no README.md)" : "";

Deno.test({
  name: `README.md: names the Deno of .tool-versions, and no other${missing}`,
  ignore: text === undefined,
  fn() {
    const tools = Deno.readTextFileSync(new URL(".tool-versions", ROOT));
    const version = /^deno (\S+)$/m.exec(tools)?.[1];
    assert(version, "no deno in .tool-versions");
    assertStringIncludes(text!, `deno@${version}`);
    for (const [, other] of text!.matchAll(/deno@([\d.]+\d)/g)) assertEquals(other, version);
  },
});
