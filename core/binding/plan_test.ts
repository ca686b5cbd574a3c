import { assertEquals, assertThrows } from "@std/assert";
import type { WirePlan } from "../bus/message.ts";
import { checkPlan, type Offered, PlanError } from "./plan.ts";

const plan: WirePlan = {
  features: "0x5",
  queues: [
    { name: "first", index: 0, size: 64, buffers: 3 },
    { name: "second", index: 2, size: 8, buffers: 1 },
  ],
  lanes: [{ name: "requests", slots: 16, slotBytes: 512 }],
  buffers: [{ name: "headers", bytes: 100 }],
  properties: {},
  physical: false,
};
const offered: Offered = { features: 0x7n, queues: [256, 0, 8], resizable: true, kind: "split" };

Deno.test("checkPlan() takes a plan that can be", () => {
  assertEquals(checkPlan(plan, offered), plan);
  const nothing: WirePlan = {
    features: "0x0",
    queues: [],
    lanes: [],
    buffers: [],
    properties: {},
    physical: false,
  };
  assertEquals(checkPlan(nothing, offered), nothing);
});

Deno.test("checkPlan() cuts queues down to what the device has", () => {
  const queues = [32, 0, 1];
  assertEquals(checkPlan(plan, { ...offered, queues }).queues.map(({ size }) => size), [32, 1]);
});

Deno.test("checkPlan() takes queues as they are where they have one size only", () => {
  const fixed = checkPlan(plan, { ...offered, resizable: false });
  assertEquals(fixed.queues.map(({ size }) => size), [256, 8]);
});

Deno.test("checkPlan() lets a packed ring have any size", () => {
  const queues = [12, 0, 7];
  const packed = checkPlan(plan, { ...offered, queues, kind: "packed" });
  assertEquals(packed.queues.map(({ size }) => size), [12, 7]);
  assertThrows(() => checkPlan(plan, { ...offered, queues }), PlanError, "D-33");
});

const [queue, other] = plan.queues as [WirePlan["queues"][number], WirePlan["queues"][number]];
const [lane] = plan.lanes as [WirePlan["lanes"][number]];
const [buffer] = plan.buffers as [WirePlan["buffers"][number]];

const wrong: readonly (readonly [says: string, plan: Partial<WirePlan>, queues?: number[]])[] = [
  ["features 0x8, which", { features: "0xd" }],
  ["features 0x80000000000000000000000000000000", { features: `0x8${"0".repeat(31)}` }],
  ["queue name first stands in it twice", { queues: [queue, { ...other, name: "first" }] }],
  ["queue index 0 stands in it twice", { queues: [queue, { ...other, index: 0 }] }],
  ["lane name requests stands in it twice", { lanes: [lane, lane] }],
  ["buffer name headers stands in it twice", { buffers: [buffer, buffer] }],
  ["lane requests has 0 slots", { lanes: [{ ...lane, slots: 0 }] }],
  ["lane requests has 4097 slots", { lanes: [{ ...lane, slots: 4097 }] }],
  ["slots of 0 bytes", { lanes: [{ ...lane, slotBytes: 0 }] }],
  ["buffer headers has 0 bytes", { buffers: [{ ...buffer, bytes: 0 }] }],
  ["queue first has the size 0", { queues: [{ ...queue, size: 0 }] }],
  ["queue first has the size 48: it must be a power", { queues: [{ ...queue, size: 48 }] }],
  ["queue first has the size 65536", { queues: [{ ...queue, size: 65536 }] }],
  ["queue first has 0 buffers", { queues: [{ ...queue, buffers: 0 }] }],
  ["queue first has 257 buffers", { queues: [{ ...queue, buffers: 257 }] }],
  ["has no such queue", { queues: [{ ...queue, index: 1 }] }],
  ["has no such queue", { queues: [{ ...queue, index: 3 }] }],
  ["has no such queue", { queues: [{ ...queue, index: 2 ** 52 }] }],
  ["the device's queue 0 has the size 3", {}, [3, 0, 8]],
  ["[D-33]", {}, [256, 0, 33000]],
];

for (const [says, change, queues] of wrong) {
  Deno.test(`checkPlan() refuses a plan: ${says}`, () => {
    const from = queues ? { ...offered, queues } : offered;
    assertThrows(() => checkPlan({ ...plan, ...change }, from), PlanError, says);
  });
}
