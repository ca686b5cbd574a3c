import { assertEquals, assertThrows } from "@std/assert";
import { type Feed, News, type NewsOptions } from "./mod.ts";

async function all(from: Feed<number>): Promise<number[]> {
  const values: number[] = [];
  for await (const value of from) values.push(value);
  return values;
}

for (
  const [options, kept, dropped] of [
    [{ keep: "oldest" }, [0, 1, 2], 2],
    [{ keep: "newest" }, [2, 3, 4], 2],
    [{ keep: "newest", missed: -1 }, [-1, 3, 4], 3],
  ] satisfies [Omit<NewsOptions<number>, "capacity">, number[], number][]
) {
  Deno.test(`of too much, ${JSON.stringify(options)} stays for a reader, and the rest is counted`, async () => {
    const news = new News<number>("Paper.read", { capacity: 3, ...options });
    const feed = news.feed();
    for (let i = 0; i < 5; i++) news.tell(i);
    news.end();
    news.tell(9);
    assertEquals(await all(feed), kept);
    assertEquals(feed.dropped, dropped);
    assertEquals(await all(news.feed()), []);
  });
}

Deno.test("news reach readers that wait, in order, and each reader gets what it chose", async () => {
  const news = new News<number>("Paper.read", { capacity: 1, keep: "oldest" });
  const feed = news.feed();
  const readers = [feed.next(), feed.next()];
  news.tell(1);
  news.tell(2);
  assertEquals((await Promise.all(readers)).map(({ value }) => value), [1, 2]);
  const more = news.feed({ capacity: 3, first: 0 });
  assertEquals(news.readers, 2);
  for (let i = 1; i < 4; i++) news.tell(i, (value) => value * 10);
  news.end();
  assertEquals([await all(feed), feed.dropped, await all(more), more.dropped], [
    [1],
    2,
    [0, 10, 20],
    1,
  ]);
  assertEquals(news.readers, 0);
});

Deno.test("a feed ends when it is disposed, its loop is left or its signal is aborted, and others go on #core:changes", async () => {
  const news = new News<number>("Paper.read", { capacity: 4, keep: "oldest" });
  const other = news.feed();
  const left = news.feed();
  news.tell(1);
  news.tell(2);
  for await (const value of left) {
    assertEquals(value, 1);
    break;
  }
  const over = { value: undefined, done: true } as const;
  assertEquals(await left.next(), over);
  const disposed = news.feed();
  const waiting = disposed.next();
  disposed[Symbol.dispose]();
  assertEquals(await waiting, over);
  const end = new AbortController();
  const ended = [1, 2].map(() => news.feed({ signal: end.signal, first: 0 }));
  assertEquals((await ended[0]!.next()).value, 0);
  const late = ended[0]!.next();
  end.abort();
  assertEquals([await late, await ended[0]!.next()], [over, over]);
  assertEquals(await all(ended[1]!), [0]);
  assertEquals(await all(news.feed({ signal: end.signal, first: 0 })), []);
  assertEquals(news.readers, 1);
  news.end();
  assertEquals(await all(other), [1, 2]);
});

Deno.test("what a reader chooses is checked, in the name of the method that hands out feeds", () => {
  const news = new News<number>("Paper.read");
  assertThrows(() => news.feed({ signal: 1 as never }), TypeError, "signal of Paper.read: it is 1");
  assertThrows(() => news.feed({ capacity: 0 }), RangeError, "capacity of Paper.read: it is 0");
  assertEquals(news.readers, 0);
  using feed = news.feed();
  for (let i = 0; i < 300; i++) news.tell(i);
  assertEquals(feed.dropped, 44);
});
