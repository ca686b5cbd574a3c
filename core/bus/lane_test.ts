import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BusFault } from "./mailbox.ts";
import { DriverLane } from "./driver_lane.ts";
import { Pair } from "./fake_test.ts";
import { lanePlaces, RECORD_WORDS, Status, Word } from "./lane.ts";
import { RequestError } from "./request_error.ts";

Deno.test("lanePlaces() puts each part on its own words", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 4096 }), fc.nat(100), (slots, line) => {
    const control = line * 64;
    const places = lanePlaces(control, slots);
    const entries = places.mask + 1;
    assertEquals(places.mask & entries, 0);
    assert(entries >= slots && entries < 2 * slots);
    // Counters on cache lines of their own, since each side writes one of them.
    assertEquals([places.submitted, places.completed], [control / 4, control / 4 + 16]);
    assertEquals(places.submit, control / 4 + 32);
    assertEquals(places.complete, places.submit + entries);
    assert(places.records >= places.complete + entries);
    assertEquals(places.end, places.records + slots * RECORD_WORDS);
  }));
});

type Step =
  | { readonly do: "submit"; readonly count: number }
  | { readonly do: "driverTake"; readonly most: number }
  | { readonly do: "complete"; readonly pick: number }
  | { readonly do: "publish" | "driverPublish" | "drain" };

/** As drivers may end a request. */
const ENDS = [Status.ok, Status.failed, Status.unsupported, Status.invalid, Status.refused];

const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant("submit" as const), count: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ do: fc.constant("driverTake" as const), most: fc.nat(4) }),
    fc.record({ do: fc.constant("complete" as const), pick: fc.nat(100) }),
    fc.record({
      do: fc.constantFrom("publish" as const, "driverPublish" as const, "drain" as const),
    }),
  ),
  { maxLength: 150, size: "max" },
);

Deno.test("each slot of a lane is completed exactly once, with its own answer", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), steps, (slots, steps) => {
      const pair = new Pair({ slots, slotBytes: 64 });
      const { client, driver } = pair;
      const waiting = new Map<number, number>();
      let [submitted, published, taken, ended, tag] = [0, 0, 0, 0, 0];
      const atDriver: number[] = [];
      const done = (slot: number, status: number, length: number) => {
        const expected = waiting.get(slot);
        assert(expected !== undefined, "a slot came back that was not in flight");
        assertEquals([status, length], [
          ENDS[expected % 5],
          expected % 100 > 64 ? 64 : expected % 100,
        ]);
        waiting.delete(slot);
        client.release(slot);
        ended++;
      };
      const run = (step: Step) => {
        switch (step.do) {
          case "submit":
            for (let i = 0; i < step.count; i++) {
              const slot = client.take();
              assertEquals(slot < 0, waiting.size === slots);
              if (slot < 0) return;
              client.setWord(slot, Word.first, ++tag);
              client.submit(slot, done);
              waiting.set(slot, tag);
              submitted++;
            }
            return;
          case "publish": {
            const rung = pair.rung;
            client.publish();
            assertEquals(pair.rung - rung, submitted > published ? 1 : 0);
            published = submitted;
            return;
          }
          case "driverTake": {
            assertEquals(driver.pending, published > taken);
            let left = step.most;
            driver.take((slot) => {
              if (left-- === 0) return false;
              assertEquals(driver.word(slot, Word.first), waiting.get(slot));
              atDriver.push(slot);
              taken++;
              return true;
            });
            return;
          }
          case "complete": {
            if (atDriver.length === 0) return;
            const [slot] = atDriver.splice(step.pick % atDriver.length, 1);
            const mark = driver.word(slot!, Word.first);
            driver.complete(slot!, ENDS[mark % 5]!, mark % 100);
            return;
          }
          case "driverPublish":
            driver.publish();
            assert(!driver.publish());
            return;
          case "drain": {
            const before = ended;
            assertEquals(client.drain(), ended - before);
          }
        }
      };
      for (const step of steps) run(step);
      run({ do: "publish" });
      run({ do: "driverTake", most: slots });
      while (atDriver.length > 0) run({ do: "complete", pick: 0 });
      run({ do: "driverPublish" });
      run({ do: "drain" });
      assertEquals([client.inFlight, client.ended, ended, waiting.size], [
        0,
        submitted,
        submitted,
        0,
      ]);
    }),
    { numRuns: 500 },
  );
});

