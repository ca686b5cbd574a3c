import { assert, assertEquals } from "@std/assert";
import { Bell, BELL_WORDS } from "../bus/bell.ts";
import { clear, close, eventfd, pipe, signal } from "../linux/fd.ts";
import { libc } from "../linux/libc.ts";
import { InterruptLoop } from "./interrupt_loop.ts";

// Opened once for the whole process, so not by a test.
libc();

/** An eventfd for as long as a test runs. */
class Event implements Disposable {
  readonly fd = eventfd();
  /** How often it was seen to be signalled. */
  seen = 0;

  signal(): void {
    signal(this.fd);
  }

  readonly see = (): void => {
    if (clear(this.fd)) this.seen++;
  };

  [Symbol.dispose](): void {
    close(this.fd);
  }
}

/** A bell with an eventfd, and the causes that its owner answered. */
class Belled implements Disposable {
  readonly event = new Event();
  readonly words = new Int32Array(new SharedArrayBuffer(4 * BELL_WORDS));
  woken = 0;
  readonly bell = new Bell(this.words, 0, () => {
    this.woken++;
    this.event.signal();
  });
  readonly causes: number[] = [];

  get asleep(): boolean {
    return this.words[1] === 1;
  }

  addTo(loop: InterruptLoop): void {
    loop.addBell(this.bell, this.event.fd, (causes) => this.causes.push(causes));
  }

  [Symbol.dispose](): void {
    this.event[Symbol.dispose]();
  }
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until something is so, not for ever. */
async function soon(what: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!what()) {
    assert(performance.now() < end, `it never came: ${what}`);
    await later(1);
  }
}

Deno.test("runOnce() calls the handlers of what is ready, and only those", async () => {
  await using loop = new InterruptLoop();
  using one = new Event();
  using two = new Event();
  loop.add(one.fd, one.see);
  loop.add(two.fd, two.see);
  assertEquals(loop.runOnce(0), false);
  two.signal();
  assertEquals(loop.runOnce(1000), true);
  assertEquals([one.seen, two.seen], [0, 1]);
  one.signal();
  two.signal();
  assertEquals(loop.runOnce(0), true);
  assertEquals([one.seen, two.seen], [1, 2]);
  assertEquals(loop.runOnce(0), false);
});

Deno.test("runOnce() waits no longer than it is told", async () => {
  await using loop = new InterruptLoop();
  const start = performance.now();
  assertEquals(loop.runOnce(20), false);
  const took = performance.now() - start;
  assert(took >= 18 && took < 10_000, `${took} ms`);
});

Deno.test("runOnce() sees the end of a pipe", async () => {
  await using loop = new InterruptLoop();
  const [from, into] = pipe();
  let ends = 0;
  loop.add(from, () => ends++);
  assertEquals(loop.runOnce(0), false);
  close(into);
  assertEquals(loop.runOnce(1000), true);
  assertEquals(ends, 1);
  loop.remove(from);
  close(from);
});

Deno.test("runOnce() answers bells before it waits, and after", async () => {
  await using loop = new InterruptLoop();
  using one = new Belled();
  one.addTo(loop);
  one.bell.ring(5);
  assertEquals(one.woken, 0, "an owner that is awake is not woken");
  assertEquals(loop.runOnce(5000), true);
  assertEquals(one.causes, [5]);
  using event = new Event();
  loop.add(event.fd, () => {
    event.see();
    one.bell.ring(2);
  });
  event.signal();
  loop.runOnce(5000);
  assertEquals(one.causes, [5, 2]);
  assert(!one.asleep);
});

Deno.test("a bell wakes the thread that waits in runOnce()", async () => {
  await using loop = new InterruptLoop();
  using one = new Belled();
  one.addTo(loop);
  const url = URL.createObjectURL(
    new Blob([`onmessage = async ({ data: { words, fd, bell, host } }) => {
      const { Bell } = await import(bell);
      const { signal } = await import(host);
      signal(fd + 1000); // opens the library
      const one = new Bell(words, 0, () => signal(fd));
      postMessage("ready");
      while (Atomics.load(words, 1) === 0);
      one.ring(9);
    };`], { type: "text/javascript" }),
  );
  const worker = new Worker(url, { type: "module" });
  const ready = new Promise((resolve) => worker.onmessage = resolve);
  const [bell, host] = ["../bus/bell.ts", "../linux/fd.ts"].map((each) =>
    import.meta.resolve(each)
  );
  worker.postMessage({ words: one.words, fd: one.event.fd, bell, host });
  await ready;
  assertEquals(loop.runOnce(5000), true);
  assertEquals(one.causes, [9]);
  worker.terminate();
  URL.revokeObjectURL(url);
});

