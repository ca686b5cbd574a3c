/**
 * Every step of docs/your-first-driver.md works, in an empty folder outside this project: a fenced block whose first line
 * names a file is that file, one of `sh` is run, and one of `text` is what that prints.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { qemuTest } from "./support/machine.ts";
import { patience } from "./support/patience.ts";

const DOCUMENT = "docs/your-first-driver.md";
const ROOT = new URL("../", import.meta.url).pathname;

const text = Deno.readTextFileSync(`${ROOT}${DOCUMENT}`);

interface Block {
  readonly kind: string;
  readonly file: string | undefined;
  readonly body: string;
  readonly line: number;
}

const blocks: readonly Block[] = [...text.matchAll(/^```(\w+)(?: (\S+))?\n([^]*?)^```$/gm)].map(
  ({ 1: kind, 2: file, 3: body, index }) => ({
    kind: kind!,
    file,
    body: body!,
    line: text.slice(0, index).split("\n").length,
  }),
);

/** Runs a line of shell in a folder. Returns what it printed. */
async function run(command: string, folder: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-ec", command],
    cwd: folder,
    env: { NO_COLOR: "1" },
    stdin: "null",
    signal: patience(),
  }).output();
  const [printed, said] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert(success, `${command}:\n${printed}${said}`);
  return printed!;
}

qemuTest(`${DOCUMENT}: every step works in an empty folder #core:your_first_driver`, async () => {
  const root = await Deno.makeTempDir({ prefix: "virtio-first-" });
  try {
    // The project is next door, as the document says.
    await Deno.symlink(ROOT.replace(/\/$/, ""), `${root}/virtio`);
    const folder = `${root}/edu`;
    const kept = `${root}/kept`;
    await Deno.mkdir(folder);
    let states = 0;
    /** Keeps a copy of the programs as they are now. */
    const keep = () => run(`mkdir -p ${kept}/${++states}; cp *.ts ${kept}/${states}`, folder);
    const files = new Set<string>();
    let printed: string | undefined;
    for (const { kind, file, body, line } of blocks) {
      if (file !== undefined) {
        // What is written anew belongs to another state of the folder.
        if (files.has(file)) {
          await keep();
          files.clear();
        }
        files.add(file);
        await Deno.writeTextFile(`${folder}/${file}`, body);
      } else if (kind === "sh") printed = await run(body, folder);
      else {
        assertEquals(kind, "text", `the block at line ${line} is neither a file nor a command`);
        assert(printed !== undefined, `nothing was run before line ${line}`);
        for (const wanted of body.trimEnd().split("\n")) assertStringIncludes(printed, wanted);
      }
    }
    // Programs run without a look at their types: that takes longest, so it is done once for all.
    await run("rm -f kill.ts edu_test.ts model.ts", folder);
    await keep();
    await Deno.copyFile(`${folder}/deno.json`, `${kept}/deno.json`);
    await run("deno check */*.ts", kept);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test(`${DOCUMENT}: has commands, and says what they print`, () => {
  const kinds = blocks.map(({ kind }) => kind);
  assert(kinds.filter((kind) => kind === "sh").length >= 3);
  assertEquals(
    kinds.filter((kind) => kind === "sh").length,
    kinds.filter((kind) => kind === "text").length,
  );
});

Deno.test(`${DOCUMENT}: its links into the tree lead somewhere`, () => {
  for (const [, target] of text.matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)) {
    Deno.statSync(`${ROOT}docs/${target}`);
  }
});
