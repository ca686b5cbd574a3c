import { ask, type ClientLane, RequestError, Status } from "../../core/class/mod.ts";
import { NetControlWord } from "./protocol.ts";

/** A control operation. */
export interface Command {
  /** What it does, as an error says it: "set the MAC address". */
  readonly what: string;
  /** A `NetOperation`. */
  readonly operation: number;
  /** Its numbers. */
  readonly numbers?: readonly number[];
  /** Its data. */
  readonly data?: Uint8Array;
}

/** What a command does to what is to be set again after the device was started anew. */
export interface Remembered {
  /** What it sets; a later one with the same key takes its place. */
  readonly key: string;
  /** Whether it undoes what was set. */
  readonly forget?: boolean;
}

interface Job extends Command {
  readonly remember?: Remembered | undefined;
  readonly settle: (status: number, answer: Uint8Array<ArrayBuffer>) => void;
}

const NOTHING = new Uint8Array(0);

/**
 * The control operations of a network device, one after the other. What was set is set again, in the same order, when
 * the device was started anew.
 */
export class NetControl {
  readonly #lane: ClientLane;
  readonly #restored: (lost: readonly string[]) => void;
  readonly #jobs: Job[] = [];
  /** What was set, in its order. */
  readonly #set = new Map<string, Command>();
  #running = false;
  #stale = false;

  /** @param restored Called when all was set again: with what could not be. */
  constructor(lane: ClientLane, restored: (lost: readonly string[]) => void) {
    this.#lane = lane;
    this.#restored = restored;
  }

  /** Bytes of data that a command may have. */
  get room(): number {
    return this.#lane.slotBytes;
  }

  /**
   * Does it.
   *
   * @returns What the device answers besides.
   * @throws RequestError If it does not succeed.
   */
  run(command: Command, remember?: Remembered): Promise<Uint8Array<ArrayBuffer>> {
    return new Promise((resolve, reject) => {
      this.#jobs.push({
        ...command,
        remember,
        settle: (status, answer) =>
          status === Status.ok
            ? resolve(answer)
            : reject(new RequestError(`Cannot ${command.what}`, status)),
      });
      this.#work();
    });
  }

  /** The device was started anew, and knows nothing any more. */
  restarted(): void {
    this.#stale = true;
    this.#work();
  }

  async #work(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    while (this.#stale || this.#jobs.length > 0) {
      if (this.#stale) await this.#restore();
      else await this.#next();
    }
    this.#running = false;
  }

  async #next(): Promise<void> {
    const job = this.#jobs[0]!;
    const [status, answer] = await this.#submit(job);
    // The device was started anew meanwhile: first comes what was set before.
    if (status === Status.unknown) {
      this.#stale = true;
      return;
    }
    this.#jobs.shift();
    const { remember } = job;
    if (remember && status === Status.ok) {
      this.#set.delete(remember.key);
      if (!remember.forget) this.#set.set(remember.key, job);
    }
    job.settle(status, answer);
  }

  async #restore(): Promise<void> {
    this.#stale = false;
    const lost: string[] = [];
    for (const command of [...this.#set.values()]) {
      const [status] = await this.#submit(command);
      if (status === Status.unknown) this.#stale = true;
      else if (status === Status.gone) return;
      else if (status !== Status.ok) lost.push(command.what);
      if (this.#stale) return;
    }
    this.#restored(lost);
  }

  async #submit(
    { operation, numbers = [], data = NOTHING }: Command,
  ): Promise<[number, Uint8Array<ArrayBuffer>]> {
    const places = numbers.map((number, i) => [NetControlWord.arguments + i, number]);
    const words = Object.fromEntries(places);
    const answer = await ask(this.#lane, { operation, words, data, once: true });
    return [answer.status, answer.data];
  }
}
