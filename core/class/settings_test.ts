import { assertEquals, assertRejects } from "@std/assert";
import { Pair } from "../bus/fake_test.ts";
import { RequestError, Settings, Status, Word } from "./mod.ts";

function settings() {
  const pair = new Pair({ slots: 2, slotBytes: 4 });
  const restored: (readonly string[])[] = [];
  const settings = new Settings(pair.client, (lost) => restored.push(lost));
  return {
    pair,
    settings,
    restored,
    restart() {
      pair.restart();
      settings.restarted();
    },
    /** The driver answers what it is asked, until there is nothing: the operations. */
    async answer(status: (operation: number) => number = () => Status.ok): Promise<number[]> {
      const seen: number[] = [];
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve));
        const slots = pair.take();
        if (slots.length === 0) return seen;
        // Never more than one at a time.
        assertEquals(slots.length, 1);
        const operation = pair.driver.word(slots[0]!, Word.operation);
        seen.push(operation);
        pair.complete(slots, status(operation));
        pair.client.drain();
      }
    },
  };
}

const light = (operation: number, key?: string, undoes?: boolean) => ({
  what: `do ${operation}`,
  operation,
  key,
  undoes,
});

Deno.test("what was set is set again in its order: the last of each key, and not what was undone or only asked #core:set_again", async () => {
  const { settings: own, restart, answer, restored } = settings();
  const all = [
    light(1, "a"),
    light(2, "b"),
    light(3),
    light(4, "a"),
    light(5, "c"),
    light(6, "c", true),
    light(7, "d"),
  ];
  const done = Promise.all(all.map((setting) => own.apply(setting)));
  assertEquals(await answer(), [1, 2, 3, 4, 5, 6, 7]);
  await done;
  own.forget("d");
  restart();
  assertEquals(await answer(), [2, 4]);
  restart();
  assertEquals(await answer((operation) => operation === 4 ? Status.failed : Status.ok), [2, 4]);
  assertEquals(restored, [[], ["do 4"]]);
});

Deno.test("what is refused is an error, is not set again, and others go on", async () => {
  const { settings: own, restart, answer } = settings();
  const refused = assertRejects(() => own.apply(light(1, "a")), RequestError, "Cannot do 1: the");
  const large = assertRejects(
    () => own.apply({ ...light(2, "b"), data: new Uint8Array(5) }),
    RangeError,
    "Cannot do 2: 5 bytes are more than 4",
  );
  const good = own.apply(light(3, "c"));
  assertEquals(await answer((operation) => operation === 1 ? Status.failed : Status.ok), [1, 3]);
  await Promise.all([refused, large, good]);
  restart();
  assertEquals(await answer(), [3]);
});

Deno.test("what is under way when the device is started anew comes after what was set, however often that is #core:set_again", async () => {
  const { settings: own, restart, answer, pair, restored } = settings();
  const first = own.apply(light(1, "a"));
  await answer();
  await first;
  const second = own.apply(light(2, "b"));
  assertEquals(pair.take().length, 1);
  restart();
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(pair.take().length, 1);
  restart();
  assertEquals(await answer(), [1, 2]);
  await second;
  assertEquals(restored, [[]]);
});

Deno.test("with the driver gone, all that waits ends as gone", async () => {
  const { settings: own, pair } = settings();
  const waits = [1, 2, 3].map((operation) =>
    assertRejects(() => own.apply(light(operation, "a")), RequestError, "driver is gone")
  );
  pair.client.fail();
  await Promise.all(waits);
  own.restarted();
  await assertRejects(() => own.apply(light(4)), RequestError, "driver is gone");
});
