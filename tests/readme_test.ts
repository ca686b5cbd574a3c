/**
 * What the README tells people to do works. A fenced `ts` block whose first line is `// run` is a whole program: it is
 * run as an application would run it, with `--allow-ffi` and nothing else; a line `// output: text` in it says what it
 * prints.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { patience } from "./support/patience.ts";

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

Deno.test({
  name: `README.md: its links into the tree lead somewhere${missing}`,
  ignore: text === undefined,
  fn() {
    for (const [, target] of text!.matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)) {
      Deno.statSync(new URL(target!, ROOT));
    }
  },
});

/** The programs, with the line each begins at. */
const programs = [...(text ?? "").matchAll(/^```(?:ts|typescript)\n(\/\/ run\b[^]*?)^```$/gm)].map(
  ({ 1: source, index }) => ({ source: source!, line: text!.slice(0, index).split("\n").length }),
);

Deno.test({
  name: `README.md: has a program to run${missing}`,
  ignore: text === undefined,
  fn: () => assert(programs.length > 0, "no ```ts block begins with the line // run"),
});

for (const { source, line } of programs) {
  Deno.test(`README.md: the program at line ${line} runs`, async () => {
    // In the tree, so that its imports mean this project.
    const file = await Deno.makeTempFile({
      dir: new URL(".", import.meta.url).pathname,
      prefix: "readme_",
      suffix: ".ts",
    });
    try {
      await Deno.writeTextFile(file, source);
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        signal: patience(),
        args: ["run", "--check", "--allow-ffi", "--no-prompt", file],
        cwd: ROOT,
        env: { NO_COLOR: "1" },
        stdin: "null",
      }).output();
      assert(success, new TextDecoder().decode(stderr));
      const wanted = [...source.matchAll(/^\/\/ output: (.*)$/gm)].map(([, text]) => text!);
      const printed = new TextDecoder().decode(stdout);
      for (const text of wanted) assertStringIncludes(printed, text);
    } finally {
      await Deno.remove(file);
    }
  });
}
