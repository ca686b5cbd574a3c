import { ask, type ClientLane } from "../../core/class/mod.ts";
import { ScsiControl, ScsiControlWord } from "./protocol.ts";

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

  constructor(lane: ClientLane) {
    this.#lane = lane;
  }

  /**
   * Puts a request to the device.
   *
   * @param control What: a `ScsiControl`.
   * @param address The unit, as a word.
   * @param about The command's slot, or the notifications that are wanted.
   */
  async request(control: number, address: number, about = 0): Promise<ControlAnswer> {
    const { status, words } = await ask(this.#lane, {
      operation: control,
      words: {
        [ScsiControlWord.address]: address,
        [ScsiControlWord.task]: about,
        [ScsiControlWord.notifications]: about,
      },
      // A command that it was about is not what it was, if the device was started anew meanwhile.
      once: control === ScsiControl.abortTask || control === ScsiControl.queryTask,
    });
    return {
      ended: status,
      response: words[ScsiControlWord.response]!,
      notifications: words[ScsiControlWord.notifications]!,
    };
  }
}