Deno.test("both ends mean the same bytes", () => {
  const pair = new Pair({ slots: 3, slotBytes: 100 });
  for (const slot of [0, 1, 2]) pair.client.data(slot).fill(slot + 1);
  for (const slot of [0, 1, 2]) assertEquals([...pair.data(slot)], Array(100).fill(slot + 1));
  assertEquals([pair.client.slots, pair.client.slotBytes], [3, 100]);
  assertEquals([pair.driver.slots, pair.driver.slotBytes], [3, 100]);
});

/** A pair with two requests at the driver. */
function busy() {
  const pair = new Pair({ slots: 4 });
  const ended: number[][] = [];
  for (let i = 0; i < 2; i++) {
    pair.client.submit(pair.client.take(), (...answer) => ended.push(answer));
  }
  pair.client.publish();
  return { pair, ended, slots: pair.take() };
}

const lies: readonly {
  readonly name: string;
  readonly complete: readonly number[];
  readonly says: string;
}[] = [
  { name: "a slot that is free", complete: [3], says: "slot 3, which is not in flight" },
  { name: "a slot that does not exist", complete: [4], says: "slot 4, which is not in flight" },
  { name: "a slot of all ones", complete: [2 ** 32 - 1], says: "slot 4294967295" },
  { name: "a slot twice", complete: [0, 0], says: "slot 0, which is not in flight" },
  { name: "more than there are", complete: [0, 1, 0], says: "completed 3 requests with 2 in" },
];

for (const { name, complete, says } of lies) {
  Deno.test(`a driver that completes ${name} is at fault`, () => {
    const { pair, ended, slots } = busy();
    assertEquals(slots, [0, 1]);
    const { completed, complete: ring } = lanePlaces(pair.layout.control, 4);
    complete.forEach((slot, i) => pair.words[ring + i] = slot);
    pair.words[completed] = complete.length;
    assertThrows(() => pair.client.drain(), BusFault, says);
    assert(ended.length <= 1);
    // A request that had no end yet has one now; none has two.
    pair.client.fail();
    assertEquals(ended.map(([slot]) => slot).sort(), [0, 1]);
    assertEquals([pair.client.inFlight, pair.client.ended], [0, 2]);
  });
}

for (const status of [Status.gone, Status.unknown, 7, 2 ** 32 - 1]) {
  Deno.test(`a driver that ends a request with status ${status} is at fault #core:P-36`, () => {
    const { pair, ended, slots } = busy();
    pair.complete(slots, status);
    assertThrows(() => pair.client.drain(), BusFault, `with status ${status}, as it must not`);
    assertEquals([ended, pair.client.inFlight], [[], 2]);
    // It is as if it had said nothing: the next driver does it.
    pair.restart();
    pair.complete(pair.take());
    assertEquals(pair.client.drain(), 2);
  });
}

Deno.test("a driver may say that it does not know, of what must not be done twice", () => {
  const pair = new Pair({ slots: 1 });
  const statuses: number[] = [];
  pair.client.submit(pair.client.take(), (_, status) => statuses.push(status), true);
  pair.client.publish();
  pair.complete(pair.take(), Status.unknown);
  assertEquals([pair.client.drain(), statuses], [1, [Status.unknown]]);
});

Deno.test("a counter that goes backwards is the driver's fault", () => {
  const { pair, slots } = busy();
  pair.complete(slots);
  assertEquals(pair.client.drain(), 2);
  const { completed } = lanePlaces(pair.layout.control, 4);
  pair.words[completed] = 1;
  assertThrows(() => pair.client.drain(), BusFault, "completed 4294967295 requests with 0");
});

