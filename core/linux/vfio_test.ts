import { assertEquals } from "@std/assert";
import { rangesOf, regionOf } from "./vfio.ts";

/** A structure of 32-bit words; numbers above 32 bits take two. */
function structure(...words: readonly (number | bigint)[]): DataView {
  const low = words.flatMap((word) =>
    typeof word === "number"
      ? [word]
      : [Number(word & 0xffffffffn), Number(word >> 32n & 0xffffffffn)]
  );
  return new DataView(Uint32Array.from(low).buffer);
}

const READ_WRITE = 3, CAN_MAP = 4, HAS_CAPABILITIES = 8;
const BAR4 = 4n << 40n;
/** The header of a capability: id and version, then the offset of the next. */
const capability = (id: number, next: number) => [id | 1 << 16, next];

Deno.test("regionOf: what cannot be mapped has no areas", () => {
  const info = structure(32, READ_WRITE, 0, 0, 64n, 0n);
  assertEquals(regionOf(info), { offset: 0, size: 64, areas: [] });
});

Deno.test("regionOf: what can be mapped is one area, if nothing says otherwise", () => {
  const whole = { offset: 4 * 2 ** 40, size: 16384, areas: [{ offset: 0, size: 16384 }] };
  assertEquals(regionOf(structure(32, READ_WRITE | CAN_MAP, 4, 0, 16384n, BAR4)), whole);
  // The capability that the MSI-X table may be mapped says nothing about areas.
  const flags = READ_WRITE | CAN_MAP | HAS_CAPABILITIES;
  const info = structure(40, flags, 4, 32, 16384n, BAR4, ...capability(3, 0));
  assertEquals(regionOf(info), whole);
});

Deno.test("regionOf: areas are found behind other capabilities; there may be none", () => {
  const flags = READ_WRITE | CAN_MAP | HAS_CAPABILITIES;
  const areas = [2, 0, 0n, 4096n, 12288n, 4096n];
  const info = structure(
    88,
    ...[flags, 4, 32, 16384n, BAR4],
    ...capability(3, 40),
    ...capability(1, 0),
    ...areas,
  );
  assertEquals(regionOf(info).areas, [{ offset: 0, size: 4096 }, { offset: 12288, size: 4096 }]);
  const none = structure(48, flags, 4, 32, 16384n, BAR4, ...capability(1, 0), 0, 0);
  assertEquals(regionOf(none).areas, []);
});

Deno.test("regionOf: a list of capabilities that has no end is given up", () => {
  const flags = READ_WRITE | CAN_MAP | HAS_CAPABILITIES;
  const info = structure(40, flags, 4, 32, 4096n, BAR4, ...capability(3, 32));
  assertEquals(regionOf(info).areas, [{ offset: 0, size: 4096 }]);
});

Deno.test("rangesOf: ranges as the kernel tells them, with ends that can be counted with", () => {
  const info = structure(
    64,
    ...[1 | 2, 4096n, 24, 0],
    ...[...capability(1, 0), 2, 0],
    ...[0n, 0xfedfffffn, 0xfef00000n, 2n ** 64n - 1n],
  );
  assertEquals(rangesOf(info), [
    { start: 0, end: 0xfedfffff },
    { start: 0xfef00000, end: Number.MAX_SAFE_INTEGER },
  ]);
  assertEquals(rangesOf(structure(24, 1, 4096n, 0, 0)), undefined);
});
