// The control socket: a running program shows its machine to other programs of its user.

import type { Loop } from "../core/irq/interrupt_loop.ts";
import { close } from "../core/linux/fd.ts";
import { pollAsync, POLLIN } from "../core/linux/poll.ts";
import { effectiveUser } from "../core/linux/process.ts";
import { connectUnix, peerUser, receive, sendNow } from "../core/linux/socket.ts";
import { LineServer } from "./line_server.ts";
import type { Snapshot } from "./snapshot.ts";

/** What is asked. */
const LOOK = "look";
/** A description is never longer. */
const MOST_BYTES = 16 << 20;
/** How often a waiting program looks whether it is to end, in milliseconds. */
const LOOK_MS = 100;

/**
 * Shows a machine at a Unix socket of this user: a line `look` is answered by a {@linkcode Snapshot} as a line of JSON.
 * Nothing can be changed there.
 *
 * @throws PathTaken If another server is at work there, or another file is there.
 * @throws OsError If that is not possible at this path.
 */
export function serveControl(
  path: string,
  loop: Loop,
  look: () => Promise<Snapshot>,
): Disposable {
  return new LineServer(path, loop, {
    end: "\n",
    again: true,
    answer: async (request) => {
      const answer = request === LOOK ? await look() : { error: "the only request is look" };
      return `${JSON.stringify(answer)}\n`;
    },
    refusal: `${JSON.stringify({ error: "this machine is another user's" })}\n`,
  });
}

/** The other side of a control socket has not said what it should. */
export class ControlError extends Error {
  /** Tells the error apart. */
  override readonly name = "ControlError";
  /** Whether the program at the other side has ended, in order or not. */
  readonly ended: boolean;

  /** Makes an error. */
  constructor(message: string, ended = false) {
    super(message);
    this.ended = ended;
  }
}

/** A connection to the control socket of a running program. */
export class ControlClient implements Disposable {
  readonly #path: string;
  readonly #fd: number;

  /**
   * Connects.
   *
   * @throws OsError If no program listens there, or this user may not.
   * @throws ControlError If the program is another user's: what it says is not believed.
   */
  constructor(path: string) {
    this.#path = path;
    this.#fd = connectUnix(path);
    const user = peerUser(this.#fd);
    if (user === effectiveUser()) return;
    close(this.#fd);
    throw new ControlError(
      `Cannot look at ${path}: the program there is that of user ${user}, and only its own user may`,
    );
  }

  /**
   * Looks at the machine.
   *
   * @param signal Ends the wait.
   * @param timeout Milliseconds that the program may take.
   * @throws ControlError If the program ends, or says something else.
   */
  async look(signal: AbortSignal, timeout: number): Promise<Snapshot> {
    const sent = sendNow(this.#fd, new TextEncoder().encode(`${LOOK}\n`));
    if (sent < 0) throw this.#wrong("the program there has ended", true);
    const decoder = new TextDecoder();
    const bytes = new Uint8Array(65536);
    const deadline = performance.now() + timeout;
    let text = "";
    while (!text.endsWith("\n")) {
      signal.throwIfAborted();
      if (performance.now() > deadline) throw this.#wrong("it does not answer");
      if (await pollAsync(Int32Array.of(this.#fd, POLLIN), 1, LOOK_MS) === 0) continue;
      const got = receive(this.#fd, bytes, false);
      if (got === 0) throw this.#wrong("the program there has ended", true);
      if (got < 0) continue;
      text += decoder.decode(bytes.subarray(0, got), { stream: true });
      if (text.length > MOST_BYTES) throw this.#wrong("its answer has no end");
    }
    return this.#checked(text);
  }

  /** What was said is of our own user's program; of another version, perhaps. */
  #checked(text: string): Snapshot {
    let answer: Partial<Snapshot> & { readonly error?: unknown };
    try {
      answer = JSON.parse(text);
    } catch {
      throw this.#wrong("what it says is no JSON: it is no control socket");
    }
    if (typeof answer?.error === "string") throw this.#wrong(answer.error);
    if (answer?.schema !== 1 || !Array.isArray(answer.devices)) {
      throw this.#wrong("what it says is of another version, or it is no control socket");
    }
    return answer as Snapshot;
  }

  #wrong(why: string, ended = false): ControlError {
    return new ControlError(`Cannot look at ${this.#path}: ${why}`, ended);
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    close(this.#fd);
  }
}
