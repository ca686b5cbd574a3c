import { lines } from "./lines.ts";

/** Something that happened in QEMU. */
export interface QmpEvent {
  /** Its name, for example `"STOP"`. */
  readonly event: string;
  /** Its particulars. */
  readonly data?: { readonly reason?: string };
}

interface Answer {
  readonly id?: number;
  readonly event?: string;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

/** How long QEMU may take to answer, in milliseconds. */
const DEADLINE = 20_000;

/** A connection to QEMU's control interface (QEMU, docs/interop/qmp-spec.txt). */
export class Qmp implements AsyncDisposable {
  readonly #connection: Deno.Conn;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #last = 0;
  /** Resolves when QEMU has ended the connection, and all that it said before was heard. */
  readonly ended: Promise<void>;

  private constructor(connection: Deno.Conn, happened: (event: QmpEvent) => void) {
    this.#connection = connection;
    this.ended = this.#listen(happened);
  }

  /**
   * Begins to talk on a connection.
   *
   * @param happened Called for each event.
   */
  static async open(connection: Deno.Conn, happened: (event: QmpEvent) => void): Promise<Qmp> {
    const qmp = new Qmp(connection, happened);
    await qmp.execute({ execute: "qmp_capabilities" });
    return qmp;
  }

  /**
   * Gives a command and waits for its result.
   *
   * @throws {Deno.errors.TimedOut} If QEMU does not answer.
   * @throws If QEMU refuses it, or ends.
   */
  async execute(command: object): Promise<unknown> {
    const id = ++this.#last;
    const text = JSON.stringify({ ...command, id });
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    const timer = setTimeout(
      () =>
        answer.reject(
          new Deno.errors.TimedOut(`QEMU does not answer within ${DEADLINE / 1000} s: ${text}`),
        ),
      DEADLINE,
    );
    try {
      await this.#connection.write(new TextEncoder().encode(`${text}\n`));
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  async #listen(happened: (event: QmpEvent) => void): Promise<void> {
    try {
      for await (const line of lines(this.#connection.readable)) {
        const answer = JSON.parse(line) as Answer;
        if (answer.event !== undefined) happened(answer as QmpEvent);
        else if (answer.error) {
          this.#waiting.get(answer.id!)?.reject(new Error(`QEMU refused: ${answer.error.desc}`));
        } else this.#waiting.get(answer.id!)?.resolve(answer.return);
      }
    } catch {
      // The connection broke, or was closed here.
    }
    for (const { reject } of this.#waiting.values()) {
      reject(new Error("QEMU ended instead of answering"));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#connection.close();
    } catch {
      // It has ended.
    }
    await this.ended;
  }
}