Deno.test("what is removed is called no more, not even in the same turn", async () => {
  await using loop = new InterruptLoop();
  using one = new Event();
  using two = new Event();
  const called: string[] = [];
  loop.add(one.fd, () => {
    called.push("one");
    one.see();
    loop.remove(two.fd);
  });
  loop.add(two.fd, () => {
    called.push("two");
    two.see();
    loop.remove(one.fd);
  });
  one.signal();
  two.signal();
  loop.runOnce(0);
  assertEquals(called, ["one"]);
  one.signal();
  loop.runOnce(0);
  assertEquals(called, ["one", "one"]);
});

Deno.test("a number that belongs to another by now is not mistaken for the old one", async () => {
  await using loop = new InterruptLoop();
  using one = new Event();
  using two = new Event();
  const called: string[] = [];
  loop.add(one.fd, () => {
    one.see();
    loop.remove(two.fd);
    loop.add(two.fd, () => {
      called.push("new");
      two.see();
    });
  });
  loop.add(two.fd, () => called.push("old"));
  one.signal();
  two.signal();
  loop.runOnce(0);
  assertEquals(called, []);
  loop.runOnce(0);
  assertEquals(called, ["new"]);
});

Deno.test("a bell that is removed is answered no more", async () => {
  await using loop = new InterruptLoop();
  using one = new Belled();
  one.addTo(loop);
  loop.remove(one.event.fd);
  one.bell.ring(1);
  assertEquals(loop.runOnce(0), false);
  assertEquals(one.causes, []);
});

Deno.test("a started loop waits by itself, and sees what is added and removed meanwhile", async () => {
  await using loop = new InterruptLoop();
  using one = new Event();
  using two = new Event();
  loop.add(one.fd, one.see);
  loop.start();
  loop.start();
  await later(5);
  one.signal();
  await soon(() => one.seen === 1);
  loop.add(two.fd, two.see);
  two.signal();
  await soon(() => two.seen === 1);
  loop.remove(two.fd);
  await later(5);
  two.signal();
  one.signal();
  await soon(() => one.seen === 2);
  assertEquals(two.seen, 1);
});

Deno.test("a started loop is woken by bells, and answers each", async () => {
  await using loop = new InterruptLoop();
  using one = new Belled();
  one.addTo(loop);
  loop.start();
  for (let round = 1; round <= 20; round++) {
    await soon(() => one.asleep);
    one.bell.ring(round);
    await soon(() => one.causes.length === round);
  }
  assertEquals(one.causes, Array.from({ length: 20 }, (_, i) => i + 1));
});

Deno.test("a started loop can be turned by hand, and goes on waiting behind it", async () => {
  await using loop = new InterruptLoop();
  using one = new Belled();
  using event = new Event();
  one.addTo(loop);
  loop.add(event.fd, event.see);
  loop.start();
  await soon(() => one.asleep);
  event.signal();
  assertEquals(loop.runOnce(1000), true);
  assertEquals(event.seen, 1);
  one.bell.ring(1);
  if (one.causes.length === 0) await soon(() => one.causes.length === 1);
  // After a run by hand a ringer still finds the owner asleep.
  assertEquals(loop.runOnce(0), false);
  assert(one.asleep);
  const woken = one.woken;
  one.bell.ring(2);
  assertEquals(one.woken, woken + 1);
  await soon(() => one.causes.length === 2);
});

Deno.test("what is added is waited for, also where the loop is turned by hand before its thread could wake", async () => {
  await using loop = new InterruptLoop();
  using one = new Belled();
  one.addTo(loop);
  loop.start();
  for (let round = 1; round <= 20; round++) {
    using event = new Event();
    await soon(() => one.asleep);
    await later(2);
    loop.add(event.fd, event.see);
    loop.runOnce(0);
    await later(2);
    event.signal();
    await soon(() => event.seen === 1);
    loop.remove(event.fd);
  }
});

