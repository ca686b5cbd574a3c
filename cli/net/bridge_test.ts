import { assertEquals, assertRejects } from "@std/assert";
import { bridge, type FramePort } from "./bridge.ts";
import { FakeCard } from "./fake_test.ts";

const frame = (seed: number, length = 60) => new Uint8Array(length).fill(seed);

/** A port in memory. */
class FakePort implements FramePort {
  /** What can be read. */
  readonly inbound: Uint8Array[] = [];
  /** What was written. */
  readonly outbound: Uint8Array[] = [];
  full = false;
  #ready = Promise.withResolvers<void>();

  put(bytes: Uint8Array): void {
    this.inbound.push(bytes);
    this.wake();
  }

  read(into: Uint8Array): number {
    const bytes = this.inbound.shift();
    if (!bytes) return -1;
    into.set(bytes);
    return bytes.length;
  }

  write(bytes: Uint8Array): boolean {
    if (!this.full) this.outbound.push(bytes.slice());
    return !this.full;
  }

  async readable(): Promise<void> {
    if (this.inbound.length > 0) return;
    await this.#ready.promise;
    this.#ready = Promise.withResolvers();
  }

  wake(): void {
    this.#ready.resolve();
  }
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

Deno.test("bridge() passes frames both ways until it is told to end", async () => {
  const card = new FakeCard();
  const port = new FakePort();
  const controller = new AbortController();
  const running = bridge(card, port, controller.signal);
  for (let i = 1; i <= 200; i++) port.put(frame(i));
  card.put(frame(7, 1514));
  card.put(frame(8));
  await settled();
  port.put(frame(201, 1518));
  await settled();
  controller.abort();
  const none = 0;
  assertEquals(await running, {
    sent: { frames: 201, bytes: 200 * 60 + 1518, dropped: none },
    received: { frames: 2, bytes: 1574, dropped: none },
    gone: false,
  });
  assertEquals(card.sent.map(([first]) => first), Array.from({ length: 201 }, (_, i) => i + 1));
  assertEquals(port.outbound, [frame(7, 1514), frame(8)]);
});

Deno.test("bridge() counts what is too long or too short, and what is not taken", async () => {
  const card = new FakeCard();
  const port = new FakePort();
  const controller = new AbortController();
  const running = bridge(card, port, controller.signal);
  port.put(frame(1, 1519));
  port.put(frame(1, 13));
  port.put(frame(1, 14));
  port.full = true;
  card.put(frame(2));
  await settled();
  port.full = false;
  card.put(frame(3));
  await settled();
  controller.abort();
  const { sent, received } = await running;
  assertEquals([sent.frames, sent.dropped, received.frames, received.dropped], [1, 2, 1, 1]);
});

Deno.test("bridge() waits for room on the card", async () => {
  class Slow extends FakeCard {
    waits = 0;
    override trySend(): boolean {
      return false;
    }
    override async send(bytes: Uint8Array): Promise<void> {
      this.waits++;
      await settled();
      this.sent.push(bytes.slice());
    }
  }
  const card = new Slow();
  const port = new FakePort();
  const controller = new AbortController();
  const running = bridge(card, port, controller.signal);
  for (let i = 0; i < 3; i++) port.put(frame(i));
  while (card.sent.length < 3) await settled();
  controller.abort();
  assertEquals([(await running).sent.frames, card.waits], [3, 3]);
  assertEquals(card.sent.map(([first]) => first), [0, 1, 2]);
});

Deno.test("bridge() ends also while it waits for a card that sends nothing", async () => {
  class Stuck extends FakeCard {
    override trySend(): boolean {
      return false;
    }
    override send(): Promise<void> {
      return new Promise(() => {});
    }
  }
  const port = new FakePort();
  const controller = new AbortController();
  const running = bridge(new Stuck(), port, controller.signal);
  port.put(frame(1));
  await settled();
  controller.abort();
  assertEquals((await running).gone, false);
});

Deno.test("bridge() ends as a whole when one side fails", async () => {
  const gone = new FakeCard();
  const ending = bridge(gone, new FakePort(), new AbortController().signal);
  gone.end();
  assertEquals((await ending).gone, true);
  class Broken extends FakePort {
    override read(): number {
      throw new Error("the interface is gone");
    }
  }
  const running = bridge(new FakeCard(), new Broken(), new AbortController().signal);
  await assertRejects(() => running, Error, "the interface is gone");
});
