import { Cause } from "../bus/bell.ts";
import { monotonicClock } from "../linux/clock.ts";
import { clearer } from "../linux/fd.ts";
import { Doorbells } from "./doorbell.ts";
import type { DriverHost, DriverHostOptions } from "./driver_host.ts";
import type { AnyPlugin } from "../plugin/pci_plugin.ts";
import { TraceWriter } from "../trace/ring.ts";
import { DriverSession } from "./driver_session.ts";

/**
 * Runs a driver on the core's own thread. It costs no hops and gives no protection: a driver that loops stops
 * everything. Only an application can ask for it, by handing over a plugin that it trusts.
 */
export function inlineHost(plugin: AnyPlugin, options: DriverHostOptions): DriverHost {
  const { loop, link, arena, vectors, doorbells } = options;
  const bells = new Doorbells(doorbells, {
    words: link.words,
    low() {},
    wait: () => link.takeAnswers(),
  });
  const session = new DriverSession(plugin, {
    control: link.control,
    arena: arena.memory,
    inbox: link.outbox(),
    outbox: link.inbox(),
    core: link.core,
    registers: Object.fromEntries(
      Object.entries(options.registers ?? {}).map(([name, { window }]) => [name, window]),
    ),
    doorbell: (index) => bells.rings[index]!,
    watch: options.watch,
    counted: options.counted,
    vectors: vectors.length,
    ...(link.trace !== undefined &&
      { trace: new TraceWriter(link.control, link.trace, monotonicClock()) }),
  });

  let working = false;
  let ended = false;
  /** Whether nothing has happened since the device was looked at last. */
  let quiet = true;
  const work = () => {
    // A completion handler may submit, and so ring, while the driver is at work already.
    if (working || ended) return;
    working = true;
    quiet = false;
    try {
      do session.run(); while (!loop.busyPolled && !session.idle());
    } finally {
      working = false;
    }
  };
  loop.addBell(link.driver, link.driverFd, (causes) => {
    if (causes & Cause.mail) {
      session.mail();
      watchEvery(session.period);
    }
    work();
  });
  vectors.forEach((vector, i) => {
    const clear = clearer(vector);
    loop.add(vector, () => {
      clear();
      session.interrupted(i);
      work();
    });
  });
  const polled = {
    run() {
      const found = !ended && session.run();
      if (found) quiet = false;
      link.answerBell();
      return found;
    },
    rearm: work,
  };
  loop.addPolled(polled);
  let watch: ReturnType<typeof setInterval> | undefined;
  let watched = 0;
  /** Interrupts are agreed on after the start, so the period may change once. */
  function watchEvery(period: number): void {
    if (watched === period || ended) return;
    watched = period;
    clearInterval(watch);
    watch = setInterval(() => {
      if (!session.busy) return;
      if (quiet && !session.polled) session.kick();
      work();
      // A queue that broke shows here, also while looks go on for the sake of others.
      session.idle();
      quiet = true;
    }, period);
  }

  return {
    send: (message) => link.send(message),
    ring: work,
    spins: 2000,
    run() {
      polled.run();
      return true;
    },
    wait(timeout) {
      // While a client looks by itself, only this arms the queues.
      const idle = ended || session.idle();
      const { period } = session;
      const happened = loop.runOnce(!idle ? 0 : Math.min(timeout, period));
      if (ended || happened || !idle || timeout < period || session.polled) return;
      session.kick();
    },
    end() {
      ended = true;
      loop.removePolled(polled);
      clearInterval(watch);
      for (const vector of vectors) loop.remove(vector);
      loop.remove(link.driverFd);
      bells[Symbol.dispose]();
    },
  };
}
