import { assert, assertEquals } from "@std/assert";
import { ask } from "@virtio/deno/simulation";
import { EntropyModel } from "./model.ts";

const NOTHING = new Uint8Array();

Deno.test("EntropyModel fills all of a request, in whatever pieces", () => {
  const model = new EntropyModel();
  for (const pieceBytes of [1000, 100_000, 300_000]) {
    const answer = ask(model, NOTHING, 200_000, { pieceBytes });
    assertEquals(answer?.written, 200_000);
    // Each of the 256 values is expected 781 times.
    const counts = new Uint32Array(256);
    for (const byte of answer!.bytes) counts[byte]!++;
    assert(counts.every((count) => count > 600 && count < 1000));
  }
});

Deno.test("EntropyModel does not repeat itself", () => {
  const model = new EntropyModel();
  const [first, second] = [ask(model, NOTHING, 32), ask(model, NOTHING, 32)];
  assert(first?.bytes.toString() !== second?.bytes.toString());
});

Deno.test("EntropyModel lies when asked to (D-93)", () => {
  const constant = ask(new EntropyModel({ fill: 7 }), NOTHING, 4);
  assertEquals(constant, { written: 4, bytes: Uint8Array.of(7, 7, 7, 7) });
  const old = ask(new EntropyModel({ fill: "nothing" }), NOTHING, 4);
  assertEquals(old, { written: 4, bytes: Uint8Array.of(255, 255, 255, 255) });
  const short = ask(new EntropyModel({ most: 1, fill: 7 }), NOTHING, 3);
  assertEquals(short, { written: 1, bytes: Uint8Array.of(7, 255, 255) });
  assertEquals(ask(new EntropyModel({ most: 0 }), NOTHING, 3)?.written, 0);
});
