import { assertEquals, assertRejects } from "@std/assert";
import { within } from "./within.ts";

Deno.test("within gives what comes in time, throws what is thrown in time, and waits for nothing else", async () => {
  assertEquals(await within(60_000, Promise.resolve("here")), "here");
  await assertRejects(() => within(60_000, Promise.reject(new Error("broken"))), Error, "broken");
  const late = Promise.withResolvers<string>();
  assertEquals(await within(1, late.promise), undefined);
  late.reject(new Error("nothing hears of it"));
});
