import { assertEquals } from "@std/assert";
import { Feed } from "./feed.ts";

function feed(capacity: number, keep: "oldest" | "newest") {
  const closed: Feed<number>[] = [];
  return { closed, feed: new Feed<number>({ capacity, keep }, (each) => closed.push(each)) };
}

async function all(from: Feed<number>): Promise<number[]> {
  const values: number[] = [];
  for await (const value of from) values.push(value);
  return values;
}

for (const [keep, kept] of [["oldest", [0, 1, 2]], ["newest", [2, 3, 4]]] as const) {
  Deno.test(`Feed keeps the ${keep} of too much, and counts the rest`, async () => {
    const { feed: own } = feed(3, keep);
    for (let i = 0; i < 5; i++) own.put(i);
    own.end();
    own.put(9);
    assertEquals(await all(own), [...kept]);
    assertEquals(own.dropped, 2);
  });
}

Deno.test("Feed gives what comes to the readers that wait, in order", async () => {
  const { feed: own } = feed(1, "oldest");
  const readers = [own.next(), own.next()];
  own.put(1);
  own.put(2);
  assertEquals((await Promise.all(readers)).map(({ value }) => value), [1, 2]);
  assertEquals(own.dropped, 0);
});

Deno.test("Feed that is disposed, or whose loop is left, ends and says so", async () => {
  const { feed: own, closed } = feed(4, "oldest");
  own.put(1);
  own.put(2);
  for await (const value of own) {
    assertEquals(value, 1);
    break;
  }
  assertEquals(closed, [own]);
  assertEquals(await own.next(), { value: undefined, done: true });
  const other = feed(4, "oldest");
  const waiting = other.feed.next();
  other.feed[Symbol.dispose]();
  assertEquals((await waiting).done, true);
});
