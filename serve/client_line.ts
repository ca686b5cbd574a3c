// Interrupts of a served device: eventfds of its client.

import { clear, close, setNonBlocking, signal } from "../core/linux/fd.ts";
import { isEventCounter } from "../core/linux/name_of.ts";
import type { Loop } from "../core/irq/interrupt_loop.ts";
import type { Line } from "./vfio_user/surroundings.ts";

/** How often a storm is fed, in milliseconds. */
const STORM_MS = 1;

/** An eventfd of the client's, which is taken over: closed if it is something else. */
function eventCounter(descriptor: number): number {
  if (!isEventCounter(descriptor)) {
    close(descriptor);
    throw new TypeError("A descriptor for interrupts is no eventfd");
  }
  // One that is full must not hold up all other devices.
  setNonBlocking(descriptor);
  return descriptor;
}

/** A line that interrupts by an eventfd of the client's; if it storms, the first interrupt never ends. */
export function clientLine(descriptor: number, storms: boolean): Line {
  const fd = eventCounter(descriptor);
  let timer: ReturnType<typeof setInterval> | undefined;
  return {
    signal() {
      signal(fd);
      if (storms) timer ??= setInterval(() => signal(fd), STORM_MS);
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      close(fd);
    },
  };
}

/** Calls `happened` whenever the client signals an eventfd. */
export function clientSignal(descriptor: number, loop: Loop, happened: () => void): Disposable {
  const fd = eventCounter(descriptor);
  loop.add(fd, () => {
    clear(fd);
    happened();
  });
  return {
    [Symbol.dispose]() {
      loop.remove(fd);
      close(fd);
    },
  };
}
