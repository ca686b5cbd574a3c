/**
 * Pages of documentation, taken apart and run: what a page tells its reader to do works.
 *
 * A fenced block is, by the words behind its fence:
 *
 * - `ts mod.ts`, `json deno.json`: a file with that name, written into the page's folder.
 * - `sh`: commands, run there; each must succeed. `text` right behind it is what they print, line by line.
 * - `ts` whose first line is `// run`: a program, run with `--allow-ffi`; its lines `// output: text` are what it prints.
 * - `text`, `json`, `xml` elsewhere: something to look at.
 *
 * A comment right above a block says what is different about it:
 *
 * - `<!-- not run: why -->`, and `<!-- run by: tests/x_test.ts -->`, which must name the page.
 * - `<!-- needs: nbdkit, root -->`: programs, or what {@linkcode WANTS} knows; without them it is skipped, with a line.
 * - `<!-- serves: /tmp/disk.sock -->`: goes on in the background once that is there; Ctrl-C ends it with the page, or
 *   where a block says `<!-- ends: /tmp/disk.sock -->`.
 * - `<!-- exit: 4 -->`: the status that it ends with.
 *
 * Several stand in one comment, with a semicolon between. In a page's folder `virtio` and `main.ts` are the program, and
 * `/tmp` is a folder of the page's own.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { findProgram } from "../../core/linux/file.ts";
import "./libc.ts";
import { soon } from "./leaks.ts";
import { isUp } from "./listening.ts";
import { testWith } from "./needs.ts";
import { patience } from "./patience.ts";

/** The folder of the project, without a slash at its end. */
export const ROOT: string = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** A fenced block of a page. */
export interface Block {
  /** The first word behind the fence: `"sh"`. */
  readonly kind: string;
  /** The second: the name of a file. */
  readonly file: string | undefined;
  readonly body: string;
  /** Where it stands, for errors. */
  readonly line: number;
  /** What a comment above it says, by its words. */
  readonly marks: Readonly<Partial<Record<Mark, string>>>;
  /** Whether it stands right behind the block before it. */
  readonly follows: boolean;
}

const MARKS = ["not run", "run by", "needs", "serves", "ends", "exit"] as const;
type Mark = typeof MARKS[number];

/** Kinds of blocks that are looked at, and not run. */
const SHOWN = ["text", "json", "xml"];
/** A line that is a command, wherever it stands. */
const COMMAND = /^\s*(\$ |(sudo |npx -y )?deno(@[\d.]+)? |virtio |qemu-|nbd\w+ |apt(-get)? )/m;

/** All that a page may need of a machine besides programs: why it is missing. */
const WANTS: Readonly<Record<string, () => string | undefined>> = {
  root: () => Deno.uid() === 0 ? undefined : "this is not root",
  tun: () => exists("/dev/net/tun") ? undefined : "there is no /dev/net/tun",
};

/** The paths of all pages, from the project's folder. */
export function pages(): string[] {
  const docs = [...Deno.readDirSync(`${ROOT}/docs`)].map(({ name }) => name).sort();
  return [
    "README.md",
    ...docs.filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
  ];
}

/** The text of a page. */
export function textOf(page: string): string {
  return Deno.readTextFileSync(`${ROOT}/${page}`);
}

/**
 * Takes a page apart.
 *
 * @throws {SyntaxError} If a block is neither run nor says why not.
 */
export function blocksOf(page: string, text: string = textOf(page)): Block[] {
  const blocks: Block[] = [];
  let end = -1;
  const fence = /(?:^<!-- ([^\n]*?) -->\n\n?)?^(```+)([^\n`]*)\n([^]*?)^\2$/gm;
  for (const { 0: whole, 1: comment, 3: words, 4: body, index } of text.matchAll(fence)) {
    const [kind = "", file] = words!.trim().split(/\s+/);
    const block: Block = {
      kind,
      file,
      body: body!,
      line: text.slice(0, index).split("\n").length + (comment === undefined ? 0 : 1),
      marks: marksOf(comment),
      follows: end >= 0 && text.slice(end, index).trim() === "",
    };
    const wrong = whyWrong(block, blocks.at(-1), page);
    if (wrong !== undefined) throw new SyntaxError(`${page}:${block.line}: ${wrong}`);
    blocks.push(block);
    end = index + whole!.length;
  }
  return blocks;
}

function marksOf(comment = ""): Block["marks"] {
  return Object.fromEntries(
    comment.split(/;\s+/).flatMap((part) => {
      const [, name, value] = /^([a-z ]+): (.+)$/.exec(part) ?? [];
      return MARKS.includes(name as Mark) ? [[name, value]] : [];
    }),
  );
}

