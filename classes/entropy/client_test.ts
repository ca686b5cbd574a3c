import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { EntropyClient } from "./client.ts";
import { Pair } from "../../core/bus/fake_test.ts";
import { Status, Word } from "../../core/bus/lane.ts";
import { RequestError } from "../../core/bus/request_error.ts";

interface SourceOptions {
  readonly slots?: number;
  readonly slotBytes?: number;
  /** The most bytes of an answer. */
  readonly most?: number;
  readonly status?: number;
  /** What an answer is filled with, by its number; 1, 2, 3 and so on if absent. */
  readonly fill?: (data: Uint8Array, answer: number) => void;
}

/** A client, and a source that answers what it is asked. */
function source(options: SourceOptions = {}) {
  const { slots = 2, slotBytes = 16, most = Infinity, status = Status.ok } = options;
  const pair = new Pair({ slots, slotBytes });
  let byte = 0;
  let answers = 0;
  const work = () => {
    for (const slot of pair.take()) {
      const length = Math.min(pair.driver.word(slot, Word.length), most);
      const data = pair.data(slot).subarray(0, length);
      if (options.fill) options.fill(data, answers);
      else for (let i = 0; i < length; i++) data[i] = ++byte;
      answers++;
      pair.complete([slot], status, length);
    }
    pair.client.drain();
  };
  /** Lets the source work until a promise has settled. */
  const finish = async <T>(result: Promise<T>): Promise<T> => {
    let open = true;
    result.finally(() => open = false).catch(() => {});
    while (open) {
      work();
      await new Promise((resolve) => setTimeout(resolve));
    }
    return await result;
  };
  const { client, close } = EntropyClient.open({ requests: pair.client });
  return { pair, client, close: close!, work, finish, answers: () => answers };
}

const wiped = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);

Deno.test("read() gathers as many bytes as were asked for", async () => {
  for (const [length, most] of [[0, 9], [1, 9], [16, 16], [17, 16], [100, 100], [100, 7], [9, 1]]) {
    const { client, finish } = source({ most: most! });
    const bytes = await finish(client.read(length!));
    assertEquals([...bytes], Array.from({ length: length! }, (_, i) => i + 1));
  }
});

Deno.test("nothing is asked for before the application reads", () => {
  const { pair } = source();
  assertEquals([pair.rung, pair.client.inFlight], [0, 0]);
});

Deno.test("requests are ahead of the readers, as many as there are slots at most #random:prefetch", async () => {
  const { client, finish, pair, work } = source({ slots: 4 });
  await finish(client.read(1));
  for (let i = 0; i < 10; i++) work();
  assertEquals(client.health.ahead, 4 * 16 - 1);
  assertEquals(pair.client.inFlight, 0);
  // These are there already.
  assertEquals([...await client.read(63)], Array.from({ length: 63 }, (_, i) => i + 2));
});

Deno.test("a source that is short of bytes is asked for no more than one answer at a time #random:rate_limit", async () => {
  const { client, finish, pair, work } = source({ slots: 4, most: 3 });
  await finish(client.read(7));
  assert(pair.client.inFlight <= 1);
  for (let i = 0; i < 10; i++) {
    work();
    assert(pair.client.inFlight <= 1 && client.health.ahead <= 3);
  }
});

Deno.test("bytes are wiped from all memory that they came through #random:wiped", async () => {
  const { client, finish, pair, work } = source({ slots: 1 });
  const bytes = await finish(client.read(40));
  work();
  assertEquals(bytes.length, 40);
  assert(wiped(new Uint8Array(pair.arena)));
});

Deno.test("more readers than slots wait for their turn, and none gets another's bytes", async () => {
  const { client, finish } = source({ slots: 2, most: 5 });
  const all = await finish(Promise.all(Array.from({ length: 20 }, (_, i) => client.read(i))));
  assertEquals(all.map(({ length }) => length), Array.from({ length: 20 }, (_, i) => i));
  const bytes = all.flatMap((each) => [...each]);
  assertEquals(new Set(bytes).size, bytes.length);
});

Deno.test("stream() gives bytes as long as it is read", async () => {
  const { client, finish } = source({
    slotBytes: 4096,
    fill: (data) =>
      crypto.getRandomValues(new Uint8Array(data.length)).forEach((byte, i) => data[i] = byte),
  });
  const reader = client.stream().getReader();
  for (let i = 0; i < 5; i++) {
    const { value } = await finish(reader.read());
    assertEquals(value?.length, 4096);
  }
  await reader.cancel();
});

Deno.test("lengths that cannot be are refused", async () => {
  const { client, pair } = source();
  for (const length of [-1, 1.5, NaN, Infinity]) {
    await assertRejects(() => client.read(length), RangeError, `it is ${length}, wanted`);
  }
  assertEquals(pair.rung, 0);
});