Deno.test("a loop that is turned by hand while it is disposed ends all the same", async () => {
  for (let round = 1; round <= 20; round++) {
    const loop = new InterruptLoop();
    using one = new Belled();
    one.addTo(loop);
    loop.start();
    await soon(() => one.asleep);
    await later(2);
    let ended = false;
    void loop[Symbol.asyncDispose]().then(() => ended = true);
    loop.runOnce(0);
    await soon(() => ended);
  }
});

Deno.test("a loop that is busy polled need not be woken; afterwards it must be", async () => {
  await using loop = new InterruptLoop();
  using one = new Belled();
  one.addTo(loop);
  loop.start();
  await soon(() => one.asleep);
  assert(!loop.busyPolled);
  const outer = loop.busyPoll();
  const inner = loop.busyPoll();
  assert(loop.busyPolled && !one.asleep);
  one.bell.ring(1);
  assertEquals(one.woken, 0);
  assertEquals(loop.runOnce(0), true);
  assertEquals(one.causes, [1]);
  one.bell.ring(2);
  inner[Symbol.dispose]();
  assert(loop.busyPolled);
  assertEquals(one.causes, [1]);
  outer[Symbol.dispose]();
  // What came meanwhile is not left lying.
  assert(!loop.busyPolled && one.asleep);
  assertEquals(one.causes, [1, 2]);
  one.bell.ring(4);
  assertEquals(one.woken, 1);
  await soon(() => one.causes.length === 3);
});

Deno.test("what can be polled is looked at while the loop looks on, and rearmed when that ends #core:looks", async () => {
  await using loop = new InterruptLoop();
  using event = new Event();
  let [looks, rearmed] = [0, 0];
  const polled = {
    run() {
      assert(loop.busyPolled);
      looks++;
      return false;
    },
    rearm() {
      assert(!loop.busyPolled);
      rearmed++;
    },
  };
  loop.addPolled(polled);
  loop.add(event.fd, event.see);
  loop.start();
  for (let round = 1; round <= 5; round++) {
    const before = looks;
    event.signal();
    await soon(() => event.seen === round && looks > before && !loop.busyPolled);
    assert(rearmed >= round, `${rearmed} times in round ${round}`);
  }
  loop.removePolled(polled);
  const before = rearmed;
  loop.busyPoll()[Symbol.dispose]();
  assertEquals(rearmed, before);
});

Deno.test("where one client looks no more, all that were polled meanwhile are rearmed, when the last does not", async () => {
  await using loop = new InterruptLoop();
  const rearmed: number[] = [];
  for (let i = 0; i < 2; i++) loop.addPolled({ run: () => false, rearm: () => rearmed.push(i) });
  const outer = loop.busyPoll();
  loop.busyPoll()[Symbol.dispose]();
  assertEquals(rearmed, []);
  outer[Symbol.dispose]();
  assertEquals(rearmed, [0, 1]);
});

Deno.test("a bell that is rung all the time keeps the loop from nothing else #core:P-29", async () => {
  await using loop = new InterruptLoop();
  using flooder = new Belled();
  using event = new Event();
  let answers = 0;
  loop.addBell(flooder.bell, flooder.event.fd, () => {
    answers++;
    flooder.bell.ring(1);
  });
  loop.add(event.fd, event.see);
  loop.start();
  flooder.bell.ring(1);
  // Turned by hand, and by itself.
  assertEquals(loop.runOnce(0), true);
  assert(answers < 10, `${answers} in one turn`);
  event.signal();
  await soon(() => event.seen === 1);
  let timers = 0;
  const timer = setInterval(() => timers++, 1);
  await soon(() => timers >= 10);
  clearInterval(timer);
  assert(answers > 10);
  loop.remove(flooder.event.fd);
});

Deno.test("a loop that is disposed ends at once, whatever it waits for", async () => {
  const loop = new InterruptLoop();
  using one = new Event();
  loop.add(one.fd, one.see);
  loop.start();
  await later(5);
  const start = performance.now();
  await loop[Symbol.asyncDispose]();
  assert(performance.now() - start < 10_000);
});
