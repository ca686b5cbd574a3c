import { assert, assertEquals, assertMatch } from "@std/assert";
import { Bell } from "../bus/bell.ts";
import { ControlWord, FIRST_BEAT } from "../bus/control.ts";
import { close, pipe } from "../linux/fd.ts";
import { libc } from "../linux/libc.ts";
import { poll, POLLIN } from "../linux/poll.ts";
import { kill, reap, SIGKILL, spawn } from "../linux/process.ts";
import { PATIENCE, type Patience } from "./patience.ts";
import { Watchdog } from "./watchdog.ts";

// Opened once for the whole process, so not by a test.
libc();

/** Something that runs until the test is over. */
class Program implements Disposable {
  readonly pid: number;
  readonly #pidfd: number;

  constructor(script: string) {
    const [from, into] = pipe();
    const descriptors = [from, into, into];
    const path = "/bin/sh";
    const child = spawn({ path, args: ["-c", script], environment: {}, descriptors });
    close(from);
    close(into);
    this.pid = child.pid;
    this.#pidfd = child.pidfd;
  }

  [Symbol.dispose](): void {
    kill(this.pid, SIGKILL);
    poll(Int32Array.of(this.#pidfd, POLLIN), 1, 10_000);
    reap(this.pid);
    close(this.#pidfd);
  }
}

const LOOPS = "while :; do :; done";
const SLEEPS = "exec sleep 1000";

/** A tenth of what drivers have. */
const patience: Patience = { ...PATIENCE, look: 25, beat: 100, life: 400, start: 3000 };

/** A watchdog, with the driver's side of it. */
class Rig implements Disposable {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly #bitten = Promise.withResolvers<string>();
  readonly #watchdog: Watchdog;

  constructor(pid: number) {
    const words = new Int32Array(new SharedArrayBuffer(4096));
    this.words = words;
    this.#watchdog = new Watchdog(
      { pid, words, bell: new Bell(words, ControlWord.driverBell, () => {}), patience },
      this.#bitten.resolve,
    );
  }

  /** Why it bit; undefined if it does not for so long. */
  async bites(milliseconds: number): Promise<string | undefined> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const never = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), milliseconds);
    });
    const reason = await Promise.race([this.#bitten.promise, never]);
    clearTimeout(timer);
    return reason;
  }

  answer(beat: number): void {
    Atomics.store(this.words, ControlWord.beatAnswered, beat);
  }

  get asked(): number {
    return Atomics.load(this.words, ControlWord.beatAsked);
  }

  [Symbol.dispose](): void {
    this.#watchdog[Symbol.dispose]();
  }
}

// Side by side, since each is waited for.
Deno.test("a driver that gives no sign of life is found, whether it loops, sleeps or was stopped #core:hang", async () => {
  using loops = new Program(LOOPS);
  using sleeps = new Program(SLEEPS);
  using stopped = new Program(LOOPS);
  kill(stopped.pid, 19 /* SIGSTOP */);
  using looping = new Rig(loops.pid);
  using sleeping = new Rig(sleeps.pid);
  using standing = new Rig(stopped.pid);
  for (const rig of [looping, sleeping, standing]) rig.answer(FIRST_BEAT);
  const [first, second, third] = await Promise.all([
    looping.bites(120_000),
    sleeping.bites(120_000),
    standing.bites(120_000),
  ]);
  assertEquals(first, "it gave no sign of life for 0.5 s: it hangs, it works without end");
  assertEquals(second, "it gave no sign of life for 0.5 s: it hangs, it sleeps");
  assertEquals(third, second);
});

Deno.test("a driver that answers is left alone, and asked no more often than it must #core:P-32", async () => {
  using program = new Program(SLEEPS);
  using rig = new Rig(program.pid);
  rig.answer(FIRST_BEAT);
  const start = performance.now();
  const answering = setInterval(() => rig.answer(rig.asked || FIRST_BEAT), 5);
  assertEquals(await rig.bites(300), undefined);
  clearInterval(answering);
  const asked = rig.asked - FIRST_BEAT;
  const most = (performance.now() - start) / patience.beat;
  assert(asked > 0 && asked <= most, `asked ${asked} times`);
});

for (
  const [when, beat] of [["before it was asked", FIRST_BEAT + 1], ["out of thin air", -7]] as const
) {
  Deno.test(`a sign of life that comes ${when} is the driver's fault #core:P-32`, async () => {
    using program = new Program(SLEEPS);
    using rig = new Rig(program.pid);
    rig.answer(FIRST_BEAT);
    rig.answer(beat);
    assertMatch(await rig.bites(10_000) ?? "", /gave a sign of life that it was not asked for/);
  });
}

Deno.test("a process that has not begun with the driver has more time", async () => {
  using program = new Program(SLEEPS);
  using rig = new Rig(program.pid);
  assertEquals(await rig.bites(700), undefined);
});
