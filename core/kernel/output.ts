import { close, read } from "../linux/fd.ts";
import type { Loop } from "../irq/interrupt_loop.ts";
import { Budget } from "../bus/budget.ts";

/** Longest line that is passed on, in characters. */
const LONGEST = 1024;
/** How Deno and V8 begin to say what ended a program. */
const ERROR = /^(error: |# Fatal |Deno could not |thread '.*panicked at )/;
/** How Rust begins: what it has to say is the next line. */
const BEGINS = /^thread '.*panicked at \S+$/;
/** Lines a second that are passed on. */
const MOST = 100;
/** Bytes a second that are read. A driver that prints more waits until it is read on. */
const MOST_BYTES = 8 << 20;
/** For how long is not read, when all of that was used. */
const HOLD_MS = 50;
/** What a pipe holds, at least by default. */
const PIPE_BYTES = 65536;
/** Bytes that are read in one turn of the loop. */
const PORTION = 16384;

/**
 * Passes on what a driver prints, line by line: bounded in length and number, and without anything that steers a
 * terminal. What is too much is dropped and counted; what is far too much is not even read.
 */
export class Output {
  readonly #fd: number;
  readonly #loop: Loop;
  readonly #print: (line: string) => void;
  readonly #bytes = new Uint8Array(PORTION);
  readonly #budget = new Budget(MOST_BYTES);
  readonly #decoder = new TextDecoder();
  #rest = "";
  #second = 0;
  #lines = 0;
  #telling = "";
  #open = true;
  #holding: ReturnType<typeof setTimeout> | undefined;

  /** Takes over the readable end of a pipe. */
  constructor(fd: number, loop: Loop, print: (line: string) => void) {
    this.#fd = fd;
    this.#loop = loop;
    this.#print = print;
    this.#listen();
  }

  /** The line that best explains why the driver ended: the last error, or the last of all. */
  get telling(): string {
    return clean(this.#telling);
  }

  /** Passes on what is left, and closes the pipe, even if another process still prints into it. */
  end(): void {
    for (let read = 0; read < PIPE_BYTES && this.#open && this.#take(); read += PORTION);
    if (this.#rest) this.#line(this.#rest);
    this.#rest = "";
    this.#close();
  }

  #listen(): void {
    this.#loop.add(this.#fd, () => {
      if (this.#budget.spent) this.#hold();
      else this.#take();
    });
  }

  /** Reads nothing for a while: once the pipe is full, the driver waits. */
  #hold(): void {
    this.#loop.remove(this.#fd);
    this.#holding = setTimeout(() => this.#listen(), HOLD_MS);
  }

  #take(): boolean {
    const length = read(this.#fd, this.#bytes);
    if (length <= 0) {
      if (length === 0) this.#close();
      return false;
    }
    this.#budget.spend(length);
    const lines =
      (this.#rest + this.#decoder.decode(this.#bytes.subarray(0, length), { stream: true })).split(
        "\n",
      );
    this.#rest = lines.pop()!.slice(0, LONGEST);
    lines.forEach((line) => this.#line(line));
    return true;
  }

  #line(text: string): void {
    if (text.trim() === "") return;
    if (BEGINS.test(this.#telling)) this.#telling += ` ${text}`;
    else if (ERROR.test(text) || !ERROR.test(this.#telling)) this.#telling = text;
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      if (this.#lines > MOST) this.#print(`(${this.#lines - MOST} more lines were dropped)`);
      this.#second = second;
      this.#lines = 0;
    }
    if (++this.#lines <= MOST) this.#print(clean(text));
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#holding);
    this.#loop.remove(this.#fd);
    close(this.#fd);
  }
}

/** A line without its end, and without what steers a terminal or turns the direction of text around. */
function clean(text: string): string {
  return text.slice(0, LONGEST).replace(/[\p{Cc}\p{Bidi_Control}]/gu, "\ufffd").trimEnd();
}
