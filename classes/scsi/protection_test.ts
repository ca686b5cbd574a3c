import { assertEquals } from "@std/assert";
import { protect, unprotected } from "./protection.ts";

Deno.test("protect() makes guard and reference tag of each block (SBC-3, 4.22)", () => {
  // The CRC of 32 zeroes is 0, that of 32 bytes of 0xff is 0xa293, of 0 to 31 it is 0x0224.
  const blocks = new Uint8Array(96);
  blocks.fill(0xff, 32, 64);
  for (let i = 0; i < 32; i++) blocks[64 + i] = i;
  assertEquals(
    protect(blocks, 32, 2 ** 32 + 5).toHex(),
    "0000000000000005" + "a293000000000006" + "0224000000000007",
  );
});

Deno.test("unprotected() finds the first block that is not what it should be", () => {
  const blocks = crypto.getRandomValues(new Uint8Array(2048));
  const protection = protect(blocks, 512, 7);
  assertEquals(unprotected(blocks, 512, 7, protection), -1);
  // Blocks of another place.
  assertEquals(unprotected(blocks, 512, 8, protection), 0);
  blocks[1024]! ^= 1;
  assertEquals(unprotected(blocks, 512, 7, protection), 2);
  // Not to be checked: never written.
  protection.fill(0xff, 16, 24);
  assertEquals(unprotected(blocks, 512, 7, protection), -1);
});
