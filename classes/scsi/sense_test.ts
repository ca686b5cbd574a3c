import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { additionalSense } from "./additional_sense.ts";
import { parseSense, senseText } from "./sense.ts";

/** Sense data of the fixed format. */
function fixed(key: number, asc: number, ascq: number, information?: number): Uint8Array {
  const bytes = new Uint8Array(18);
  bytes.set([information === undefined ? 0x70 : 0xf0, 0, key]);
  if (information !== undefined) new DataView(bytes.buffer).setUint32(3, information);
  bytes.set([10], 7);
  bytes.set([asc, ascq], 12);
  return bytes;
}

Deno.test("parseSense() takes both formats apart", () => {
  assertEquals(parseSense(fixed(3, 0x11, 0, 42)), {
    key: 3,
    asc: 0x11,
    ascq: 0,
    deferred: false,
    information: 42,
  });
  assertEquals(parseSense(Uint8Array.of(0x71, 0, 6))?.deferred, true);
  const head = [0x72, 5, 0x24, 1, 0, 0, 0];
  assertEquals(parseSense(Uint8Array.of(...head, 0)), {
    key: 5,
    asc: 0x24,
    ascq: 1,
    deferred: false,
  });
  // A descriptor of another type, then the one about a block.
  const more = [2, 2, 0, 0, 0, 10, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 2];
  const described = Uint8Array.of(...head, more.length, ...more);
  assertEquals(parseSense(described)?.information, 2 ** 32 + 2);
});

Deno.test("parseSense() knows sense data from others", () => {
  for (const bytes of [[], [0x70], [0x72, 5, 0x24], [0x7f, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0]]) {
    assertEquals(parseSense(Uint8Array.from(bytes)), undefined);
  }
});

Deno.test("parseSense() and senseText() take whatever a unit says (D-95)", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 252 }), (bytes) => {
    const sense = parseSense(bytes);
    if (sense) assertEquals(/^[a-z].*\(.\/..\/..(, block \d+)?\)$/.test(senseText(sense)), true);
  }));
});

Deno.test("senseText() says it in words", () => {
  const text = (...sense: Parameters<typeof fixed>) => senseText(parseSense(fixed(...sense))!);
  assertEquals(text(2, 0x3a, 1), "not ready: medium not present, tray closed (2/3a/01)");
  assertEquals(text(3, 0x11, 0, 7), "medium error: unrecovered read error (3/11/00, block 7)");
  assertEquals(text(0, 0, 0), "no sense (0/00/00)");
});

Deno.test("additionalSense() says something of every code", () => {
  assertEquals(additionalSense(0x29, 0), "power on, reset, or bus device reset occurred");
  assertEquals(additionalSense(0x40, 0x93), "diagnostic failure on component 0x93");
  assertEquals(
    additionalSense(0x29, 0x77),
    "power on, reset, or bus device reset occurred, unknown additional sense 0x29, qualifier 0x77",
  );
  assertEquals(
    additionalSense(0x99, 1),
    "vendor specific additional sense 0x99, qualifier 0x01",
  );
});
