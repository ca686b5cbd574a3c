/**
 * A contender at work.
 *
 * @module
 */

import { lines } from "./lines.ts";
import type { Contender } from "./suite.ts";

/** How long anything may take, in milliseconds. */
const PATIENCE = 120_000;

/** A contender's program. Disposing it ends it. */
export class Racer implements AsyncDisposable {
  readonly name: string;
  readonly #child: Deno.ChildProcess;
  readonly #lines: AsyncGenerator<string>;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #errors: Promise<string>;

  private constructor({ name, command: [program, ...args] }: Contender) {
    this.name = name;
    this.#child = new Deno.Command(program!, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1" },
    }).spawn();
    this.#lines = lines(this.#child.stdout);
    this.#stdin = this.#child.stdin.getWriter();
    this.#errors = new Response(this.#child.stderr).text();
  }

  /**
   * Starts it, and waits until it is ready.
   *
   * @throws {Error} If it says something else, or ends.
   */
  static async start(contender: Contender): Promise<Racer> {
    const racer = new Racer(contender);
    try {
      const said = await racer.#says();
      if (said !== "ready") throw new Error(said);
      return racer;
    } catch (error) {
      await racer[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Has it measure at a point.
   *
   * @throws {Error} If it cannot, with its own words.
   */
  async sample(point: number): Promise<number> {
    await this.#stdin.write(new TextEncoder().encode(`${point}\n`));
    const said = await this.#says();
    const sample = Number(said);
    if (said === "" || !(sample > 0)) throw new Error(said);
    return sample;
  }

  /** Its next line. */
  async #says(): Promise<string> {
    const timer = setTimeout(() => this.#kill(), PATIENCE);
    const { value, done } = await this.#lines.next();
    clearTimeout(timer);
    if (!done) return value;
    const errors = (await this.#errors).trim().split("\n");
    throw new Error(errors.find((line) => /error/i.test(line)) ?? errors.at(-1) ?? "it ended");
  }

  #kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  }

  /** It ends in order when its standard input does, else by force. */
  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => this.#kill(), 10_000);
    await this.#stdin.close().catch(() => {});
    await this.#lines.return(undefined);
    await Promise.all([this.#child.status, this.#errors]);
    clearTimeout(timer);
  }
}
