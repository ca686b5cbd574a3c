import { assertEquals, assertThrows } from "@std/assert";
import { formatSize, parseSize, sizeInFull } from "./size.ts";

Deno.test("sizeInFull says no size twice #cli:sizes", () => {
  const sizes = [0, 1, 512, 1023, 1024, 1536, 65536, 64 << 20, 2 ** 43].map(sizeInFull);
  assertEquals(sizes, [
    "0 bytes",
    "1 byte",
    "512 bytes",
    "1023 bytes",
    "1024 bytes (1 KiB)",
    "1536 bytes (1.5 KiB)",
    "65536 bytes (64 KiB)",
    "67108864 bytes (64 MiB)",
    "8796093022208 bytes (8 TiB)",
  ]);
});

Deno.test("parseSize reads what formatSize writes", () => {
  for (const bytes of [512, 4096, 64 << 20, 2 ** 31, 2 ** 42]) {
    const text = formatSize(bytes).replace(" ", "").replace("bytes", "");
    assertEquals(parseSize("bs", text), bytes);
  }
  for (const wrong of ["", "-1", "1.5K", "1P", "K", "0x10", "9999999T"]) {
    assertThrows(() => parseSize("bs", wrong), Error, "for --bs: wanted bytes");
  }
});
