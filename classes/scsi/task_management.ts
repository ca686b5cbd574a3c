import type { ClientLane } from "../../core/class/mod.ts";
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
    const lane = this.#lane;
    const slot = await lane.taken("Cannot manage a task");
    lane.setWord(slot, ScsiControlWord.operation, control);
    lane.setWord(slot, ScsiControlWord.address, address);
    lane.setWord(slot, ScsiControlWord.task, about);
    lane.setWord(slot, ScsiControlWord.notifications, about);
    return await new Promise((resolve) => {
      // A command that it was about is not what it was, if the device was started anew meanwhile.
      const once = control === ScsiControl.abortTask || control === ScsiControl.queryTask;
      lane.submit(slot, (_, ended) => {
        const response = lane.word(slot, ScsiControlWord.response);
        const notifications = lane.word(slot, ScsiControlWord.notifications);
        lane.release(slot);
        resolve({ ended, response, notifications });
      }, once);
      lane.publish();
    });
  }
}
