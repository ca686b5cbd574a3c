/** Says on standard error what goes on, in a line that the next one replaces where that is a terminal. */
export class Progress implements Disposable {
  readonly #encoder = new TextEncoder();
  readonly #isTerminal = Deno.stderr.isTerminal();

  /** What is about to be done, and how far it is. */
  tell(text: string, part = ""): void {
    if (this.#isTerminal) this.#write(`\r\x1b[K${text}${part}`);
    else if (part === "") this.#write(`${text}\n`);
  }

  /** What stays on standard output. */
  say(text: string): void {
    this[Symbol.dispose]();
    console.log(text);
  }

  #write(text: string): void {
    Deno.stderr.writeSync(this.#encoder.encode(text));
  }

  /** Takes the line away. */
  [Symbol.dispose](): void {
    if (this.#isTerminal) this.#write("\r\x1b[K");
  }
}
