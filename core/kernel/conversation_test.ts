import { assert, assertEquals, assertRejects } from "@std/assert";
import { Conversation, DriverGone } from "./conversation.ts";

Deno.test("an answer ends the wait for it, once", async () => {
  const conversation = new Conversation();
  const answer = conversation.expect(1000, "plan", "decline");
  assertEquals(conversation.hear({ type: "ready" }), false);
  assertEquals(conversation.hear({ type: "decline", reason: "no" }), true);
  assertEquals(conversation.hear({ type: "decline", reason: "no again" }), false);
  assertEquals(await answer, { type: "decline", reason: "no" });
});

Deno.test("an answer without a wait is not expected", () => {
  assertEquals(new Conversation().hear({ type: "ready" }), false);
});

Deno.test("an answer that does not come is missed, and the next one can be waited for", async () => {
  const conversation = new Conversation();
  const late = conversation.expect(5, "plan", "decline");
  await assertRejects(() => late, DriverGone, "did not send plan or decline within 5 ms");
  assertEquals(conversation.hear({ type: "decline", reason: "late" }), false);
  const next = conversation.expect(1000, "ready");
  assert(conversation.hear({ type: "ready" }));
  await next;
});

Deno.test("several answers may be waited for, and each ends its own wait, first come first", async () => {
  const conversation = new Conversation();
  const ready = conversation.expect(1000, "ready");
  const first = conversation.expect(1000, "report");
  const second = conversation.expect(1000, "report");
  const report = (name: string) => ({
    type: "report" as const,
    statistics: {},
    interrupts: [],
    heap: 0,
    queues: [{ name, inFlight: 0, published: 0, completed: 0, notifications: 0, overlong: 0 }],
  });
  assert(conversation.hear(report("one")));
  assert(conversation.hear({ type: "ready" }));
  assert(conversation.hear(report("two")));
  assertEquals(conversation.hear(report("three")), false);
  assertEquals((await first).queues[0]!.name, "one");
  assertEquals((await second).queues[0]!.name, "two");
  await ready;
});

Deno.test("the end reaches the waits of now and of later", async () => {
  const conversation = new Conversation();
  const waiting = conversation.expect(1000, "ready");
  conversation.end(new DriverGone("it is over"));
  await assertRejects(() => waiting, DriverGone, "it is over");
  assertEquals(conversation.hear({ type: "ready" }), false);
  await assertRejects(() => conversation.expect(1000, "ready"), DriverGone, "it is over");
});
