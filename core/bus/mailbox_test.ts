import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BusFault, Mailbox, mailboxBytes } from "./mailbox.ts";

const CAPACITY = 256;
/** Where the mailbox is in its memory, so that neighbours on both sides can be watched. */
const OFFSET = 64;

function mailbox(capacity = CAPACITY) {
  const memory = new SharedArrayBuffer(OFFSET + mailboxBytes(capacity) + 64);
  return {
    memory,
    words: new Uint32Array(memory, OFFSET),
    bytes: new Uint8Array(memory, OFFSET + 128, capacity),
    sender: new Mailbox(memory, OFFSET, capacity),
    receiver: new Mailbox(memory, OFFSET, capacity),
  };
}

/** Puts bytes in as if they had been sent. */
function forge({ words, bytes }: ReturnType<typeof mailbox>, at: number, raw: Uint8Array): void {
  for (const [i, byte] of raw.entries()) bytes[(at + i) % bytes.length] = byte;
  Atomics.store(words, 0, at + raw.length);
}

function framed(text: string | Uint8Array): Uint8Array {
  const body = typeof text === "string" ? new TextEncoder().encode(text) : text;
  return new Uint8Array([...new Uint8Array(Uint32Array.of(body.length).buffer), ...body]);
}

Deno.test("a mailbox gives messages back in their order, whatever their size, and is bounded", () => {
  const steps = fc.array(fc.oneof(fc.constant(undefined), fc.string({ maxLength: 140 })), {
    maxLength: 100,
    size: "max",
  });
  fc.assert(
    fc.property(steps, (steps) => {
      const { sender, receiver, memory } = mailbox();
      const waiting: string[] = [];
      let pending = 0;
      const size = (text: string) => 4 + new TextEncoder().encode(JSON.stringify(text)).length;
      for (const text of steps) {
        if (text === undefined) {
          const expected = waiting.shift();
          assertEquals(receiver.receive(), expected);
          if (expected !== undefined) pending -= size(expected);
        } else {
          const fits = pending + size(text) <= CAPACITY;
          assertEquals(sender.send(text), fits);
          if (!fits) continue;
          waiting.push(text);
          pending += size(text);
        }
      }
      for (const text of waiting) assertEquals(receiver.receive(), text);
      assertEquals(receiver.receive(), undefined);
      const around = new Uint8Array(memory);
      assert(around.subarray(0, OFFSET).every((byte) => byte === 0));
      assert(around.subarray(-64).every((byte) => byte === 0));
    }),
    { numRuns: 300 },
  );
});

Deno.test("a mailbox carries JSON of any kind", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), (text) => {
      const { sender, receiver } = mailbox(65536);
      const value = JSON.parse(text);
      assert(sender.send(value));
      assertEquals(JSON.stringify(receiver.receive()), JSON.stringify(value));
    }),
  );
});

Deno.test("a mailbox is used up to its last byte, and not beyond", () => {
  for (const [length, fits] of [[CAPACITY - 4 - 2, true], [CAPACITY - 4 - 1, false]] as const) {
    const { sender, receiver } = mailbox();
    assertEquals(sender.send("x".repeat(length)), fits);
    assertEquals(receiver.receive(), fits ? "x".repeat(length) : undefined);
  }
});

Deno.test("a flood stops its sender until the receiver takes something", () => {
  const { sender, receiver } = mailbox();
  let sent = 0;
  while (sender.send(sent)) sent++;
  assert(!sender.send(0));
  assertEquals(receiver.receive(), 0);
  assert(sender.send(sent));
  for (let i = 1; i <= sent; i++) assertEquals(receiver.receive(), i);
});

Deno.test("long messages go around the end of a mailbox", () => {
  const { sender, receiver } = mailbox(65536);
  for (let i = 0; i < 300; i++) {
    const text = String.fromCharCode(97 + i % 26).repeat(1000 + 100 * i);
    assert(sender.send(text));
    assertEquals(receiver.receive(), text);
  }
});

Deno.test("a receiver refuses counters that cannot be", () => {
  for (const pending of [1, 2, 3, CAPACITY + 1, 2 ** 31, 2 ** 32 - 1]) {
    const { words, receiver } = mailbox();
    words[0] = pending;
    for (let i = 0; i < 2; i++) {
      assertThrows(() => receiver.receive(), BusFault, `${pending} bytes are pending in 256`);
    }
  }
});

Deno.test("a receiver refuses lengths that cannot be", () => {
  for (
    const [length, pending] of [[1, 4], [5, 8], [2 ** 31, 100], [2 ** 32 - 1, CAPACITY]] as const
  ) {
    const box = mailbox();
    new Uint32Array(box.memory, OFFSET + 128)[0] = length;
    box.words[0] = pending;
    assertThrows(
      () => box.receiver.receive(),
      BusFault,
      `claims ${length} bytes of ${pending - 4}`,
    );
  }
});

Deno.test("a receiver refuses what is no JSON, and goes on behind it", () => {
  const texts = ["", "{", "undefined", '{"a":1}x', new Uint8Array([0xff, 0xfe]), "\0"];
  for (const text of texts) {
    const box = mailbox();
    const raw = framed(text);
    forge(box, 0, new Uint8Array([...raw, ...framed("7")]));
    assertThrows(() => box.receiver.receive(), BusFault, "Cannot receive a message");
    assertEquals(box.receiver.receive(), 7);
  }
});

Deno.test("a sender is not led astray by the receiver's counter", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(0xffffffff), { minLength: 1, maxLength: 20 }), (tails) => {
      const { sender, words, memory } = mailbox();
      for (const tail of tails) {
        words[16] = tail;
        sender.send("0123456789");
      }
      const around = new Uint8Array(memory);
      assert(around.subarray(0, OFFSET).every((byte) => byte === 0));
      assert(around.subarray(-64).every((byte) => byte === 0));
    }),
  );
});

Deno.test("whatever stands in a mailbox, its receiver throws BusFault only, and comes to an end", () => {
  const bytes = fc.uint8Array({ minLength: CAPACITY, maxLength: CAPACITY });
  const small = fc.array(fc.constantFrom(0, 1, 2, 3, 8, 0x22, 0x31, 0x7b, 0x7d), {
    minLength: CAPACITY,
    maxLength: CAPACITY,
    size: "max",
  }).map((list) => Uint8Array.from(list));
  const counter = fc.oneof(fc.nat(CAPACITY), fc.nat(0xffffffff));
  fc.assert(
    fc.property(fc.oneof(bytes, small), counter, (content, head) => {
      const box = mailbox();
      box.bytes.set(content);
      box.words[0] = head;
      for (let i = 0; i <= CAPACITY / 4; i++) {
        try {
          if (box.receiver.receive() === undefined) return;
        } catch (error) {
          assert(error instanceof BusFault, String(error));
        }
      }
      // Only a counter that cannot be is refused for ever.
      assertThrows(() => box.receiver.receive(), BusFault);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("a message that cannot be written as JSON is a mistake of the sender", () => {
  const { sender, receiver } = mailbox();
  const circle: { self?: unknown } = {};
  circle.self = circle;
  assertThrows(() => sender.send(circle), TypeError);
  assertThrows(() => sender.send({ big: 1n }), TypeError);
  assertEquals(receiver.receive(), undefined);
});
