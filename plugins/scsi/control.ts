import { type Buffer, type DriverLane, Status, type Virtqueue } from "@virtio/deno/plugin";
import { ScsiControl, ScsiControlWord } from "@virtio/deno/classes/scsi";
import { writeLun } from "./lun.ts";
import type { Requests } from "./requests.ts";
import * as wire from "./wire.ts";

/** Bytes from one request to the next. */
export const CONTROL_STRIDE = 32;
/** Bytes from one answer to the next. */
export const ANSWER_STRIDE = 8;

/** A byte that no device writes as a response. */
const NO_RESPONSE = 0xff;

/** What the requests of the control queue go through. */
export interface ControlParts {
  /** The control queue. */
  readonly queue: Virtqueue;
  /** The lane `control`. */
  readonly lane: DriverLane;
  /** Memory for what the device reads. */
  readonly controls: Buffer;
  /** Memory for what it writes. */
  readonly answers: Buffer;
  /** The commands that some functions are about. */
  readonly requests: Pick<Requests, "has" | "tag">;
}

/** The control queue of a device (virtio 1.4, 5.6.6.2). */
export interface Control {
  readonly counts: { task_management: number; notification_requests: number };
  /** Takes what the device has answered. */
  collect(): void;
  /** Gives what is new to the device. */
  provide(): void;
  /** Gives requests that a reset of the queue took away to the device again. */
  again(slots: readonly number[]): void;
}

/** Makes it. */
export function makeControl({ queue, lane, controls, answers, requests }: ControlParts): Control {
  const arena = new Uint8Array(controls.bytes.buffer);
  const words = new Uint32Array(controls.bytes.buffer);
  const counts = { task_management: 0, notification_requests: 0 };

  const isNotification = (operation: number) => operation >= ScsiControl.queryNotifications;
  const answerBytes = (operation: number) => isNotification(operation) ? wire.AN_ANSWER_BYTES : 1;

  function provide(slot: number): boolean {
    const operation = lane.word(slot, ScsiControlWord.operation);
    if (operation > ScsiControl.subscribeNotifications) {
      lane.complete(slot, Status.unsupported, 0);
      return true;
    }
    const task = lane.word(slot, ScsiControlWord.task);
    const aboutTask = operation === ScsiControl.abortTask || operation === ScsiControl.queryTask;
    if (aboutTask && !requests.has(task)) {
      // It has ended meanwhile: the unit has no such task.
      lane.setWord(slot, ScsiControlWord.response, wire.S_OK);
      lane.complete(slot, Status.ok, 0);
      return true;
    }
    const at = controls.offset + slot * CONTROL_STRIDE;
    const answer = answers.offset + slot * ANSWER_STRIDE;
    const bytes = answerBytes(operation);
    queue.begin(slot);
    queue.readable(at, isNotification(operation) ? wire.AN_BYTES : wire.TMF_BYTES);
    queue.writable(answer, bytes);
    if (!queue.commit()) return false;
    const address = lane.word(slot, ScsiControlWord.address);
    if (isNotification(operation)) {
      const query = operation === ScsiControl.queryNotifications;
      counts.notification_requests++;
      words[at + wire.CONTROL_TYPE >> 2] = query ? wire.T_AN_QUERY : wire.T_AN_SUBSCRIBE;
      writeLun(arena, at + wire.AN_LUN, address);
      const wanted = lane.word(slot, ScsiControlWord.notifications);
      words[at + wire.AN_EVENT_REQUESTED >> 2] = wanted;
    } else {
      counts.task_management++;
      words[at + wire.CONTROL_TYPE >> 2] = wire.T_TMF;
      words[at + wire.TMF_SUBTYPE >> 2] = operation;
      writeLun(arena, at + wire.TMF_LUN, address);
      words[at + wire.TMF_ID >> 2] = aboutTask ? task : 0;
      words[at + wire.TMF_ID + 4 >> 2] = aboutTask ? requests.tag(task) : 0;
    }
    arena[answer + bytes - 1] = NO_RESPONSE;
    return true;
  }

  function collect(slot: number): void {
    const operation = lane.word(slot, ScsiControlWord.operation);
    const answer = answers.offset + slot * ANSWER_STRIDE;
    const response = arena[answer + answerBytes(operation) - 1]!;
    if (response > wire.S_INCORRECT_LUN) return lane.complete(slot, Status.invalid, 0);
    if (isNotification(operation)) {
      const actual = words[answer + wire.AN_EVENT_ACTUAL >> 2]!;
      lane.setWord(slot, ScsiControlWord.notifications, actual);
    }
    lane.setWord(slot, ScsiControlWord.response, response);
    lane.complete(slot, Status.ok, 0);
  }

  return {
    counts,
    collect: () => void queue.drain(collect),
    provide: () => lane.take(provide),
    again: (slots) => slots.forEach(provide),
  };
}
