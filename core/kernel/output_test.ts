import { assert, assertEquals, assertMatch } from "@std/assert";
import { close, pipe, setNonBlocking, writeAll } from "../linux/fd.ts";
import { libc } from "../linux/libc.ts";
import { InterruptLoop } from "../irq/interrupt_loop.ts";
import { Output } from "./output.ts";

// Opened once for the whole process, so not by a test.
libc();

/** Passes on what `chunks` hold, each looked at by itself; returns the lines. */
async function printed(chunks: readonly (string | Uint8Array<ArrayBuffer>)[], end = true) {
  await using loop = new InterruptLoop();
  const [from, into] = pipe();
  const lines: string[] = [];
  const output = new Output(from, loop, (line) => lines.push(line));
  for (const chunk of chunks) {
    writeAll(into, typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk);
    loop.runOnce(100);
  }
  close(into);
  if (end) output.end();
  else loop.runOnce(100);
  return { lines, telling: output.telling };
}

Deno.test("output is passed on line by line", async () => {
  assertEquals(await printed(["one\ntw", "o\n", "\n  \n", "rest"]), {
    lines: ["one", "two", "rest"],
    telling: "rest",
  });
  assertEquals(await printed(["one\n", "never ended"], false), { lines: ["one"], telling: "one" });
  assertEquals(await printed([]), { lines: [], telling: "" });
});

Deno.test("characters may be cut anywhere", async () => {
  const bytes = new TextEncoder().encode("größe 🦕\n");
  const chunks = Array.from(bytes, (byte) => Uint8Array.of(byte));
  assertEquals((await printed(chunks)).lines, ["größe 🦕"]);
});

Deno.test("what is no text is passed on as text", async () => {
  const { lines } = await printed([Uint8Array.of(0xff, 0xc0, 0x41, 0x0a)]);
  assertEquals(lines, ["��A"]);
});

Deno.test("nothing that is passed on steers a terminal", async () => {
  const controls = Array.from({ length: 160 }, (_, code) => code)
    .filter((code) => code !== 10 && (code < 32 || code >= 127))
    .map((code) => String.fromCharCode(code)).join("x");
  const { lines } = await printed([`\x1b[2J\x1b]0;title\x07 ${controls}|\n`]);
  assertEquals(lines.length, 1);
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x1f\x7f-\x9f]/.test(lines[0]!));
  assertMatch(lines[0]!, /^�\[2J�\]0;title/);
});

Deno.test("nothing that is passed on turns the direction of text around", async () => {
  const { lines } = await printed(["a\u202eb\u2066c\u200fd\n"]);
  assert(!/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(lines[0]!), "an override came through");
});

Deno.test("lines are cut, whether they end or not", async () => {
  const long = "x".repeat(5000);
  for (
    const chunks of [[`${long}\nnext\n`], [long, long, "\nnext\n"], [long, long, `${long}\nnext`]]
  ) {
    const { lines } = await printed(chunks);
    assertEquals(lines.map(({ length }) => length), [1024, 4]);
  }
});

Deno.test("a flood is cut, and its end is what tells", async () => {
  const flood = Array.from({ length: 20 }, (_, i) => `line ${i}\n`.repeat(50));
  const { now } = performance;
  performance.now = () => 5000;
  try {
    const { lines, telling } = await printed([...flood, "the end\n"]);
    assertEquals([lines.length, telling], [100, "the end"]);
  } finally {
    performance.now = now;
  }
});

Deno.test("an error tells more than what comes behind it", async () => {
  const lines = ["start", "error: Uncaught boom", "    at mod.ts:1:1", "bye"];
  assertEquals((await printed([`${lines.join("\n")}\n`])).telling, "error: Uncaught boom");
  assertEquals((await printed(["error: first\n# Fatal second\nlast\n"])).telling, "# Fatal second");
  const threads = ["=====", "Deno could not start: no threads.", "Version: 2", "Args: [x]"];
  assertEquals((await printed([`${threads.join("\n")}\n`])).telling, threads[1]);
  const panics = ["Args: [x]", "thread 'main' (7) panicked at a.rs:1:2:", "no memory", "note: x"];
  assertEquals(
    (await printed([`${panics.join("\n")}\n`])).telling,
    "thread 'main' (7) panicked at a.rs:1:2: no memory",
  );
});

Deno.test("after a flood it is said how much was dropped", async () => {
  const original = performance.now;
  let time = 5000;
  performance.now = () => time;
  try {
    await using loop = new InterruptLoop();
    const [from, into] = pipe();
    const lines: string[] = [];
    const output = new Output(from, loop, (line) => lines.push(line));
    const print = (text: string) => {
      writeAll(into, new TextEncoder().encode(text));
      loop.runOnce(0);
    };
    print("flood\n".repeat(107));
    assertEquals(lines.length, 100);
    time = 6000;
    print("calm\n");
    assertEquals(lines.slice(100), ["(7 more lines were dropped)", "calm"]);
    close(into);
    output.end();
  } finally {
    performance.now = original;
  }
});

Deno.test("output ends once, by itself or not", async () => {
  await using loop = new InterruptLoop();
  const [from, into] = pipe();
  const output = new Output(from, loop, () => {});
  close(into);
  loop.runOnce(100);
  output.end();
  output.end();
  assertEquals(loop.runOnce(0), false);
});

Deno.test("a driver that prints far too much is not read on for a while, and waits #core:P-34", async () => {
  const { now } = performance;
  let time = 5000;
  performance.now = () => time;
  try {
    await using loop = new InterruptLoop();
    const [from, into] = pipe();
    setNonBlocking(into);
    const output = new Output(from, loop, () => {});
    const block = new TextEncoder().encode("a line of a flood\n".repeat(3000));
    /** How much gets through until nothing does, or up to `most`. */
    const flood = (most: number) => {
      let total = 0;
      for (let idle = 0; idle < 10 && total < most;) {
        const put = libc().write(into, block, block.length);
        if (put > 0) total += put;
        idle = loop.runOnce(0) || put > 0 ? 0 : idle + 1;
      }
      return total;
    };
    const MIB = 2 ** 20;
    const first = flood(Infinity);
    assert(first >= 8 * MIB && first <= 8 * MIB + 2 * 65536, `${first} bytes in no time`);
    time += 500;
    // Real time, for the timer that listens again.
    await new Promise((resolve) => setTimeout(resolve, 200));
    const second = flood(Infinity);
    assert(second >= 4 * MIB - 2 * 65536 && second <= 4 * MIB + 2 * 65536, `then ${second}`);
    close(into);
    output.end();
  } finally {
    performance.now = now;
  }
});

Deno.test("end() reads no more than a pipe holds, even if another process prints on", async () => {
  await using loop = new InterruptLoop();
  const [from, into] = pipe();
  setNonBlocking(into);
  const block = new TextEncoder().encode("on and on\n".repeat(6000));
  let lines = 0;
  const output = new Output(from, loop, () => {
    lines++;
    libc().write(into, block, block.length);
  });
  libc().write(into, block, block.length);
  output.end();
  assertEquals(lines, 100);
  close(into);
});