function whyWrong(block: Block, before: Block | undefined, page: string): string | undefined {
  const { kind, file, body, marks, follows } = block;
  const by = marks["run by"];
  if (by !== undefined) {
    if (exists(`${ROOT}/${by}`) && textOf(by).includes(page)) return undefined;
    return `it is said to be run by ${by}, which does not name ${page}`;
  }
  if (marks["not run"] !== undefined || kind === "sh" || file !== undefined) return undefined;
  if (kind === "ts") {
    return body.startsWith("// run\n") ? undefined : "code that is neither a file nor run";
  }
  if (!SHOWN.includes(kind)) return `a block of the kind ${JSON.stringify(kind)}`;
  if (kind === "text" && follows && before?.kind === "sh") return undefined;
  return COMMAND.test(body) ? "a command that is neither run nor says why not" : undefined;
}

/** Whether something stands at a path. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** What a block needs and this machine does not have. */
function missing({ marks: { needs = "" } }: Block): string | undefined {
  return needs.split(/,\s*/).filter(Boolean).map((need) => {
    if (Object.hasOwn(WANTS, need)) return WANTS[need]!();
    if (need.startsWith("/")) return exists(need) ? undefined : `there is no ${need}`;
    return findProgram(need) === undefined ? `there is no ${need}` : undefined;
  }).find(Boolean);
}

/** What a page's folder has that brings no `deno.json` of its own: the project is next door. */
const CONFIG = { imports: { "@virtio/deno": "jsr:@virtio/deno@^0.1" }, links: ["../virtio"] };

/** Writes a file, and makes its folder. */
function writeFile(path: string, text: string): void {
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  Deno.writeTextFileSync(path, text);
}

/**
 * Looks at the types of the programs of all pages: together, since that takes longest, and apart from running them.
 * A file that a page writes anew begins another state of its folder.
 */
export async function checkPrograms(): Promise<void> {
  const root = Deno.makeTempDirSync({ prefix: "virtio-pages-" });
  try {
    Deno.symlinkSync(ROOT, `${root}/virtio`);
    writeFile(`${root}/pages/deno.json`, JSON.stringify(CONFIG));
    const programs: string[] = [];
    for (const page of pages()) {
      let files = new Map<string, string>();
      const states = [files];
      for (const { kind, file = "program.ts", body, marks } of blocksOf(page)) {
        const runs = kind === "ts" && Object.keys(marks).length === 0;
        if (!runs && !file.endsWith(".json") || file === "deno.json") continue;
        if (files.has(file)) states.push(files = new Map(files));
        files.set(file, body);
      }
      for (const [i, files] of states.entries()) {
        for (const [file, body] of files) {
          const path = `${page}/${i}/${file}`;
          writeFile(`${root}/pages/${path}`, body);
          // What a page has left behind need not go with what it goes on with.
          if (file.endsWith(".ts") && states[i - 1]?.get(file) !== body) programs.push(path);
        }
      }
    }
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", ...programs],
      cwd: `${root}/pages`,
      env: { NO_COLOR: "1" },
      signal: AbortSignal.timeout(CHECK_MS),
    }).output();
    assert(success, new TextDecoder().decode(stderr));
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

/** The compiler looks at all of the project. */
const CHECK_MS = 900_000;

/** A program that goes on in the background. */
interface Server {
  readonly path: string;
  readonly child: Deno.ChildProcess;
  readonly output: Promise<Deno.CommandOutput>;
}

/** The folder in which a page is run. */
class Place implements AsyncDisposable {
  readonly #root = Deno.makeTempDirSync({ prefix: "virtio-page-" });
  readonly #servers: Server[] = [];

