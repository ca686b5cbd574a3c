import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type Framed, Framing } from "./framing.ts";
import { encodeRequest, Malformed } from "./message.ts";
import { HEADER_BYTES } from "./protocol.ts";

const RESET = encodeRequest(1, { command: "DEVICE_RESET" });

/** Puts bytes into a framing, as a socket would that has `sizes` of them at a time. */
function feed(framing: Framing, bytes: Uint8Array, sizes: readonly number[]): Framed[] {
  const messages: Framed[] = [];
  for (let done = 0, turn = 0; done < bytes.length; turn++) {
    const size = Math.min(sizes[turn % sizes.length]!, framing.room.length, bytes.length - done);
    framing.room.set(bytes.subarray(done, done + size));
    const message = framing.filled(size, []);
    if (message) messages.push(message);
    done += size;
  }
  return messages;
}

Deno.test("Framing: a stream in any pieces is the same messages", () => {
  const message = fc.record({
    offset: fc.bigInt({ min: 0n, max: 99n }),
    data: fc.uint8Array({ maxLength: 99 }),
  });
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 });
  fc.assert(fc.property(fc.array(message), sizes, (all, sizes) => {
    const whole = all.map(({ offset, data }, id) =>
      encodeRequest(id, { command: "REGION_WRITE", offset, region: 4, count: data.length, data })
    );
    const stream = new Uint8Array(whole.flatMap((bytes) => [...bytes]));
    const framing = new Framing();
    const messages = feed(framing, stream, sizes);
    assertEquals(messages.map(({ header }) => header.id), all.map((_, id) => id));
    messages.forEach(({ payload }, id) => {
      assertEquals(payload, whole[id]!.slice(HEADER_BYTES));
    });
    assert(!framing.isInside);
  }));
});

Deno.test("Framing: descriptors are of the message with whose first byte they came", () => {
  const framing = new Framing();
  framing.room.set(RESET);
  assertEquals(framing.filled(HEADER_BYTES, [5, 6])!.descriptors, [5, 6]);
  assertEquals(framing.takeDescriptors(), []);
  framing.room.set(RESET.subarray(0, 4));
  framing.filled(4, []);
  framing.room.set(RESET.subarray(4));
  assertThrows(
    () => framing.filled(HEADER_BYTES - 4, [7]),
    Malformed,
    "in the middle of a message",
  );
  assertEquals(framing.takeDescriptors(), [7]);
});

Deno.test("Framing: a header that is none leaves its descriptors to be closed", () => {
  const framing = new Framing();
  framing.room.set(new Uint8Array(HEADER_BYTES));
  assertThrows(() => framing.filled(HEADER_BYTES, [8, 9]), Malformed, "says that it has 0 bytes");
  assertEquals(framing.takeDescriptors(), [8, 9]);
});
