import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { mixEntropy } from "./mix_entropy.ts";

const constant = (byte: number) => ({
  read: (length: number) => Promise.resolve(new Uint8Array(length).fill(byte)),
});
const broken = { read: () => Promise.reject(new Error("no bytes")) };

Deno.test("mixEntropy() is the exclusive or of its sources #random:mix", async () => {
  const mixed = mixEntropy([constant(0b0101), constant(0b0011)], { local: false });
  assertEquals(await mixed.read(3), Uint8Array.of(0b0110, 0b0110, 0b0110));
  assertEquals((await mixed.read(0)).length, 0);
});

Deno.test("mixEntropy() adds bytes of the system to those of bad sources #random:mix", async () => {
  const bytes = await mixEntropy([constant(0), constant(0)]).read(200_000);
  assertEquals(new Set(bytes).size, 256);
  assert(bytes.subarray(150_000).some((byte) => byte !== 0));
});

Deno.test("mixEntropy() wants all sources, or as many as it was told", async () => {
  const error = await assertRejects(
    () => mixEntropy([constant(1), broken]).read(8),
    AggregateError,
    "1 of 2 sources deliver, 2 must",
  );
  assertEquals(error.errors.map(({ message }) => message), ["no bytes"]);
  const bytes = await mixEntropy([constant(1), broken], { local: false, least: 1 }).read(2);
  assertEquals(bytes, Uint8Array.of(1, 1));
  await assertRejects(() => mixEntropy([broken], { least: 1 }).read(2), AggregateError);
});

Deno.test("mixEntropy() refuses numbers of sources that cannot be", () => {
  for (const [sources, least] of [[0, undefined], [1, 0], [1, 2], [2, 1.5]] as const) {
    const list = Array.from({ length: sources }, () => constant(0));
    const options = least === undefined ? {} : { least };
    assertThrows(() => mixEntropy(list, options), RangeError, "of mixEntropy: it is");
  }
});

Deno.test("mixEntropy() takes nothing of a source that delivers too little or no bytes #core:short", async () => {
  for (
    const wrong of [new Uint8Array(1), new Uint8Array(3), [1, 2], "ab", null, new Uint16Array(2)]
  ) {
    const liar = { read: () => Promise.resolve(wrong as never) };
    await assertRejects(() => mixEntropy([constant(1), liar]).read(2), AggregateError, "1 of 2");
    const one = mixEntropy([constant(1), liar], { least: 1, local: false });
    assertEquals(await one.read(2), Uint8Array.of(1, 1));
  }
});
