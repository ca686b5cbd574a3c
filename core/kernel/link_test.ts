import { assert, assertEquals, assertMatch } from "@std/assert";
import { Cause } from "../bus/bell.ts";
import { ControlWord } from "../bus/control.ts";
import { libc } from "../linux/libc.ts";
import { InterruptLoop } from "../irq/interrupt_loop.ts";
import { Link } from "./link.ts";

// Opened once for the whole process, so not by a test.
libc();

/** The core's end of a link to a driver that the test plays. */
class Rig implements AsyncDisposable {
  readonly loop = new InterruptLoop();
  readonly faults: string[] = [];
  heard = 0;
  settled = 0;
  /** Requests that end at each look into the lanes. */
  ends = 0;
  /** Doorbells that are passed on at each look, and how often that was. */
  doorbells = 0;
  passes = 0;
  readonly link = new Link(this.loop, {
    message: () => {
      this.heard++;
    },
    completions: () => this.ends,
    fault: (error) => {
      this.faults.push(error.message);
    },
    takeAnswers: () => {
      this.settled++;
    },
    registers: () => false,
    doorbells: () => {
      this.passes++;
      return this.doorbells;
    },
    answered: () => false,
  }, 65536);
  readonly outbox = this.link.inbox();

  /** Sends as many of these as there is room for, up to `most`. */
  send(most: number, properties: Readonly<Record<string, string>> = {}): number {
    for (let sent = 0;; sent++) {
      if (sent === most || !this.outbox.send({ type: "properties", properties })) return sent;
      this.link.core.ring(Cause.mail);
    }
  }

  ring(cause: number): void {
    this.link.core.ring(cause);
    this.loop.runOnce(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.link[Symbol.dispose]();
    await this.loop[Symbol.asyncDispose]();
  }
}

/** Makes time stand still: how much comes in a second is not to depend on how fast the machine is. */
function standstill(): Disposable {
  const { now } = performance;
  const at = performance.now();
  performance.now = () => at;
  return { [Symbol.dispose]: () => void (performance.now = now) };
}

Deno.test("a flood of messages is read in portions, and ends with the driver's fault #core:P-13", async () => {
  using _ = standstill();
  await using rig = new Rig();
  let most = 0;
  for (let turns = 0; rig.faults.length === 0; turns++) {
    assert(turns < 1000);
    rig.send(Infinity);
    const before = rig.heard;
    rig.loop.runOnce(0);
    most = Math.max(most, rig.heard - before);
  }
  // A turn looks twice: before it waits and after.
  assert(most <= 64, `${most} in one turn`);
  assertEquals(rig.heard, 4095);
  assertMatch(rig.faults[0]!, /sent more than 4096 messages, or 2097152 bytes, in a second/);
});

Deno.test("long messages cost what they are long", async () => {
  using _ = standstill();
  await using rig = new Rig();
  for (let turns = 0; rig.faults.length === 0; turns++) {
    assert(turns < 1000);
    rig.send(1, { text: "x".repeat(100_000) });
    rig.loop.runOnce(0);
  }
  assertEquals(rig.heard, 20);
});

Deno.test("a burst is no flood: all of it is read, in its time", async () => {
  await using rig = new Rig();
  const sent = rig.send(1000);
  assert(sent > 500);
  for (let turns = 0; turns < 100; turns++) rig.loop.runOnce(0);
  assertEquals([rig.heard, rig.faults], [sent, []]);
});

Deno.test("after its first fault a driver is not listened to, until it is started anew", async () => {
  await using rig = new Rig();
  rig.outbox.send({ type: "nonsense" });
  rig.send(10);
  rig.loop.runOnce(0);
  for (let i = 0; i < 10; i++) rig.ring(Cause.mail | Cause.lane | Cause.credits);
  assertEquals([rig.heard, rig.faults.length, rig.settled], [0, 1, 0]);
  rig.link.restart();
  const outbox = rig.link.inbox();
  outbox.send({ type: "ready" });
  rig.ring(Cause.mail);
  assertEquals([rig.heard, rig.faults.length], [1, 1]);
});

Deno.test("a link that was closed from above is silent too", async () => {
  await using rig = new Rig();
  rig.link.close();
  rig.send(3);
  rig.loop.runOnce(0);
  rig.link.takeAll();
  assertEquals([rig.heard, rig.faults], [0, []]);
});

for (
  const [name, cause] of Object.entries({
    lane: 1,
    mail: 2,
    credits: 4,
    answered: 16,
    register: 32,
    all: 55,
  })
) {
  Deno.test(`a driver that rings for nothing is at fault: ${name} #core:P-29`, async () => {
    await using rig = new Rig();
    for (let i = 0; i < 64; i++) rig.ring(cause);
    assertEquals([rig.faults, rig.settled], [[], 0]);
    for (let i = 0; i < 64; i++) rig.ring(cause);
    assertEquals(rig.faults, ["the driver rang 64 times in a row for nothing"]);
  });
}

Deno.test("a driver that rings for something now and then is not at fault", async () => {
  await using rig = new Rig();
  for (let i = 0; i < 1000; i++) {
    rig.ends = i % 50 === 0 ? 1 : 0;
    rig.ring(Cause.lane);
  }
  for (let i = 0; i < 1000; i++) {
    if (i % 50 === 0) Atomics.add(rig.link.words, ControlWord.doorbellsRung, 1);
    rig.ring(Cause.credits);
  }
  assertEquals([rig.faults, rig.settled], [[], 20]);
  assertEquals(rig.link.words[ControlWord.doorbellsAnswered], 20);
});

Deno.test("doorbells that are too many wait, and the driver is not at fault #core:written_doorbells", async () => {
  await using rig = new Rig();
  rig.doorbells = 1000;
  {
    using _ = standstill();
    for (let i = 0; i < 200; i++) rig.ring(Cause.doorbell);
  }
  // What is left of the time before that may be enough for one more.
  assert(rig.passes === 100 || rig.passes === 101, `${rig.passes} passes at once`);
  // The rest is passed on when a part of the next second is over.
  const before = rig.passes;
  for (let waited = 0; rig.passes === before; waited++) {
    assert(waited < 1000, "they wait for ever");
    await new Promise((resolve) => setTimeout(resolve, 10));
    rig.loop.runOnce(0);
  }
  assertEquals(rig.faults, []);
});

Deno.test("doorbells that wait are passed on while a client blocks the thread, too #core:written_doorbells", async () => {
  await using rig = new Rig();
  rig.doorbells = 101_000;
  rig.ring(Cause.doorbell);
  rig.doorbells = 1;
  rig.ring(Cause.doorbell);
  assertEquals(rig.passes, 1);
  for (let waits = 0; rig.passes === 1; waits++) {
    assert(waits < 1000, "they wait for ever");
    rig.link.wait(100);
  }
  assertEquals(rig.faults, []);
});

for (const cause of [Cause.beat, 128, 1 << 31]) {
  Deno.test(`a driver must not ring for the reason ${cause}`, async () => {
    await using rig = new Rig();
    rig.ring(cause);
    assertEquals(rig.faults, ["the driver rang for a reason that there is not"]);
  });
}
