import { format } from "@std/fmt/duration";
import { formatSize } from "./block/size.ts";
import type { Context } from "./command.ts";
import { clipped, widthOf } from "./layout.ts";

/** The longest bar, and the shortest from which anything can be seen. */
const LONGEST = 30, SHORTEST = 8;
const EVERY_MS = 100;
/** After so many milliseconds it can be said how long the rest takes. */
const KNOWN_MS = 1000;

/**
 * A bar that grows, where a person sees it and did not ask for silence or JSON. It is drawn beside the data, on the standard
 * error. By hand, as the bar of `@std/cli` is unstable, writes to a stream of its own timer, and is not on npm.
 */
export class Progress implements Disposable {
  readonly #terminal: Context["io"]["side"];
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
    if (!options.quiet && !options.json) this.#terminal = io.side;
  }

  /** So much is done; `text` tells of it, else it is a number of bytes. */
  show(done: number, text?: string): void {
    const now = performance.now();
    if (!this.#terminal || now - this.#shown < EVERY_MS) return;
    this.#shown = now;
    const milliseconds = now - this.#start;
    const words = [
      text ?? `${formatSize(done)}, ${formatSize(done / Math.max(milliseconds, 1) * 1000)}/s`,
      ...this.#left(done, milliseconds),
    ].join(", ");
    // The last column stays free: some terminals begin a new line behind it.
    const columns = this.#terminal.columns - 1;
    const bar = this.#bar(done, columns - widthOf(`${this.#what} ${words}`));
    this.#terminal.draw(`\r\x1b[K${clipped(`${this.#what} ${bar}${words}`, columns)}`);
  }

  /** Takes the bar away: other lines may come. */
  hide(): void {
    if (this.#shown !== -Infinity) this.#terminal?.draw("\r\x1b[K");
    this.#shown = -Infinity;
  }

  [Symbol.dispose](): void {
    this.hide();
  }

  /** How long the rest takes, if it goes on as it did. */
  #left(done: number, milliseconds: number): string[] {
    if (!this.#total || done <= 0 || milliseconds < KNOWN_MS) return [];
    const seconds = Math.ceil((this.#total - done) / done * milliseconds / 1000);
    return seconds <= 0 ? [] : [`${format(1000 * seconds, { ignoreZero: true })} left`];
  }

  #bar(done: number, room: number): string {
    if (!this.#total) return "";
    const part = Math.min(1, done / this.#total);
    const percent = `${Math.floor(part * 100)}% `.padStart(5);
    const width = Math.min(LONGEST, room - percent.length - 3);
    if (width < SHORTEST) return room < percent.length ? "" : percent;
    const filled = Math.round(part * width);
    return `${percent}[${"#".repeat(filled)}${" ".repeat(width - filled)}] `;
  }
}
