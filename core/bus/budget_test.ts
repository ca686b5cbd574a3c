import { assertEquals } from "@std/assert";
import { Budget } from "./budget.ts";

Deno.test("a budget is spent, comes back with time, and saves up a second at most", () => {
  const { now } = performance;
  let time = 1000;
  performance.now = () => time;
  try {
    const budget = new Budget(100);
    const left = () => {
      for (let count = 0;; count++) {
        if (budget.spent) return count;
        budget.spend(1);
      }
    };
    assertEquals([left(), left()], [100, 0]);
    time += 500;
    assertEquals(left(), 50);
    time += 3_600_000;
    assertEquals(left(), 100);
    // What is known afterwards only is paid for afterwards.
    time += 10;
    assertEquals(budget.spent, false);
    budget.spend(201);
    time += 1990;
    assertEquals(budget.spent, true);
    time += 20;
    assertEquals(budget.spent, false);
  } finally {
    performance.now = now;
  }
});