  constructor() {
    Deno.symlinkSync(ROOT, `${this.#root}/virtio`);
    for (const name of ["bin", "tmp", "work"]) Deno.mkdirSync(`${this.#root}/${name}`);
    Deno.writeTextFileSync(`${this.#root}/work/deno.json`, JSON.stringify(CONFIG));
    // The program has its own names where no file of the page has them.
    const main = `${ROOT}/main.ts`;
    this.#script(
      "deno",
      `for word do shift; case $word in main.ts) [ -e main.ts ] || word=${main};; esac; ` +
        `set -- "$@" "$word"; done\nexec ${Deno.execPath()} "$@"`,
    );
    this.#script("virtio", `exec ${Deno.execPath()} run --allow-ffi ${main} "$@"`);
  }

  #script(name: string, text: string): void {
    Deno.writeTextFileSync(`${this.#root}/bin/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }

  /** Text of a page with the paths that it has here. */
  #here(text: string): string {
    return text.replaceAll(/(?<![\w.])\/tmp\b/g, `${this.#root}/tmp`);
  }

  #command(script: string, options: Deno.CommandOptions = {}): Deno.Command {
    return new Deno.Command("sh", {
      args: ["-ec", this.#here(script)],
      cwd: `${this.#root}/work`,
      env: {
        NO_COLOR: "1",
        DENO_NO_PROMPT: "1",
        DENO_NO_UPDATE_CHECK: "1",
        PATH: `${this.#root}/bin:${Deno.env.get("PATH")}`,
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...options,
    });
  }

  /** Writes a file. */
  write(name: string, body: string): void {
    writeFile(`${this.#root}/work/${name}`, this.#here(body));
  }

  /** Runs a script to its end. Returns what it printed. */
  async run(script: string, exit = 0): Promise<string> {
    const { code, stdout, stderr } = await this.#command(script, { signal: patience() }).output();
    const [printed, said] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals(code, exit, `${script}\n${printed}${said}`);
    return `${printed}${said}`.replaceAll(`${this.#root}/tmp`, "/tmp");
  }

  /** Starts one that goes on, and waits until it is at work. */
  async serve(script: string, path: string): Promise<void> {
    // The program itself, and not the shell, is what Ctrl-C ends.
    const child = this.#command(`exec ${script.trimStart()}`).spawn();
    const server = { path, child, output: child.output() };
    this.#servers.push(server);
    const here = this.#here(path);
    const up = await Promise.race([soon(() => isUp(here), 60_000), server.output]);
    if (up === true) return;
    const { stderr } = await this.#end(server);
    throw new Error(`${script} does not serve ${path}: ${new TextDecoder().decode(stderr)}`);
  }

  /** Ends what serves a path. */
  async end(path: string): Promise<void> {
    const server = this.#servers.find((each) => each.path === path);
    assert(server, `nothing serves ${path}`);
    const { code, stderr } = await this.#end(server);
    assert([0, 130].includes(code), `${path}: ${code} ${new TextDecoder().decode(stderr)}`);
  }

  async #end(server: Server): Promise<Deno.CommandOutput> {
    this.#servers.splice(this.#servers.indexOf(server), 1);
    try {
      server.child.kill("SIGINT");
    } catch {
      // It has ended.
    }
    const late = setTimeout(() => server.child.kill("SIGKILL"), 30_000);
    const output = await server.output;
    clearTimeout(late);
    return output;
  }

  /** Ends all that goes on. */
  async endAll(): Promise<void> {
    for (const { path } of [...this.#servers].reverse()) await this.end(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [...this.#servers]) await this.#end(server);
    Deno.removeSync(this.#root, { recursive: true });
  }
}

/**
 * Declares a test that does all that a page says.
 *
 * @param tags The rows that it proves besides: `"#core:third_party"`.
 * @param obstacle What of all that it needs is missing; undefined if nothing is.
 */
export function pageTest(page: string, tags: string, obstacle?: string): void {
  testWith(obstacle, `${page}: what it says works #core:docs ${tags}`.trimEnd(), async (t) => {
    await using place = new Place();
    let printed: string | undefined;
    for (const block of blocksOf(page)) {
      const { kind, file, body, line, marks } = block;
      const skipped = marks["not run"] ?? marks["run by"] ?? missing(block);
      if (marks.needs !== undefined && skipped !== undefined) {
        console.log(`skipped: ${page}:${line}: ${skipped}`);
      }
      if (skipped !== undefined) printed = undefined;
      else if (file !== undefined) place.write(file, body);
      else if (kind === "sh" || kind === "ts") {
        await t.step(`line ${line}: ${body.trim().split("\n")[0]}`, async () => {
          if (marks.ends !== undefined) await place.end(marks.ends);
          if (kind === "ts") printed = await runProgram(place, body);
          else if (marks.serves !== undefined) await place.serve(body, marks.serves);
          else printed = await place.run(body, Number(marks.exit ?? 0));
        });
      } else if (kind === "text" && block.follows && printed !== undefined) {
        for (const wanted of body.trimEnd().split("\n")) assertStringIncludes(printed, wanted);
      }
    }
    await place.endAll();
  });
}

async function runProgram(place: Place, body: string): Promise<string> {
  place.write("program.ts", body);
  const printed = await place.run("deno run --allow-ffi program.ts");
  for (const [, wanted] of body.matchAll(/^\/\/ output: (.*)$/gm)) {
    assertStringIncludes(printed, wanted!);
  }
  return printed;
}
