/**
 * A guest in a QEMU, and a watch over its life: code that waits for its lines is told when none will come any more.
 *
 * @module
 */

import { lines } from "./lines.ts";
import { Qmp, type QmpEvent } from "./qmp.ts";

/** The guest ended, or had to be ended, before it turned itself off. */
export class GuestLost extends Error {
  /** Tells the error apart. */
  override readonly name = "GuestLost";
  /** Whether it was reset: by its kernel, or since its processor could not go on. */
  readonly reset: boolean;

  /** Makes the error; `why` is a sentence. */
  constructor(why: string, reset: boolean) {
    super(why);
    this.reset = reset;
  }
}

/** How long things may take, in milliseconds. */
export interface Patience {
  /** Between two lines of the guest: its first process writes one every few seconds, whatever its jobs do. */
  readonly silence: number;
  /** Until it has turned itself off. */
  readonly life: number;
}

/** How often QEMU is asked whether the guest runs, and looked how long it has been silent, in milliseconds. */
const ROUND = 1000;
/** How long QEMU may take to start. */
const START = 20_000;

/** A guest that runs. Disposing it ends it. */
export class Guest implements AsyncDisposable {
  readonly #qemu: Deno.ChildProcess;
  readonly #lastWords: Promise<string>;
  readonly #patience: Patience;
  readonly #born = performance.now();
  #heard = performance.now();
  #monitor: Qmp | undefined;
  #lost: string | undefined;
  #reset = false;

  private constructor(qemu: Deno.ChildProcess, patience: Patience) {
    this.#qemu = qemu;
    this.#lastWords = new Response(qemu.stderr).text();
    this.#patience = patience;
  }

  /**
   * Starts one, whose serial line is QEMU's standard output.
   *
   * @param command A program and its arguments that start QEMU; one that connects its control interface is added.
   * @param socket A path that is free, for that connection.
   * @throws {GuestLost} If QEMU does not start.
   */
  static async start(
    [program, ...args]: readonly string[],
    socket: string,
    patience: Patience,
  ): Promise<Guest> {
    using listener = Deno.listen({ transport: "unix", path: socket });
    const qemu = new Deno.Command(program!, {
      // It waits for the word, so that nothing happens unheard.
      args: [...args, "-S", "-qmp", `unix:${socket}`],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const guest = new Guest(qemu, patience);
    const timer = setTimeout(() => guest.#lose(`QEMU does not start within ${START} ms`), START);
    try {
      const accepting = listener.accept();
      const connection = await Promise.race([accepting, qemu.status]);
      if (!("readable" in connection)) {
        accepting.catch(() => {}); // it ends with the listener
        throw new Error("QEMU ended");
      }
      guest.#monitor = await Qmp.open(connection, (event) => guest.#happened(event));
      await guest.execute({ execute: "cont" });
      return guest;
    } catch {
      await guest[Symbol.asyncDispose]();
      throw await guest.#error();
    } finally {
      clearTimeout(timer);
      await Deno.remove(socket).catch(() => {});
    }
  }

  /** QEMU's process id. */
  get pid(): number {
    return this.#qemu.pid;
  }

  /** Gives QEMU a command of its control interface. */
  async execute(command: object): Promise<void> {
    await this.#monitor!.execute(command);
  }

  /**
   * What it writes to its serial line, until it has turned itself off.
   *
   * @throws {GuestLost} If it cannot go on: QEMU stopped or reset it, or ended, or it has been silent for too long.
   */
  async *lines(): AsyncGenerator<string> {
    const watch = setInterval(() => this.#look(), ROUND);
    try {
      for await (const line of lines(this.#qemu.stdout)) {
        this.#heard = performance.now();
        yield line;
      }
    } finally {
      clearInterval(watch);
    }
    const { code } = await this.#qemu.status;
    await this.#monitor!.ended; // the reason may have come behind the last line
    if (this.#lost !== undefined || code !== 0) throw await this.#error();
  }

  /** Ends it, if it has not ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill();
    await this.#qemu.status;
    await this.#lastWords;
    await this.#qemu.stdout.cancel().catch(() => {}); // or it is being read
    await this.#monitor?.[Symbol.asyncDispose]();
  }

  #happened({ event, data }: QmpEvent): void {
    if (event === "GUEST_PANICKED") {
      this.#reset = true;
      this.#lose("its kernel panicked");
    } else if (event === "STOP") this.#look();
    else if (event === "RESET" || event === "SHUTDOWN") {
      if (data?.reason === "guest-reset") {
        this.#reset = true;
        this.#lose("it was reset: its kernel panicked, or its processor came to its end");
      }
    }
  }

  /** Looks whether it is alive. */
  async #look(): Promise<void> {
    const { silence, life } = this.#patience;
    const now = performance.now();
    if (now - this.#born > life) return this.#lose(`it was not done within ${life / 1000} s`);
    if (now - this.#heard > silence) return this.#lose(`it was silent for ${silence / 1000} s`);
    try {
      const { status } = await this.#monitor!.execute({ execute: "query-status" }) as {
        status: string;
      };
      // "shutdown" is what comes before QEMU's own end.
      if (!["running", "shutdown"].includes(status)) this.#lose(`QEMU stopped it: ${status}`);
    } catch (error) {
      // One that ends instead of answering is no news: how it ended tells whether the guest is lost.
      if (error instanceof Deno.errors.TimedOut) this.#lose(error.message);
    }
  }

  /** Notes why it is lost, and ends QEMU, and with it the lines. */
  #lose(why: string): void {
    this.#lost ??= why;
    this.#kill();
  }

  #kill(): void {
    try {
      this.#qemu.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  }

  async #error(): Promise<GuestLost> {
    const { code, signal } = await this.#qemu.status;
    const said = (await this.#lastWords).trim();
    const why = this.#lost ?? `QEMU ended with ${signal ?? `status ${code}`}`;
    return new GuestLost(`The guest is lost: ${why}${said && `\n${said}`}`, this.#reset);
  }
}
