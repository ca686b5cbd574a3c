import { assertEquals } from "@std/assert";
import { judge } from "./check.ts";

const random = () => crypto.getRandomValues(new Uint8Array(4096));

/** The names of the findings that failed. */
function failures(first: Uint8Array, second: Uint8Array): string[] {
  return judge(first, second).filter(({ passed }) => !passed).map(({ name }) => name);
}

Deno.test("judge passes a good source, a hundred times", () => {
  for (let count = 0; count < 100; count++) assertEquals(failures(random(), random()), []);
});

Deno.test("judge fails a source that is dead", () => {
  const names = failures(new Uint8Array(4096), new Uint8Array(4096));
  assertEquals(names, ["alive", "fresh", "no repetition", "distribution"]);
});

Deno.test("judge fails a source that says the same twice", () => {
  const bytes = random();
  assertEquals(failures(bytes, bytes).slice(0, 2), ["fresh", "no repetition"]);
});

Deno.test("judge fails a source that counts, by its distribution", () => {
  const counter = (step: number) => Uint8Array.from({ length: 4096 }, (_, index) => index * step);
  assertEquals(failures(counter(1), counter(3)).includes("distribution"), true);
});

Deno.test("judge fails a driver that leaves a part of the buffer empty", () => {
  const partial = random().fill(0, 4064);
  assertEquals(failures(partial, random()), ["no repetition"]);
});

Deno.test("judge fails a source of letters", () => {
  const letters = () => random().map((byte) => 97 + byte % 26);
  assertEquals(failures(letters(), letters()), ["distribution"]);
});

Deno.test("judge fails a read that is too short", () => {
  assertEquals(failures(random().subarray(16), random()), ["length"]);
});
