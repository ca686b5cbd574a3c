import { assert, assertEquals, assertRejects } from "@std/assert";
import { Pair } from "../bus/fake_test.ts";
import { ask, demand, RECORD_WORDS, RequestError, Status, Word } from "./mod.ts";

Deno.test("what is asked is in the record, what is answered comes as a copy, and the slot goes back", async () => {
  const pair = new Pair({ slots: 1, slotBytes: 16 });
  const { client, driver } = pair;
  for (const more of [{ [Word.first]: 7, [Word.first + 4]: 9 }, {}]) {
    const data = Uint8Array.of(1, 2, 3);
    const asked = ask(client, "Cannot ask", { operation: 5, words: more, data });
    const [slot] = pair.take();
    const record = Array.from({ length: RECORD_WORDS }, (_, word) => driver.word(slot!, word));
    const given = Object.values(more);
    assertEquals(record, [5, 0, 3, given[0] ?? 0, 0, 0, 0, given[1] ?? 0]);
    assertEquals([...pair.data(slot!).subarray(0, 3)], [1, 2, 3]);
    driver.setWord(slot!, Word.first, 77);
    pair.data(slot!).fill(6);
    pair.complete([slot!], Status.ok, 2);
    client.drain();
    pair.data(slot!).fill(0);
    driver.setWord(slot!, Word.first, 0);
    const answer = await asked;
    assertEquals([answer.status, answer.words[Word.first], [...answer.data]], [0, 77, [6, 6]]);
  }
});

Deno.test("more questions than slots wait in the order of calls, and a longer answer than a slot is none", async () => {
  const pair = new Pair({ slots: 2, slotBytes: 4 });
  const answers = [1, 2, 3, 4].map((operation) =>
    ask(pair.client, "Cannot ask", { operation, length: 4 })
  );
  const seen: number[] = [];
  while (seen.length < 4) {
    for (const slot of pair.take()) {
      seen.push(pair.driver.word(slot, Word.operation));
      pair.complete([slot], Status.ok, 0xffff);
    }
    pair.client.drain();
    await Promise.resolve();
  }
  assertEquals(seen, [1, 2, 3, 4]);
  for (const answer of await Promise.all(answers)) assertEquals(answer.data.length, 4);
});

Deno.test("what must succeed and does not is an error with the action; what is too long costs no slot", async () => {
  const pair = new Pair({ slots: 1, slotBytes: 4 });
  for (const question of [{ data: new Uint8Array(5) }, { length: 5 }]) {
    const asked = () => ask(pair.client, "Cannot ask", { operation: 1, ...question });
    await assertRejects(asked, RangeError, "Cannot ask: 5 bytes are more than 4");
  }
  const refused = demand(pair.client, "Cannot do it", { operation: 1 });
  pair.complete(pair.take(), Status.unsupported);
  pair.client.drain();
  const error = await assertRejects(() => refused, RequestError, "Cannot do it: the device does");
  assertEquals(error.status, Status.unsupported);
  assert(pair.client.take() >= 0);
});

Deno.test("what must not be done twice is not, and with the driver gone all that waits ends", async () => {
  const pair = new Pair({ slots: 1 });
  const once = ask(pair.client, "Cannot ask", { operation: 1, once: true });
  pair.take();
  pair.restart();
  assertEquals((await once).status, Status.unknown);
  const both = [
    ask(pair.client, "Cannot ask", { operation: 2 }),
    ask(pair.client, "Cannot ask", { operation: 3 }),
  ];
  pair.take();
  pair.restart();
  assertEquals(pair.take().length, 1);
  pair.client.fail();
  for (const { status, data } of await Promise.all(both)) {
    assertEquals([status, data.length], [Status.gone, 0]);
  }
});
