import {
  type Answer,
  ask,
  type ClientLane,
  type Question,
  Settings,
} from "../../core/class/mod.ts";
import { ScsiControl, ScsiControlWord, ScsiResponse } from "./protocol.ts";

/** What came of a request of the control queue. */
export interface ControlAnswer {
  /** How the request ended: a `Status`. */
  readonly ended: number;
  /** What the device says: a `ScsiResponse`. */
  readonly response: number;
  /** The notifications that there are, if it was about them. */
  readonly notifications: number;
}

/** The lane `control`: task management functions and notifications. */
export class TaskManagement {
  readonly #lane: ClientLane;
  readonly #subscriptions: Settings;

  constructor(lane: ClientLane) {
    this.#lane = lane;
    this.#subscriptions = new Settings(lane);
  }

  /**
   * Puts a request to the device.
   *
   * @param control What: a `ScsiControl`.
   * @param address The unit, as a word.
   * @param about The command's slot, or the notifications that are wanted.
   */
  async request(control: number, address: number, about = 0): Promise<ControlAnswer> {
    // A command that it was about is not what it was, if the device was started anew meanwhile.
    const once = control === ScsiControl.abortTask || control === ScsiControl.queryTask;
    const question = { ...questionFor(control, address, about), once };
    return answerOf(await ask(this.#lane, "Cannot manage a task", question));
  }

  /**
   * Asks a unit for notifications, and again when the device was started anew.
   *
   * @param unit It, for the error.
   * @throws RequestError If the driver cannot ask it. What the unit says to that is in the answer.
   */
  async subscribe(address: number, wanted: number, unit: string): Promise<ControlAnswer> {
    const answer = answerOf(
      await this.#subscriptions.apply({
        ...questionFor(ScsiControl.subscribeNotifications, address, wanted),
        what: `subscribe to notifications of ${unit}`,
        key: String(address),
      }),
    );
    if (answer.response !== ScsiResponse.ok) this.unsubscribe(address);
    return answer;
  }

  /** A unit is not asked again. */
  unsubscribe(address: number): void {
    this.#subscriptions.forget(String(address));
  }

  /** The device was started anew. */
  restarted(): void {
    this.#subscriptions.restarted();
  }
}

function questionFor(operation: number, address: number, about: number): Question {
  const { task, notifications } = ScsiControlWord;
  const words = { [ScsiControlWord.address]: address, [task]: about, [notifications]: about };
  return { operation, words };
}

function answerOf({ status, words }: Answer): ControlAnswer {
  return {
    ended: status,
    response: words[ScsiControlWord.response]!,
    notifications: words[ScsiControlWord.notifications]!,
  };
}
