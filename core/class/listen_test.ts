import { assertEquals, assertThrows } from "@std/assert";
import { Pair } from "../bus/fake_test.ts";
import { BusFault, listen, Status, Word } from "./mod.ts";

function listening() {
  const pair = new Pair({ slots: 2, slotBytes: 8 });
  const heard: unknown[] = [];
  listen(pair.client, (slot, length) => {
    heard.push([pair.client.word(slot, Word.first), length]);
  });
  const tell = (slot: number, word: number, length: number) => {
    pair.driver.setWord(slot, Word.first, word);
    pair.complete([slot], Status.ok, length);
    pair.client.drain();
  };
  return { pair, heard, tell };
}

Deno.test("all slots stand with the driver, again after each event, and again with the next driver", () => {
  const { pair, heard, tell } = listening();
  const slots = pair.take();
  assertEquals(slots.length, 2);
  tell(slots[1]!, 7, 3);
  assertEquals(pair.take(), [slots[1]]);
  pair.restart();
  assertEquals(pair.take().toSorted(), [0, 1]);
  tell(0, 8, 0);
  assertEquals(heard, [[7, 3], [8, 0]]);
});

Deno.test("a driver that ends a request for events without one is at fault, and the next one has all slots #core:standing_events", () => {
  for (const status of [Status.failed, Status.unsupported, Status.invalid, Status.refused]) {
    const { pair, heard } = listening();
    const slots = pair.take();
    pair.complete([slots[0]!], status);
    assertThrows(() => pair.client.drain(), BusFault, `with status ${status}`);
    pair.restart();
    assertEquals([pair.take().length, heard], [2, []]);
  }
});

Deno.test("with the driver gone no slot stands any more", () => {
  const { pair, heard } = listening();
  pair.client.fail();
  assertEquals([heard, pair.client.inFlight], [[], 0]);
});
