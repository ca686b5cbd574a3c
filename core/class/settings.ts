// What an application has set stays set: it is set again when device and driver were started anew.

import type { ClientLane } from "../bus/client_lane.ts";
import { Status } from "../bus/lane.ts";
import { RequestError } from "../bus/request_error.ts";
import { type Answer, ask, type Question } from "./ask.ts";

/**
 * What was set on a device: one after the other, and again, in the same order, when the device was started anew. What was
 * under way then comes after that.
 */
export class Settings {
  readonly #lane: ClientLane;
  readonly #restored: (lost: readonly string[]) => void;
  readonly #jobs: Job[] = [];
  readonly #set = new Map<string, Setting>();
  #running = false;
  #stale = false;

  /**
   * Nothing is set yet.
   *
   * @param lane The lane for control.
   * @param restored Called when all was set again, with what could not be.
   */
  constructor(lane: ClientLane, restored: (lost: readonly string[]) => void = () => {}) {
    this.#lane = lane;
    this.#restored = restored;
  }

  /**
   * Sets something, when all before it is set.
   *
   * @throws RequestError If it does not succeed.
   * @throws RangeError If its data are more than a slot holds.
   */
  apply(setting: Setting): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#jobs.push({ setting, resolve, reject });
      void this.#work();
    });
  }

  /** What was set under this key is not set again. */
  forget(key: string): void {
    this.#set.delete(key);
  }

  /** The device was started anew, and knows nothing of what was set. For `OpenClient.restarted`. */
  restarted(): void {
    this.#stale = true;
    void this.#work();
  }

  async #work(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    while (this.#stale || this.#jobs.length > 0) {
      if (this.#stale) await this.#restore();
      else await this.#next(this.#jobs[0]!);
    }
    this.#running = false;
  }

  async #next({ setting, resolve, reject }: Job): Promise<void> {
    try {
      const answer = await this.#ask(setting);
      // The device was started anew meanwhile: first comes what was set before.
      if (answer.status === Status.unknown) {
        this.#stale = true;
        return;
      }
      const { what, key, undoes } = setting;
      if (answer.status !== Status.ok) throw new RequestError(`Cannot ${what}`, answer.status);
      if (key !== undefined) {
        this.#set.delete(key);
        if (!undoes) this.#set.set(key, setting);
      }
      resolve(answer);
    } catch (error) {
      reject(error);
    }
    this.#jobs.shift();
  }

  async #restore(): Promise<void> {
    this.#stale = false;
    const lost: string[] = [];
    for (const setting of [...this.#set.values()]) {
      const { status } = await this.#ask(setting);
      if (status === Status.unknown) this.#stale = true;
      else if (status === Status.gone) return;
      else if (status !== Status.ok) lost.push(setting.what);
      if (this.#stale) return;
    }
    this.#restored(lost);
  }

  /** Once, so that nothing of it reaches a device that was started anew before what was set. */
  #ask(setting: Setting): Promise<Answer> {
    return ask(this.#lane, `Cannot ${setting.what}`, { ...setting, once: true });
  }
}

/** Something that is set on a device by a request of its lane for control. */
export interface Setting extends Omit<Question, "once"> {
  /** What it does, as errors and the list of what is lost say it: `"set the MAC address"`. */
  readonly what: string;
  /**
   * What it sets, by a name of the class's choice: it is set again when the device was started anew, unless a later one
   * with the same name took its place. Nothing is set again if it is left out.
   */
  readonly key?: string | undefined;
  /** Whether it undoes what was set under its key: nothing is set again then. */
  readonly undoes?: boolean | undefined;
}

interface Job {
  readonly setting: Setting;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}