Deno.test("a source without bytes is asked a few times, and is an error then (D-93) #random:D-93 #random:used_len", async () => {
  const { client, finish, answers } = source({ most: 0 });
  const error = await assertRejects(() => finish(client.read(8)), RequestError, "was empty");
  assertEquals([error.status, answers(), client.health.empty], [Status.invalid, 8, 8]);
  assertStringIncludes(error.message, "8 bad answers in a row");
});

Deno.test("a source that is empty now and then gives its bytes all the same #random:used_len", async () => {
  let calls = 0;
  const pair = new Pair({ slots: 2, slotBytes: 16 });
  const { client } = EntropyClient.open({ requests: pair.client });
  const read = client.read(20);
  let open = true;
  read.then(() => open = false);
  while (open) {
    for (const slot of pair.take()) {
      const length = calls++ % 3 === 2 ? 10 : 0;
      for (let i = 0; i < length; i++) pair.data(slot)[i] = calls * 16 + i;
      pair.complete([slot], Status.ok, length);
    }
    pair.client.drain();
    await new Promise((resolve) => setTimeout(resolve));
  }
  assertEquals((await read).length, 20);
  assertEquals(client.health.state, "good");
});

Deno.test("a source that claims more than a slot holds gives no more than that (D-93) #random:D-93", async () => {
  const { client, pair } = source({ slots: 1 });
  const read = client.read(16);
  const [slot] = pair.take();
  for (let i = 0; i < 16; i++) pair.data(slot!)[i] = i;
  pair.complete([slot!], Status.ok, 1 << 20);
  pair.client.drain();
  assertEquals([...await read], Array.from({ length: 16 }, (_, i) => i));
});

for (
  const [what, test, fill] of [
    ["the same byte for ever", "repetition count", (data: Uint8Array) => data.fill(9)],
    ["nothing, and says that it wrote", "repetition count", () => {}],
    [
      "the same answer for ever",
      "earlier answer again",
      (data: Uint8Array) => data.forEach((_, i) => data[i] = i * 7),
    ],
    [
      "few different bytes",
      "adaptive proportion",
      (data: Uint8Array, answer: number) =>
        data.forEach((_, i) => data[i] = i % 2 === 0 ? 3 : answer * 31 + i),
    ],
  ] as const
) {
  Deno.test(`a source that gives ${what} fails "${test}" (D-93) #random:D-93`, async () => {
    const { client, finish } = source({ slotBytes: 64, fill });
    // Until the test has seen enough.
    const reads = (async () => {
      for (;;) await client.read(64);
    })();
    const error = await assertRejects(() => finish(reads), RequestError, test);
    assertEquals(error.status, Status.invalid);
    assertEquals(client.health.state, "failed");
    assert(client.health.failures[test] > 0);
  });
}

Deno.test("bytes that failed a test reach no reader, and good ones later do", async () => {
  let broken = true;
  const { client, finish } = source({
    slotBytes: 64,
    fill: (data, answer) => data.forEach((_, i) => data[i] = broken ? 9 : answer * 64 + i),
  });
  await assertRejects(() => finish(client.read(8)), RequestError);
  broken = false;
  const bytes = await finish(client.read(8));
  assert(!bytes.includes(9) || new Set(bytes).size === 8);
  assertEquals(client.health.state, "good");
});

Deno.test("an error reaches all waiting readers, and the slots the next ones", async () => {
  const { client, finish, pair } = source({ slots: 1, status: Status.failed });
  const reads = [client.read(4), client.read(4)];
  for (const outcome of await finish(Promise.allSettled(reads))) {
    assertEquals(outcome.status, "rejected");
    assertEquals((outcome as PromiseRejectedResult).reason.status, Status.failed);
  }
  await assertRejects(() => finish(client.read(4)), RequestError);
  assertEquals(pair.client.inFlight, 0);
});

Deno.test("when the driver is gone, all readers learn of it, now and later", async () => {
  const { client, pair } = source({ slots: 1 });
  const reads = Array.from({ length: 5 }, () => client.read(4));
  pair.client.fail();
  reads.push(client.read(4));
  for (const read of reads) await assertRejects(() => read, RequestError, "driver is gone");
});

Deno.test("its end wipes what was not read, and ends all reading #random:DETACH #random:wiped", async () => {
  const { client, close, finish, pair, work } = source({ slots: 2 });
  await finish(client.read(1));
  work();
  assert(client.health.ahead > 0);
  const read = client.read(1000);
  await close();
  assertEquals(client.health.ahead, 0);
  for (const each of [read, client.read(1)]) await assertRejects(() => each, RequestError, "gone");
  work();
  assertEquals(pair.client.inFlight, 0);
});
