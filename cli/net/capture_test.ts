import { assertEquals, assertMatch } from "@std/assert";
import { capture, captureSink, textSink } from "./capture.ts";
import { FakeCard } from "./fake_test.ts";

const FOREVER = { count: Infinity, time: undefined };
const never = new AbortController().signal;
const frame = (seed: number) => new Uint8Array(60).fill(seed);

/** A sink that remembers what it was told. */
function notes(most = Infinity) {
  const told: string[] = [];
  return {
    told,
    begin: () => void told.push("begin"),
    frame: ({ bytes }: { bytes: Uint8Array }) => told.push(`frame ${bytes[0]}`) <= most,
    end: ({ received, dropped }: { received: number; dropped: number }) =>
      void told.push(`end ${received} ${dropped}`),
  };
}

Deno.test("capture() ends after so many frames, after some time, when told to, and when the output is closed", async () => {
  const card = new FakeCard();
  const put = (...seeds: number[]) =>
    void setTimeout(() => seeds.map(frame).forEach((f) => card.put(f)));
  const gone = false;

  const counted = notes();
  put(1, 2, 3);
  const two = await capture(card, counted, { ...FOREVER, count: 2 }, never);
  assertEquals(two, { captured: 2, dropped: 0, bytes: 120, gone });
  assertEquals(counted.told, ["begin", "frame 1", "frame 2", "end 2 0"]);

  const timed = notes();
  put(1);
  const one = await capture(card, timed, { ...FOREVER, time: 20 }, never);
  assertEquals([one.captured, timed.told.at(-1)], [1, "end 1 0"]);

  const controller = new AbortController();
  const told = notes();
  const running = capture(card, told, FOREVER, controller.signal);
  for (let i = 0; i < 5; i++) card.put(frame(i));
  controller.abort();
  assertEquals(await running, { captured: 5, dropped: 0, bytes: 300, gone }, "what waits counts");
  assertEquals((await capture(card, notes(), FOREVER, controller.signal)).captured, 0);

  const unwanted = notes(2);
  put(1, 2, 3);
  assertEquals((await capture(card, unwanted, FOREVER, never)).captured, 2);
});

Deno.test("capture() counts what came too fast, and says when the card is gone", async () => {
  const card = new FakeCard();
  const running = capture(card, notes(), FOREVER, never);
  for (let i = 0; i < 1500; i++) card.put(frame(1));
  card.end();
  const { captured, dropped, gone } = await running;
  assertEquals([captured + dropped, gone], [1500, true]);
  assertEquals(captured, 1025, "one was being read, and 1024 waited");
});

Deno.test("textSink() writes a time and a line for each frame", () => {
  const lines: string[] = [];
  const sink = textSink((bytes) => lines.push(new TextDecoder().decode(bytes)) < 2);
  const time = Date.UTC(2026, 0, 2, 3, 4, 5, 678) + 0.25;
  const about = { bytes: frame(1), checksum: "unknown", pair: 0 } as const;
  assertEquals([sink.frame(about, time), sink.frame(about, time)], [true, false]);
  assertMatch(
    lines[0]!,
    /^03:04:05\.678\d{3} 01:01:01:01:01:01 > .* type 0x0101\n$|IEEE 802\.3\n$/,
  );
});

Deno.test("captureSink() writes blocks whose lengths fit", () => {
  const blocks: Uint8Array[] = [];
  const origin = {
    application: "test",
    name: "card",
    description: "a card",
    mac: frame(2).subarray(0, 6),
    snapLength: 16,
  };
  const sink = captureSink(origin, (bytes) => blocks.push(bytes) > 0);
  sink.begin();
  sink.frame({ bytes: frame(3), checksum: "unknown", pair: 0 }, 1);
  sink.end({ start: 0, end: 1, received: 1, dropped: 0 });
  const types = blocks.map((block) => {
    const view = new DataView(block.buffer);
    assertEquals(view.getUint32(4, true), block.length);
    assertEquals(view.getUint32(block.length - 4, true), block.length);
    return view.getUint32(0, true);
  });
  assertEquals(types, [0x0a0d0d0a, 1, 6, 5]);
});