Deno.test("a length is never more than a slot has", () => {
  const { pair, ended, slots } = busy();
  pair.complete(slots, Status.ok, 2 ** 32 - 1);
  pair.client.drain();
  assertEquals(ended, [[0, Status.ok, 512], [1, Status.ok, 512]]);
});

Deno.test("whatever a driver writes, a client throws BusFault only, and tells each exactly once", () => {
  const writes = fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(9), fc.nat(0xffffffff))), {
    maxLength: 30,
  });
  fc.assert(
    fc.property(fc.array(writes, { maxLength: 10 }), (rounds) => {
      const pair = new Pair({ slots: 8 });
      const { client, words } = pair;
      const told = new Map<number, number>();
      let tag = 0;
      const submit = () => {
        for (let slot = client.take(); slot >= 0; slot = client.take()) {
          const own = tag++;
          told.set(own, 0);
          client.submit(slot, (back) => {
            assertEquals(back, slot);
            told.set(own, told.get(own)! + 1);
            client.release(slot);
          });
        }
        client.publish();
      };
      submit();
      const first = pair.layout.control / 4;
      for (const round of rounds) {
        for (const [at, value] of round) words[first + at % (words.length - first)] = value;
        words[first + 16] = client.ended + round.length % 9;
        try {
          client.drain();
        } catch (error) {
          assert(error instanceof BusFault, String(error));
          break;
        }
        submit();
      }
      client.fail();
      for (const times of told.values()) assertEquals(times, 1);
      assertEquals(client.inFlight, 0);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("a driver passes over slots that cannot be", () => {
  const pair = new Pair({ slots: 4 });
  const { submitted, submit } = lanePlaces(pair.layout.control, 4);
  [9, 2, 2 ** 32 - 1].forEach((slot, i) => pair.words[submit + i] = slot);
  pair.words[submitted] = 3;
  assertEquals(pair.take(), [2]);
  assert(!pair.driver.pending);
});

Deno.test("a request that found no room at the driver comes again", () => {
  const pair = new Pair({ slots: 4 });
  for (let i = 0; i < 3; i++) pair.client.submit(pair.client.take(), () => {});
  pair.client.publish();
  const got: number[] = [];
  pair.driver.take((slot) => got.push(slot) < 2);
  assert(pair.driver.pending);
  pair.driver.take((slot) => got.push(slot) > 0);
  assertEquals(got, [0, 1, 1, 2]);
});

Deno.test("fail() ends what is in flight and what is to come as gone", () => {
  const { pair, ended } = busy();
  const { client } = pair;
  client.fail();
  assertEquals(ended, [[0, Status.gone, 0], [1, Status.gone, 0]]);
  const rung = pair.rung;
  client.submit(client.take(), (...answer) => ended.push(answer));
  assertEquals(ended.length, 2);
  client.publish();
  assertEquals(ended[2], [2, Status.gone, 0]);
  client.fail();
  assertEquals([ended.length, client.inFlight, client.ended, pair.rung], [3, 0, 3, rung]);
});

Deno.test("after fail(), what the driver still completes counts no more", () => {
  const { pair, ended, slots } = busy();
  pair.client.fail();
  pair.complete(slots);
  assertEquals(pair.client.drain(), 0);
  assertEquals(pair.client.wait(1), 0);
  assertEquals(ended.length, 2);
});

Deno.test("after fail(), a late completion does not pass for that of a request that was never sent", () => {
  const { pair, slots } = busy();
  const { client } = pair;
  client.fail();
  pair.complete(slots);
  const statuses: number[] = [];
  for (const slot of slots) {
    client.release(slot);
  }
  client.submit(client.take(), (_, status) => statuses.push(status));
  client.submit(client.take(), (_, status) => statuses.push(status));
  client.drain();
  client.publish();
  assertEquals(statuses, [Status.gone, Status.gone]);
});

Deno.test("a request may be submitted from within the answer to another", () => {
  const pair = new Pair({ slots: 1 });
  let left = 10;
  const again = (slot: number) => {
    if (--left === 0) return;
    pair.client.submit(slot, again);
    pair.client.publish();
  };
  again(pair.client.take());
  while (left > 0) {
    pair.complete(pair.take());
    assertEquals(pair.client.drain(), 1);
  }
  assertEquals([pair.client.inFlight, pair.client.ended], [0, 9]);
});

Deno.test("wait() returns when a driver on this thread has answered", () => {
  const pair = new Pair({
    slots: 2,
    run: (own) => {
      own.complete(own.take());
      own.client.drain();
    },
  });
  pair.client.submit(pair.client.take(), () => assertEquals(pair.busyPolls, 1));
  pair.client.publish();
  assertEquals(pair.client.wait(1000), 1);
  assertEquals(pair.busyPolls, 0);
});

Deno.test("wait() returns when the loop has brought an answer", () => {
  const timeouts: number[] = [];
  const pair = new Pair({
    slots: 2,
    wait(own, timeout) {
      timeouts.push(timeout);
      own.complete(own.take());
      own.client.drain();
    },
  });
  pair.client.submit(pair.client.take(), () => {});
  pair.client.publish();
  assertEquals(pair.client.wait(1000), 1);
  assertEquals(timeouts.length, 1);
  assert(timeouts[0]! > 0 && timeouts[0]! <= 1000);
});

Deno.test("wait() ends when its time is over", () => {
  let turns = 0;
  const pair = new Pair({
    slots: 2,
    wait: (_, timeout) => {
      turns++;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, timeout);
    },
  });
  pair.client.submit(pair.client.take(), () => {});
  const start = performance.now();
  assertEquals(pair.client.wait(20), 0);
  assert(performance.now() - start >= 19);
  assert(turns >= 1);
  assertEquals(pair.client.wait(0), 0);
});

Deno.test("busyPoll() is the kernel's, and ends once", () => {
  const pair = new Pair({ slots: 1 });
  const polling = pair.client.busyPoll();
  assertEquals(pair.busyPolls, 1);
  using other = pair.client.busyPoll();
  for (let i = 0; i < 3; i++) polling[Symbol.dispose]();
  assert(other);
  assertEquals(pair.busyPolls, 1);
});

Deno.test("restart() submits what is in flight again, in its order, with what was asked", () => {
  const pair = new Pair({ slots: 4 });
  const { client, driver, words } = pair;
  const ended: number[] = [];
  const submit = (mark: number) => {
    const slot = client.take();
    client.setWord(slot, Word.first, mark);
    client.submit(slot, () => {
      ended.push(mark);
      client.release(slot);
    });
  };
  [10, 11, 12].forEach(submit);
  client.publish();
  const [first] = pair.take();
  pair.complete([first!]);
  client.drain();
  submit(13);
  client.publish();
  // The driver that is gone has scribbled over the records, and counted on.
  const { records, complete, completed } = lanePlaces(pair.layout.control, 4);
  words.fill(0xdead, records);
  words.fill(3, complete, complete + 4);
  words[completed] = 99;

  client.restart();
  assertEquals([client.inFlight, ended], [3, [10]]);
  const marks: number[] = [];
  const slots: number[] = [];
  const next = new DriverLane(pair.control, pair.layout);
  next.take((slot) => {
    marks.push(next.word(slot, Word.first));
    slots.push(slot);
    return true;
  });
  assertEquals(marks, [11, 12, 13]);
  for (const slot of slots.toReversed()) next.complete(slot, Status.ok, 0);
  next.publish();
  assertEquals(client.drain(), 3);
  assertEquals(ended, [10, 13, 12, 11]);
  assertEquals(driver.slots, 4);
});

Deno.test("restart() sends what was submitted and not shown yet, once", () => {
  const pair = new Pair({ slots: 4 });
  let ended = 0;
  pair.client.submit(pair.client.take(), () => ended++);
  pair.client.restart();
  pair.client.publish();
  const next = new DriverLane(pair.control, pair.layout);
  next.take((slot) => {
    next.complete(slot, Status.ok, 0);
    return true;
  });
  next.publish();
  assertEquals([pair.client.drain(), ended, pair.client.inFlight], [1, 1, 0]);
});

Deno.test("restart() with nothing in flight begins at zero", () => {
  const { pair, slots } = busy();
  pair.complete(slots);
  pair.client.drain();
  const rung = pair.rung;
  pair.client.restart();
  assertEquals([pair.client.drain(), pair.rung], [0, rung]);
  assertEquals(new DriverLane(pair.control, pair.layout).pending, false);
});

Deno.test("restart() does not submit again what must be done once: that ends as unknown", () => {
  const pair = new Pair({ slots: 4 });
  const { client } = pair;
  const ended: string[] = [];
  const submit = (name: string, once: boolean) => {
    const slot = client.take();
    client.submit(slot, (_, status) => ended.push(`${name} ${status}`), once);
  };
  submit("append", true);
  submit("read", false);
  submit("reserve", true);
  client.publish();
  client.restart();
  assertEquals(ended, [`append ${Status.unknown}`, `reserve ${Status.unknown}`]);
  const next = new DriverLane(pair.control, pair.layout);
  next.take((slot) => {
    next.complete(slot, Status.ok, 0);
    return true;
  });
  next.publish();
  assertEquals([client.drain(), client.inFlight], [1, 0]);
  assertEquals(ended.at(-1), `read ${Status.ok}`);
});

Deno.test("oldest() is the first submission that has not ended", () => {
  const pair = new Pair({ slots: 4 });
  const { client } = pair;
  assertEquals([client.oldest(), client.submissions], [Infinity, 0]);
  for (let i = 0; i < 3; i++) client.submit(client.take(), () => {});
  client.publish();
  assertEquals([client.oldest(), client.submissions], [0, 3]);
  const [first, second, third] = pair.take();
  pair.complete([first!, third!]);
  client.drain();
  assertEquals(client.oldest(), 1);
  pair.complete([second!]);
  client.drain();
  assertEquals([client.oldest(), client.submissions], [Infinity, 3]);
});

Deno.test("a driver's words reach the client", () => {
  const pair = new Pair({ slots: 2 });
  const words: number[] = [];
  pair.client.submit(pair.client.take(), (slot) => words.push(pair.client.word(slot, Word.first)));
  pair.client.publish();
  const [slot] = pair.take();
  pair.driver.setWord(slot!, Word.first, 0xffff_ffff);
  pair.complete([slot!]);
  pair.client.drain();
  assertEquals(words, [0xffff_ffff]);
});

Deno.test("a slot that is given back is that of the longest wait, also if another request comes meanwhile #core:slots #core:slot_order", async () => {
  const pair = new Pair({ slots: 1 });
  const { client } = pair;
  const slot = client.take();
  const first = client.taken("Cannot be first");
  const got: number[] = [];
  client.whenFree((slot) => got.push(slot));
  const third = client.taken("Cannot be third");
  client.release(slot);
  assertEquals(client.take(), -1);
  assertEquals([await first, got], [slot, []]);
  client.release(slot);
  assertEquals([got, client.take()], [[slot], -1]);
  client.release(slot);
  assertEquals(await third, slot);
  client.release(slot);
  client.whenFree((slot) => got.push(slot));
  assertEquals([got, client.take()], [[slot, slot], -1]);
});

Deno.test("requests that wait for a slot are told that the driver is gone, and so are those that come then", async () => {
  const pair = new Pair({ slots: 1 });
  const { client } = pair;
  const slot = client.take();
  const got: number[] = [];
  client.whenFree((slot) => got.push(slot));
  const waits = assertRejects(() => client.taken("Cannot wait"), RequestError, "Cannot wait");
  client.fail();
  await waits;
  client.whenFree((slot) => got.push(slot));
  assertEquals(got, [-1, -1]);
  client.release(slot);
  assertEquals(await client.taken("Cannot happen"), slot);
});
