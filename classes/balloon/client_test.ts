import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BalloonOperation, BalloonWord, type MemoryStatistics } from "./protocol.ts";
import { BalloonClient } from "./client.ts";
import { Pair } from "../../core/bus/fake_test.ts";
import { Status, Word } from "../../core/bus/lane.ts";
import { RequestError } from "../../core/bus/request_error.ts";

const PROPERTIES = {
  pages: 1000,
  requested: 0,
  deflateOnOom: true,
  statistics: true,
  hinting: false,
  reporting: false,
};

interface Options {
  readonly properties?: Partial<typeof PROPERTIES>;
  readonly source?: () => MemoryStatistics;
  /** Whether orders are carried out at once. */
  readonly obeys?: boolean;
}

/** A client, and a driver that does what it is told. */
function balloon({ properties = {}, source, obeys = true }: Options = {}) {
  const control = new Pair({ slots: 4, slotBytes: 4 });
  const events = new Pair({ slots: 2, slotBytes: 4 });
  const statistics = new Pair({ slots: 1, slotBytes: 160 });
  const lanes = {
    control: control.client,
    events: events.client,
    statistics: statistics.client,
  };
  const told = { ...PROPERTIES, ...properties };
  const { client, restarted, gone, close } = BalloonClient.open(lanes, told, source);
  let requested = properties.requested ?? 0;
  let actual = 0;
  const orders: number[] = [];
  const listeners = events.take();
  const open: number[] = [];

  function tell(): void {
    const slot = listeners.shift()!;
    events.driver.setWord(slot, BalloonWord.pages, requested);
    events.driver.setWord(slot, BalloonWord.actual, actual);
    events.complete([slot]);
    events.client.drain();
    listeners.push(...events.take());
  }
  function obey(): void {
    for (const slot of open.splice(0)) {
      actual = orders.at(-1)!;
      control.driver.setWord(slot, BalloonWord.actual, actual);
      control.complete([slot]);
    }
    control.client.drain();
  }
  function work(): void {
    for (const slot of control.take()) {
      assertEquals(control.driver.word(slot, Word.operation), BalloonOperation.resize);
      orders.push(control.driver.word(slot, BalloonWord.pages));
      open.push(slot);
    }
    if (obeys) obey();
  }
  return {
    client,
    close: close!,
    /** The driver was started anew. */
    restart: () => restarted!(),
    orders,
    control,
    events,
    statistics,
    obey,
    /** The hypervisor wants so many pages. */
    want(pages: number) {
      requested = pages;
      tell();
    },
    /** The driver tells this. */
    say(pages: number) {
      actual = pages;
      tell();
    },
    /** Lets the driver work for so long. */
    async run(milliseconds = 0) {
      const end = performance.now() + milliseconds;
      do {
        work();
        await new Promise((resolve) => setTimeout(resolve));
      } while (performance.now() < end);
      work();
    },
    /** Lets the driver work until a promise has settled. */
    async finish<T>(result: Promise<T>): Promise<T> {
      let over = false;
      result.finally(() => over = true).catch(() => {});
      while (!over) await this.run();
      return await result;
    },
    fail() {
      [control, events, statistics].forEach(({ client }) => client.fail());
      gone!();
    },
    /** Ends it as the kernel does. */
    async [Symbol.asyncDispose]() {
      await this.finish(close!());
      this.fail();
    },
  };
}

Deno.test("BalloonClient orders what the hypervisor wants, and says what there is #balloon:target", async () => {
  await using used = balloon({ properties: { requested: 300 } });
  const { client, orders } = used;
  assertEquals(client.state, { requested: 300, target: 300, actual: 0 });
  await used.run();
  assertEquals([orders, client.state], [[300], { requested: 300, target: 300, actual: 300 }]);
  used.want(200);
  await used.finish(client.settled());
  assertEquals([orders, client.state.actual], [[300, 200], 200]);
});

Deno.test("BalloonClient leaves a quarter of the arena, whatever the hypervisor wants (D-94) #balloon:D-94 #balloon:floor", async () => {
  await using used = balloon({ properties: { requested: 2 ** 32 - 1 } });
  const { client, orders } = used;
  await used.run();
  assertEquals(client.state, { requested: 2 ** 32 - 1, target: 750, actual: 750 });
  client.floor = 900;
  await used.finish(client.settled());
  client.floor = 0;
  await used.finish(client.settled());
  assertEquals(orders, [750, 100, 1000]);
  for (const pages of [-1, 1001, 1.5, NaN]) {
    assertThrows(() => client.floor = pages, RangeError, `it is ${pages}, wanted`);
  }
});

Deno.test("BalloonClient follows a hypervisor that changes its mind all the time no faster than ten times a second (D-94) #balloon:D-94", async () => {
  await using used = balloon();
  const start = performance.now();
  for (let i = 1; i <= 200; i++) {
    used.want(i);
    await used.run();
  }
  await used.finish(used.client.settled());
  const most = (performance.now() - start) / 100 + 2;
  assert(used.orders.length <= most, `${used.orders.length} orders, not ${most}`);
  assertEquals(used.client.state.actual, 200);
});

