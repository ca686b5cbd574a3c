import { lines } from "./lines.ts";

interface Answer {
  readonly id?: number;
  readonly error?: { readonly desc: string };
}

/** A connection to QEMU's control interface (QEMU, docs/interop/qmp-spec.txt). */
export class Qmp implements Disposable {
  readonly #connection: Deno.Conn;
  readonly #answers: AsyncGenerator<string>;
  #last = 0;

  private constructor(connection: Deno.Conn) {
    this.#connection = connection;
    this.#answers = lines(connection.readable);
  }

  /** Connects to a QEMU that listens at a path. */
  static async connect(path: string): Promise<Qmp> {
    const qmp = new Qmp(await Deno.connect({ transport: "unix", path }));
    await qmp.execute({ execute: "qmp_capabilities" });
    return qmp;
  }

  /**
   * Gives a command and waits until it is done. One at a time.
   *
   * @throws If QEMU refuses it.
   */
  async execute(command: object): Promise<void> {
    const id = ++this.#last;
    const text = JSON.stringify({ ...command, id });
    await this.#connection.write(new TextEncoder().encode(`${text}\n`));
    for (;;) {
      const { done, value } = await this.#answers.next();
      if (done) throw new Error(`QEMU ended instead of answering ${text}`);
      const answer = JSON.parse(value) as Answer;
      if (answer.id !== id) continue; // an event, or the greeting
      if (answer.error) throw new Error(`QEMU refused ${text}: ${answer.error.desc}`);
      return;
    }
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}
