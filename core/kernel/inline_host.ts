import { Cause } from "../bus/bell.ts";
import { MAILBOX_CAPACITY, TO_CORE, TO_PLUGIN } from "../bus/control.ts";
import { Mailbox } from "../bus/mailbox.ts";
import { clear } from "../host/fd.ts";
import { mapShared } from "../host/memory.ts";
import type { Plugin } from "../plugin/plugin.ts";
import { doorbell } from "./doorbell.ts";
import type { DriverHost, DriverHostOptions } from "./driver_host.ts";
import { DriverSession } from "./driver_session.ts";
import { Link } from "./link.ts";

/** Without interrupts, a device is looked at this often, in milliseconds, while it has requests. */
const POLL_MS = 1;

/**
 * Runs a driver on the core's own thread. It costs no hops and gives no protection: a driver that loops stops
 * everything. Only an application can ask for it, by handing over a plugin that it trusts.
 */
export function inlineHost(plugin: Plugin, options: DriverHostOptions): DriverHost {
  const { loop, arena, vectors, settle, gone } = options;
  let ended = false;
  const link = new Link(loop, {
    message: options.message,
    completions: options.completions,
    fault: (error) => gone(error.message),
    settle,
  });
  const memory = mapShared(arena.fd, arena.offset, arena.size);
  const session = new DriverSession(plugin, {
    control: link.control,
    arena: memory,
    inbox: new Mailbox(link.control, TO_PLUGIN, MAILBOX_CAPACITY),
    outbox: new Mailbox(link.control, TO_CORE, MAILBOX_CAPACITY),
    core: link.core,
    doorbell: (queue) =>
      doorbell(options.doorbell, queue, {
        words: link.words,
        low: () => {},
        wait: () => link.settle(),
      }),
  });

  let working = false;
  const work = () => {
    // A completion handler may submit, and so ring, while the driver is at work already.
    if (working || ended) return;
    working = true;
    try {
      do session.turn(); while (!loop.attended && !session.idle());
    } finally {
      working = false;
    }
  };
  loop.addBell(link.driver, link.driverFd, (causes) => {
    if (causes & Cause.mail) session.mail();
    work();
  });
  for (const vector of vectors) {
    loop.add(vector, () => {
      clear(vector);
      work();
    });
  }
  const poller = vectors.length > 0
    ? undefined
    : setInterval(() => session.busy && work(), POLL_MS);

  return {
    isolation: "inline",
    control: link.control,
    arena: memory,
    send: (message) => link.send(message),
    ring: work,
    spins: 2000,
    pump: () => session.turn(),
    turn(timeout) {
      // Nobody else arms the queues while somebody attends.
      loop.turn(session.idle() ? timeout : 0);
    },
    attend() {
      const attention = loop.attend();
      return {
        [Symbol.dispose]() {
          attention[Symbol.dispose]();
          work();
        },
      };
    },
    end() {
      ended = true;
      clearInterval(poller);
      for (const vector of vectors) loop.remove(vector);
      loop.remove(link.driverFd);
      link[Symbol.dispose]();
    },
  };
}