Deno.test("reclaim() takes pages back until the hypervisor wants another size #balloon:DEFLATE_ON_OOM", async () => {
  await using used = balloon({ properties: { requested: 500 } });
  const { client } = used;
  await used.run();
  assertEquals(await used.finish(client.reclaim(100)), 100);
  assertEquals(client.state, { requested: 500, target: 400, actual: 400 });
  assertEquals(await used.finish(client.reclaim(1000)), 400);
  assertEquals(client.state, { requested: 500, target: 0, actual: 0 });
  used.want(450);
  await used.finish(client.settled());
  assertEquals(client.state.actual, 450);
  await assertRejects(() => client.reclaim(-1), RangeError, "BalloonClient.reclaim: it is -1");
});

Deno.test("reclaim() counts pages that the hypervisor has not got yet as well", async () => {
  await using used = balloon({ properties: { requested: 500 }, obeys: false });
  const { client } = used;
  await used.run();
  used.say(256);
  const reclaim = client.reclaim(56);
  await used.run();
  used.obey();
  assertEquals(await reclaim, 56);
  assertEquals(client.state, { requested: 500, target: 200, actual: 200 });
  const end = used.close();
  await used.run();
  used.obey();
  await end;
});

Deno.test("reclaim() is refused where the hypervisor does not allow it #balloon:DEFLATE_ON_OOM", async () => {
  await using used = balloon({ properties: { deflateOnOom: false, requested: 10 } });
  await used.run();
  await assertRejects(() => used.client.reclaim(1), TypeError, "DEFLATE_ON_OOM");
  assertEquals(used.orders, [10]);
});

Deno.test("changes() tells what differs, and ends with its signal", async () => {
  await using used = balloon();
  const over = new AbortController();
  const seen: number[] = [];
  const reading = (async () => {
    for await (const { requested } of used.client.changes(over.signal)) seen.push(requested);
  })();
  await used.run();
  for (const pages of [5, 5, 7]) {
    used.want(pages);
    await used.run(150);
  }
  over.abort();
  await reading;
  assertEquals([...new Set(seen)], [0, 5, 7]);
});

Deno.test("statistics are what the source says, the same figures each time, and not too often (D-94) #balloon:STATS_VQ #balloon:D-94", async () => {
  let reads = 0;
  await using used = balloon({
    source: () => ({
      freeMemory: ++reads,
      ...(reads === 1 ? { swapIn: 9 } : { oomKills: 1 }),
    }),
  });
  const given: number[][] = [];
  const start = performance.now();
  while (given.length < 3) {
    for (const slot of used.statistics.take()) {
      const length = used.statistics.driver.word(slot, Word.length);
      given.push([...used.statistics.data(slot).subarray(0, length)]);
      used.statistics.complete([slot]);
    }
    used.statistics.client.drain();
    await used.run();
  }
  assert(performance.now() - start > 2 * 190, "it is not often that figures are made");
  const entry = (tag: number, value: number) => [tag, 0, value, 0, 0, 0, 0, 0, 0, 0];
  for (const [i, bytes] of given.entries()) {
    assertEquals(bytes, [...entry(0, 9), ...entry(4, i + 1)]);
  }
  assertEquals(used.client.statistics.freeMemory, given.length);
});

Deno.test("without a source, or with a broken one, the hypervisor gets no statistics", async () => {
  const broken = () => {
    throw new Error("no /proc");
  };
  for (const source of [undefined, broken, () => ({ freeMemory: -1, swapIn: NaN })]) {
    await using used = balloon(source ? { source } : {});
    assertEquals([used.statistics.take(), used.client.statistics], [[], {}]);
  }
});

Deno.test("a driver that was started anew is told again how large the balloon is to be #balloon:replay", async () => {
  await using used = balloon({ properties: { requested: 400 } });
  const { client, orders } = used;
  await used.run();
  assertEquals(await used.finish(client.reclaim(100)), 100);
  used.restart();
  assertEquals(client.state, { requested: 400, target: 300, actual: 0 });
  await used.finish(client.settled());
  assertEquals(orders, [400, 300, 300]);
});

Deno.test("a driver cannot say that there is more in the balloon than in the arena", async () => {
  await using used = balloon();
  used.say(5000);
  assertEquals(used.client.state.actual, 1000);
  await used.run();
});

Deno.test("close() empties the balloon, and waits for that not for ever #balloon:DETACH", async () => {
  const used = balloon({ properties: { requested: 400 } });
  await used.run();
  await used.finish(used.close());
  assertEquals([used.orders, used.client.state.actual], [[400, 0], 0]);
  used.want(100);
  await used.run(150);
  assertEquals(used.orders, [400, 0]);
  used.fail();

  const deaf = balloon({ properties: { requested: 400 }, obeys: false });
  deaf.say(400);
  await deaf.run();
  await deaf.close();
  assertEquals(deaf.client.state.actual, 400);
  deaf.fail();
});

Deno.test("when the driver is gone, all that wait learn of it", async () => {
  const used = balloon({ properties: { requested: 400 }, obeys: false });
  const waiting = [used.client.settled(), used.client.reclaim(1)];
  const ends = waiting.map((each) => assertRejects(() => each, RequestError, "gone"));
  await used.run();
  used.fail();
  await Promise.all(ends);
  assertEquals(await Array.fromAsync(used.client.changes()), []);
  const error = await assertRejects(() => used.client.reclaim(1), RequestError);
  assertEquals(error.status, Status.gone);
  await used.close();
});
