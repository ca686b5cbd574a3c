import { assertEquals } from "@std/assert";
import { configView } from "./config_view.ts";

Deno.test("a configuration is read in little-endian order, at any offset", () => {
  const config = configView([1, 2, 3, 4, 5, 6, 7, 0xff, 9]);
  assertEquals(config.length, 9);
  assertEquals([config.u8(0), config.u8(7)], [1, 255]);
  assertEquals([config.u16(0), config.u16(7)], [0x0201, 0x09ff]);
  assertEquals([config.u32(0), config.u32(4), config.u32(1)], [0x04030201, 0xff070605, 0x05040302]);
  assertEquals([config.u64(0), config.u64(1)], [0xff07060504030201n, 0x09ff070605040302n]);
});

Deno.test("behind its end a configuration is 0", () => {
  const config = configView([1, 2, 3]);
  for (const offset of [-1, 3, 100, 2 ** 32, NaN]) assertEquals(config.u8(offset), 0);
  assertEquals([config.u16(1), config.u16(2), config.u32(0), config.u64(0)], [0x0302, 0, 0, 0n]);
  assertEquals(configView([]).u8(0), 0);
});

Deno.test("a configuration is a copy", () => {
  const bytes = [1, 2];
  const config = configView(bytes);
  bytes[0] = 9;
  assertEquals(config.u8(0), 1);
});
