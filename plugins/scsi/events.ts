import { type Buffer, type DriverLane, Status, type Virtqueue } from "@virtio/deno/plugin";
import { ScsiEventWord } from "@virtio/deno/classes/scsi";
import { readLun } from "./lun.ts";
import * as wire from "./wire.ts";

/** Events that are kept for a client that is slower than the device. */
const KEPT = 64;
/** What is kept of one: event, address, reason. */
const WORDS = 3;

/** What the events of a device go through. */
export interface EventParts {
  /** The event queue. */
  readonly queue: Virtqueue;
  /** The lane `events`. */
  readonly lane: DriverLane;
  /** Memory for the buffers of the queue. */
  readonly buffer: Buffer;
  /** Bytes of each buffer. */
  readonly bytes: number;
}

/** The event queue of a device (virtio 1.4, 5.6.6.3). */
export interface Events {
  readonly counts: { events: number; events_missed: number; events_malformed: number };
  /** Takes what the device tells. */
  collect(): void;
  /** Gives buffers to the device: all at the start, later those that a reset of the queue took away. */
  provide(buffers: readonly number[]): void;
}

/** Makes it. A flood of events is told of as lost ones: it costs neither memory nor a message. */
export function makeEvents({ queue, lane, buffer, bytes }: EventParts): Events {
  const words = new Uint32Array(buffer.bytes.buffer, buffer.offset, buffer.bytes.length / 4);
  const kept = new Uint32Array(KEPT * WORDS);
  const standing = new Uint16Array(lane.slots);
  const used: number[] = [];
  let first = 0;
  let count = 0;
  let waiting = 0;
  let missed = false;
  const counts = { events: 0, events_missed: 0, events_malformed: 0 };

  function post(index: number): void {
    queue.begin(index);
    queue.writable(buffer.offset + index * bytes, bytes);
    if (queue.commit()) words.fill(0, index * bytes / 4, (index + 1) * bytes / 4);
  }

  function hear(index: number): void {
    used.push(index);
    const at = index * bytes / 4;
    const event = words[at + wire.EVENT_EVENT / 4]!;
    const reason = words[at + wire.EVENT_REASON / 4]!;
    const address = readLun(buffer.bytes, index * bytes + wire.EVENT_LUN);
    if (event & wire.T_EVENTS_MISSED) miss();
    const what = event & ~wire.T_EVENTS_MISSED;
    if (what === wire.T_NO_EVENT) return;
    counts.events++;
    if (address < 0 || what > wire.T_PARAM_CHANGE) {
      // Whatever it was about, something has happened.
      counts.events_malformed++;
      return miss();
    }
    if (count === KEPT) return miss();
    const last = (first + count++) % KEPT * WORDS;
    kept[last] = what;
    kept[last + 1] = address;
    kept[last + 2] = reason;
  }

  function miss(): void {
    counts.events_missed++;
    missed = true;
  }

  function stand(slot: number): boolean {
    standing[waiting++] = slot;
    return true;
  }

  function tell(slot: number): void {
    const from = first * WORDS;
    const known = count > 0;
    const flag = missed ? wire.T_EVENTS_MISSED : 0;
    lane.setWord(slot, ScsiEventWord.event, (known ? kept[from]! : wire.T_NO_EVENT) | flag);
    lane.setWord(slot, ScsiEventWord.address, known ? kept[from + 1]! : 0);
    lane.setWord(slot, ScsiEventWord.reason, known ? kept[from + 2]! : 0);
    lane.complete(slot, Status.ok, 0);
    missed = false;
    if (!known) return;
    first = (first + 1) % KEPT;
    count--;
  }

  return {
    counts,
    collect() {
      queue.drain(hear);
      while (used.length > 0) post(used.pop()!);
      lane.take(stand);
      while (waiting > 0 && (count > 0 || missed)) tell(standing[--waiting]!);
    },
    provide: (buffers) => buffers.forEach(post),
  };
}
