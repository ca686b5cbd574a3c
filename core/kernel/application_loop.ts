import { callBack } from "../bus/application_error.ts";
import * as argument from "../bus/arguments.ts";
import { POLLIN, POLLOUT } from "../linux/poll.ts";
import type { InterruptLoop, Loop } from "../irq/interrupt_loop.ts";

/** The core's loop as an application has it: for descriptors of its own, and with handlers that may throw. */
export class ApplicationLoop implements Loop {
  readonly #loop: InterruptLoop;
  readonly #own = new Set<number>();

  /** @param loop The core's. */
  constructor(loop: InterruptLoop) {
    this.#loop = loop;
  }

  add(fd: number, handler: () => unknown, events: number = POLLIN): void {
    argument.integer(fd, "Loop.add", "fd", 0, 2 ** 31 - 1);
    argument.callback(handler, "Loop.add", "handler");
    argument.integer(events, "Loop.add", "events", POLLIN, POLLIN | POLLOUT);
    if (!this.#own.has(fd) && this.#loop.waitsFor(fd)) {
      throw new TypeError(`Cannot wait for descriptor ${fd}: it is one of the core's own`);
    }
    this.#own.add(fd);
    this.#loop.add(fd, () => callBack(handler), events);
  }

  remove(fd: number): void {
    argument.integer(fd, "Loop.remove", "fd", 0, 2 ** 31 - 1);
    if (this.#own.delete(fd)) this.#loop.remove(fd);
  }
}
