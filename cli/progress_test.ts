import { assert, assertEquals, assertMatch } from "@std/assert";
import { parseOptions } from "./options.ts";
import { Progress } from "./progress.ts";

/** What is drawn of a progress, at some times. */
function drawn(columns: number, total: number | undefined, args: readonly string[] = []): string[] {
  const lines: string[] = [];
  const side = { columns, draw: (text: string) => void lines.push(text) };
  const { now } = performance;
  let time = 0;
  performance.now = () => time;
  try {
    const io = { side } as unknown as ConstructorParameters<typeof Progress>[0]["io"];
    using progress = new Progress({ io, options: parseOptions(args) }, "Copying", total);
    progress.show(0);
    time = 50; // too early for another
    progress.show(1 << 20);
    time = 10_000;
    progress.show(16 << 20);
  } finally {
    performance.now = now;
  }
  return lines;
}

// deno-lint-ignore no-control-regex -- it takes its line back
const BACK = /^\r\x1b\[K/;

Deno.test("Progress tells how much is done, how fast, and how long the rest takes #cli:progress", () => {
  const [first, second, end, ...more] = drawn(80, 64 << 20);
  for (const line of [first, second, end]) assertMatch(line!, BACK);
  assertEquals(first!.replace(BACK, ""), `Copying   0% [${" ".repeat(30)}] 0 bytes, 0 bytes/s`);
  assertEquals(
    second!.replace(BACK, ""),
    `Copying  25% [${"#".repeat(8)}${" ".repeat(22)}] 16 MiB, 1.6 MiB/s, 30s left`,
  );
  assertEquals([end!.replace(BACK, ""), more], ["", []]);
  assertEquals(drawn(80, undefined)[1]!.replace(BACK, ""), "Copying 16 MiB, 1.6 MiB/s");
});

Deno.test("Progress stays in its line, whatever the terminal #cli:progress #cli:width", () => {
  for (let columns = 20; columns < 100; columns++) {
    const [, line] = drawn(columns, 64 << 20);
    assert(line!.replace(BACK, "").length < columns, line);
  }
});

Deno.test("Progress is silent where it is not wanted #cli:progress", () => {
  for (const option of ["--json", "--quiet"]) assertEquals(drawn(80, 64 << 20, [option]), []);
});
