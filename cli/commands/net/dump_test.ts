import { SCHEMA } from "../../json.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { libc } from "../../../core/linux/libc.ts";
import { type Ran, runFake, VTNET, type World } from "../../fake_test.ts";
import { FakeCard } from "../../net/fake_test.ts";

// Opened once for the whole process, so not by a test.
libc();

const FRAME = Uint8Array.fromHex(
  "ffffffffffff52540000000108060001080006040001525400000001" +
    "0a0900010000000000000a090003",
);

/** A card to which some frames come as soon as there is a listener. */
class BusyCard extends FakeCard {
  override frames(capacity?: number): ReturnType<FakeCard["frames"]> {
    const feed = super.frames(capacity);
    queueMicrotask(() => {
      for (let i = 0; i < 5; i++) this.put(FRAME);
    });
    return feed;
  }
}

function run(line: string, world: World = {}): Promise<Ran> {
  const card = new BusyCard();
  return runFake(`net dump ${line}`, { drivers: [VTNET], refusal: "", card, ...world });
}

Deno.test("net dump prints a line for each frame on a terminal, and with --text", async () => {
  const card = new BusyCard();
  for (const [line, terminal] of [["--count 2", true], ["--count 2 --text", false]] as const) {
    const { exit, out, err } = await run(line, { terminal, card });
    assertEquals(exit, 0, err);
    const lines = out.split("\n").filter((text) => text !== "");
    assertEquals(lines.length, 2);
    assertMatch(
      lines[0]!,
      /^\d\d:\d\d:\d\d\.\d{6} 52:54:00:00:00:01 > ff:ff:ff:ff:ff:ff, length 42/,
    );
    assertEquals(err, "2 frames with 84 bytes captured, 0 dropped");
    assertEquals(card.promiscuous, true);
  }
});

Deno.test("net dump writes a capture where no terminal is, and to -", async () => {
  for (const [line, terminal] of [["--count 1", false], ["- --count 1", true]] as const) {
    const { exit, out } = await run(line, { terminal });
    assertEquals(exit, 0);
    assertEquals([...out.slice(0, 4)].map((c) => c.charCodeAt(0)), [10, 13, 13, 10]);
    assertStringIncludes(out, "0000:00:03.0");
  }
});

Deno.test("net dump writes a file, and tells about it as JSON", async () => {
  const file = await Deno.makeTempFile({ suffix: ".pcapng" });
  try {
    await Deno.writeFile(file, new Uint8Array(10_000));
    const { exit, out } = await run(`${file} --count 3 --snap 20 --no-promiscuous --json`);
    assertEquals(exit, 0);
    const { device, machine, ...rest } = JSON.parse(out);
    assertEquals([device.address, device.restarts, machine.kind], ["0000:00:03.0", 0, "local"]);
    assertEquals(rest, {
      schema: SCHEMA,
      command: "net dump",
      file,
      captured: 3,
      dropped: 0,
      bytes: 126,
    });
    const bytes = await Deno.readFile(file);
    assertEquals([...bytes.subarray(0, 4)], [10, 13, 13, 10]);
    assertEquals(bytes.length < 1000, true, "what was there is gone");
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("net dump ends with 130 when it is interrupted, and with the time when that is over", async () => {
  const { CliError } = await import("../../exit.ts");
  const card = new FakeCard();
  const controller = new AbortController();
  setTimeout(() => controller.abort(new CliError(130, "Ended by SIGINT")), 20);
  assertEquals((await run("--text", { card, signal: controller.signal })).exit, 130);
  assertEquals((await run("--text --seconds 0.01", { card })).exit, 0);
  assertEquals((await run("--text --timeout 0.05", { card })).exit, 124);
});

Deno.test("net dump says so when the card cannot hear everything, or goes away", async () => {
  class Deaf extends BusyCard {
    override readonly filter = {
      setPromiscuous: () => Promise.reject(new Error("it has no control queue")),
    };
  }
  const { exit, err } = await run("--text --count 1", { card: new Deaf() });
  assertEquals(exit, 0);
  assertStringIncludes(err, "Only frames that the card takes for its own: it has no control queue");
  const card = new FakeCard();
  setTimeout(() => card.end(), 20);
  const gone = await run("--text", { card, gone: "it fell" });
  assertEquals(gone.exit, 7);
  assertStringIncludes(gone.err, "error: Cannot go on with 0000:00:03.0: it fell");
});

Deno.test("net dump refuses what it cannot do, and opens nothing", async () => {
  for (
    const [line, message] of [
      ["--json", "Cannot print JSON and frames to the same place: name a file for the frames"],
      ["file --text", "Cannot write text to a capture file: leave out --text or the file"],
      ["--seconds 0", 'Unknown value "0" for --seconds: wanted a number from 0.001'],
      ["--snap 0", 'Unknown value "0" for --snap: wanted a whole number from 1 to 262144'],
    ] as const
  ) {
    const { exit, err, calls } = await run(line);
    assertEquals([exit, calls], [2, []]);
    assertStringIncludes(err, `error: ${message}`);
  }
  const { exit, err } = await run("/nonexistent/file");
  assertEquals(exit, 1);
  assertStringIncludes(err, "Cannot open /nonexistent/file: ENOENT");
});
