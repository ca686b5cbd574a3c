/**
 * Programs on a terminal of their own: what a person types there, Ctrl-C too, goes the way that it goes on a real one.
 *
 * @module
 */

import { findProgram } from "../../core/linux/file.ts";
import { alive, soon } from "./leaks.ts";

const script = findProgram("script");
/** Why no program can be given a terminal; undefined if one can. */
export const withoutTerminal: string | undefined = script
  ? undefined
  : "there is no script (bsdutils)";
if (withoutTerminal) console.log(`skipped: tests on a terminal: ${withoutTerminal}`);

/** A program that does not end has failed. */
const PATIENCE = 90_000;

/** What Ctrl-C and Ctrl-Z send. */
export const CTRL_C = "\x03", CTRL_Z = "\x1a";

/** A program on a terminal. Disposing it ends it. */
export class OnTerminal implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;
  readonly #read: Promise<void>;
  /** What it has shown so far. */
  text = "";

  /** @param line For a shell, which becomes the program: what the terminal signals is the program, and what it started. */
  constructor(line: string) {
    const child = this.#child = new Deno.Command(script!, {
      args: ["-qefc", `exec ${line}`, "/dev/null"],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      env: { NO_COLOR: "1", TERM: "dumb", SHELL: "/bin/sh" },
    }).spawn();
    this.#keys = child.stdin.getWriter();
    this.#read = (async () => {
      const shown = child.stdout.pipeThrough(new TextDecoderStream());
      for await (const piece of shown) this.text += piece;
    })();
  }

  /** The program's process. */
  get pid(): number | undefined {
    return childrenOf(this.#child.pid)[0];
  }

  /** What the program has started. */
  get servants(): number[] {
    return this.pid === undefined ? [] : childrenOf(this.pid);
  }

  /** Lets what was stopped go on: script stops with the program, and goes on before it. */
  resume(): void {
    this.#child.kill("SIGCONT");
    if (this.pid !== undefined) Deno.kill(this.pid, "SIGCONT");
  }

  /** Types. */
  type(keys: string): Promise<void> {
    return this.#keys.write(new TextEncoder().encode(keys));
  }

  /** Waits until it shows something. */
  shows(wanted: string | RegExp): Promise<boolean> {
    const shown = () =>
      typeof wanted === "string" ? this.text.includes(wanted) : wanted.test(this.text);
    return soon(shown, PATIENCE);
  }

  /** Waits for its end: its exit status. */
  async ended(): Promise<number> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE);
    const { code } = await this.#child.status;
    clearTimeout(timer);
    await this.#read;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid } = this;
    if (pid !== undefined && alive(pid)) Deno.kill(pid, "SIGKILL");
    await this.#keys.close().catch(() => {});
    await this.ended();
  }
}

/** The processes that a process has started and that are still there. */
export function childrenOf(pid: number): number[] {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/task`)].flatMap(({ name }) =>
      Deno.readTextFileSync(`/proc/${pid}/task/${name}/children`).split(" ").filter((word) => word)
        .map(Number)
    );
  } catch {
    return []; // It has ended meanwhile.
  }
}
