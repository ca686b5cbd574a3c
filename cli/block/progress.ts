import type { Context } from "../command.ts";
import { formatSize } from "./size.ts";

const WIDTH = 30;
const EVERY_MS = 100;

/**
 * A bar that grows, where a person sees it and did not ask for silence or JSON. By hand, as the bar of `@std/cli` is unstable,
 * writes to a stream of its own timer, and is not on npm.
 */
export class Progress {
  readonly #write: ((text: string) => void) | undefined;
  readonly #what: string;
  readonly #total: number | undefined;
  readonly #start = performance.now();
  #shown = -Infinity;

  /** @param total What 100 % is; undefined if unknown. */
  constructor(
    { io, options }: Pick<Context, "io" | "options">,
    what: string,
    total: number | undefined,
  ) {
    this.#what = what;
    this.#total = total;
    const encoder = new TextEncoder();
    if (io.terminal && !options.quiet && !options.json) {
      this.#write = (text) => void io.write(encoder.encode(text));
    }
  }

  /** So much is done. */
  show(done: number): void {
    const now = performance.now();
    if (!this.#write || now - this.#shown < EVERY_MS) return;
    this.#shown = now;
    const rate = formatSize(done / Math.max(now - this.#start, 1) * 1000);
    this.#write(`\r\x1b[K${this.#what} ${this.#bar(done)}${formatSize(done)}, ${rate}/s`);
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#shown !== -Infinity) this.#write?.("\r\x1b[K");
  }

  #bar(done: number): string {
    if (!this.#total) return "";
    const part = Math.min(1, done / this.#total);
    const filled = Math.round(part * WIDTH);
    const percent = `${Math.floor(part * 100)}`.padStart(3);
    return `${percent}% [${"#".repeat(filled)}${" ".repeat(WIDTH - filled)}] `;
  }
}
