import { close, read } from "../host/fd.ts";
import type { InterruptLoop } from "../irq/interrupt_loop.ts";

/** Longest line that is passed on, in characters. */
const LONGEST = 1024;
/** How Deno and V8 begin to say what ended a program. */
const ERROR = /^(error: |# Fatal )/;
/** Lines a second that are passed on. */
const MOST = 100;

/**
 * Passes on what a driver prints, line by line: bounded in length and number, and without anything that steers a
 * terminal. What is too much is dropped and counted.
 */
export class Output {
  /** The line that best explains why the driver ended: the last error, or the last of all. */
  telling = "";
  readonly #fd: number;
  readonly #loop: InterruptLoop;
  readonly #print: (line: string) => void;
  readonly #bytes = new Uint8Array(16384);
  readonly #decoder = new TextDecoder();
  #rest = "";
  #second = 0;
  #lines = 0;
  #open = true;

  /** Takes over the readable end of a pipe. */
  constructor(fd: number, loop: InterruptLoop, print: (line: string) => void) {
    this.#fd = fd;
    this.#loop = loop;
    this.#print = print;
    loop.add(fd, () => this.#take());
  }

  /** Passes on what is left, and closes the pipe. */
  end(): void {
    while (this.#open && this.#take());
    if (this.#rest) this.#line(this.#rest);
    this.#rest = "";
    this.#close();
  }

  #take(): boolean {
    const length = read(this.#fd, this.#bytes);
    if (length <= 0) {
      if (length === 0) this.#close();
      return false;
    }
    const lines =
      (this.#rest + this.#decoder.decode(this.#bytes.subarray(0, length), { stream: true })).split(
        "\n",
      );
    this.#rest = lines.pop()!.slice(0, LONGEST);
    lines.forEach((line) => this.#line(line));
    return true;
  }

  #line(text: string): void {
    const clean = text.slice(0, LONGEST).replace(/[\p{Cc}\p{Bidi_Control}]/gu, "�").trimEnd();
    if (clean === "") return;
    if (ERROR.test(clean) || !ERROR.test(this.telling)) this.telling = clean;
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      if (this.#lines > MOST) this.#print(`(${this.#lines - MOST} more lines were dropped)`);
      this.#second = second;
      this.#lines = 0;
    }
    if (++this.#lines <= MOST) this.#print(clean);
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#loop.remove(this.#fd);
    close(this.#fd);
  }
}
