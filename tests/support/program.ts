/**
 * Programs that tests start: our own, as a user starts it, and others.
 *
 * @module
 */

import { PATIENCE } from "./patience.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** What starts the program with these arguments, as a user does. */
export function program(...args: readonly string[]): string[] {
  return [Deno.execPath(), "run", "--no-prompt", "--allow-ffi", `${ROOT}main.ts`, ...args];
}

/** Starts a program whose output is read as it comes. */
export function start(
  [command, ...args]: readonly string[],
  signal?: AbortSignal,
): Deno.ChildProcess {
  return new Deno.Command(command!, {
    args: [...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
    ...(signal && { signal }),
  }).spawn();
}

/** What a program left behind. */
export interface Ended {
  /** Its exit status. */
  readonly code: number;
  /** Its standard output, as bytes and as text. */
  readonly out: Uint8Array;
  readonly text: string;
  /** Its standard error. */
  readonly err: string;
}

/** A program that runs; disposing it ends it. One that serves a whole test must be there as long, however slow it is. */
export class Running implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<Deno.CommandOutput>;
  readonly #signal = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout>;

  constructor(command: readonly string[]) {
    this.#timer = setTimeout(() => this.#signal.abort(), PATIENCE);
    this.#child = start(command, this.#signal.signal);
    this.#output = this.#child.output();
  }

  /** As a user who has enough of it. */
  interrupt(): void {
    this.#child.kill("SIGINT");
  }

  /** As the kernel ends one that is out of memory. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended();
  }

  /** Waits for its end. */
  async ended(): Promise<Ended> {
    const { code, stdout, stderr } = await this.#output;
    clearTimeout(this.#timer);
    const decoder = new TextDecoder();
    return { code, out: stdout, text: decoder.decode(stdout), err: decoder.decode(stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.abort();
    await this.ended();
  }
}

/** Runs a program until it ends. */
export async function run(...command: readonly string[]): Promise<Ended> {
  await using running = new Running(command);
  return await running.ended();
}

/** What a program complained of, without the sentence by which one on a busy machine says that it is not done yet. */
export function complaints(err: string): string {
  return err.replace(/^Still finishing what is under way; .*\n/m, "");
}
