import { assert } from "@std/assert";
import { monotonicClock } from "./clock.ts";
import "../../tests/support/libc.ts";

Deno.test("monotonicClock(): two processes read the same clock within what they say #core:trace_clock", async () => {
  const module = new URL("clock.ts", import.meta.url).href;
  const program = `
    const { monotonicClock } = await import(${JSON.stringify(module)});
    const { offset, uncertainty } = monotonicClock();
    console.log(JSON.stringify({ at: performance.now() + offset, uncertainty }));`;
  const own = monotonicClock();
  const before = performance.now() + own.offset;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", program],
    signal: AbortSignal.timeout(60_000),
  }).output();
  const after = performance.now() + own.offset;
  const { at, uncertainty } = JSON.parse(new TextDecoder().decode(stdout));
  const bound = own.uncertainty + uncertainty;
  // The best of several comparisons: only a machine that stands still makes it worse.
  assert(bound < 5, `${bound} ms`);
  assert(before - bound <= at && at <= after + bound, `${before} <= ${at} <= ${after}`);
});
