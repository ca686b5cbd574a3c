import { assert, assertEquals, assertRejects } from "@std/assert";
import { EntropyClient } from "./entropy_client.ts";
import { Pair } from "./fake_test.ts";
import { Status, Word } from "./lane.ts";
import { RequestError } from "./request_error.ts";

/** A client, and a source that fills at most `most` bytes of a request with 1, 2, 3 and so on. */
function source({ slots = 2, slotBytes = 16, most = Infinity, status = Status.ok as number } = {}) {
  const pair = new Pair({ slots, slotBytes });
  let byte = 0;
  const work = () => {
    const taken = pair.take();
    for (const slot of taken) {
      const length = Math.min(pair.driver.word(slot, Word.length), most);
      const data = pair.data(slot);
      for (let i = 0; i < length; i++) data[i] = ++byte;
      pair.complete([slot], status, length);
    }
    pair.client.drain();
    return taken.length;
  };
  const finish = async <T>(result: Promise<T>): Promise<T> => {
    let open = true;
    result.finally(() => open = false).catch(() => {});
    while (open) {
      work();
      await Promise.resolve();
    }
    return await result;
  };
  return { pair, client: new EntropyClient(pair.client), work, finish };
}

Deno.test("read() gathers as many bytes as were asked for", async () => {
  for (const [length, most] of [[0, 9], [1, 9], [16, 16], [17, 16], [100, 100], [100, 7], [9, 1]]) {
    const { client, finish } = source({ most: most! });
    const bytes = await finish(client.read(length!));
    assertEquals([...bytes], Array.from({ length: length! }, (_, i) => i + 1));
  }
});

Deno.test("bytes are wiped from the memory that they came through", async () => {
  const { client, finish, pair } = source();
  await finish(client.read(40));
  assert(new Uint8Array(pair.arena).every((byte) => byte === 0));
});

Deno.test("more readers than slots wait for their turn, and nobody gets another's bytes", async () => {
  const { client, finish, pair } = source({ slots: 2, most: 5 });
  const all = await finish(Promise.all(Array.from({ length: 20 }, (_, i) => client.read(i))));
  assertEquals(all.map(({ length }) => length), Array.from({ length: 20 }, (_, i) => i));
  const bytes = all.flatMap((each) => [...each]);
  assertEquals(new Set(bytes).size, bytes.length);
  assertEquals(pair.client.inFlight, 0);
  assert(pair.client.take() >= 0 && pair.client.take() >= 0 && pair.client.take() < 0);
});

Deno.test("lengths that cannot be are refused", async () => {
  const { client, pair } = source();
  for (const length of [-1, 1.5, NaN, Infinity]) {
    await assertRejects(() => client.read(length), RangeError, `Cannot read ${length}`);
  }
  assertEquals(pair.rung, 0);
});

Deno.test("a source without bytes is an error, and not an endless wait (D-93)", async () => {
  const { client, finish } = source({ most: 0 });
  const error = await assertRejects(() => finish(client.read(8)), RequestError, "invalid");
  assertEquals(error.status, Status.invalid);
});

Deno.test("a source that claims more than was asked for gives no more than that", async () => {
  const { client, pair } = source({ slotBytes: 64 });
  const read = client.read(4);
  const [slot] = pair.take();
  pair.data(slot!).fill(7);
  pair.complete([slot!], Status.ok, 64);
  pair.client.drain();
  assertEquals([...await read], [7, 7, 7, 7]);
});

Deno.test("an error reaches its reader, and the slot the next one", async () => {
  const { client, finish } = source({ slots: 1, status: Status.failed });
  const reads = [client.read(4), client.read(4)];
  for (const outcome of await finish(Promise.allSettled(reads))) {
    assertEquals(outcome.status, "rejected");
    assertEquals((outcome as PromiseRejectedResult).reason.status, Status.failed);
  }
});

Deno.test("when the driver is gone, all who wait learn of it, now and later", async () => {
  const { client, pair } = source({ slots: 1 });
  const reads = Array.from({ length: 5 }, () => client.read(4));
  pair.client.fail();
  reads.push(client.read(4));
  for (const read of reads) await assertRejects(() => read, RequestError, "driver is gone");
});
