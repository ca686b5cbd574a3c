import { ControlWord } from "../bus/control.ts";
import { varyingWriter, writer } from "../host/fd.ts";
import type { Doorbell } from "../platform/platform.ts";

/** How a driver host keeps to its doorbell credits. */
export interface Credits {
  /** Control memory. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Half of the credits are used: a good time to take answers. */
  readonly low: () => void;
  /** All are used: asks for answers to be taken, and returns when there is room. */
  readonly wait: (room: () => boolean) => void;
}

/**
 * Makes the function that rings a queue's doorbell. It is given where the next request will be; only a device that
 * wants notification data (virtio 1.4, 2.9) is told.
 *
 * Where the platform answers each ring, the answers pile up until the core takes them; past the credits the platform
 * would stand still, so the driver does instead.
 */
export function doorbell(
  { fd, message, credits, data }: Doorbell,
  limits: Credits,
): (data: number) => void {
  const write = data ? varyingWriter(fd, message, data) : writer(fd, message);
  if (credits === undefined) return write;
  const { words, low, wait } = limits;
  const half = credits >> 1;
  const open = () =>
    words[ControlWord.doorbellsRung]! - Atomics.load(words, ControlWord.doorbellsAnswered) | 0;
  const room = () => open() < credits;
  return (data) => {
    if (!room()) wait(room);
    else if (open() === half) low();
    Atomics.store(words, ControlWord.doorbellsRung, words[ControlWord.doorbellsRung]! + 1 | 0);
    write(data);
  };
}
