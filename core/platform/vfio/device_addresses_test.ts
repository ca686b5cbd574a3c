import { assertEquals, assertThrows } from "@std/assert";
import { DeviceAddresses } from "./device_addresses.ts";

const MIB = 2 ** 20;

/** What an emulated VT-d says: the window of interrupts is left out, and 39 bits are all there are. */
const VT_D = [{ start: 0, end: 0xfedf_ffff }, { start: 0xfef0_0000, end: 0x7f_ffff_ffff }];

Deno.test("DeviceAddresses: no two memories get the same addresses, and none touch", () => {
  const addresses = new DeviceAddresses();
  let last = 0;
  for (const size of [MIB, 16 * MIB, MIB, 65536]) {
    const start = addresses.take(size, VT_D);
    assertEquals(start >= 2 ** 32, true);
    assertEquals(start > last, true, "it begins in or right behind the one before");
    last = start + size;
  }
});

Deno.test("DeviceAddresses: what is taken is inside one range", () => {
  const addresses = new DeviceAddresses();
  // Below 4 GiB only, with a hole.
  const narrow = [{ start: 0, end: 8 * MIB - 1 }, { start: 32 * MIB, end: 64 * MIB - 1 }];
  assertEquals(addresses.take(16 * MIB, narrow), 32 * MIB);
  assertEquals(addresses.take(4 * MIB, narrow), 50 * MIB);
  assertEquals(addresses.take(4 * MIB, narrow), 56 * MIB);
  // From the beginning again, when the end is reached.
  assertEquals(addresses.take(4 * MIB, narrow), 2 * MIB);
});

Deno.test("DeviceAddresses: a device with short addresses gets low ones, and no other device the same", () => {
  const addresses = new DeviceAddresses();
  assertEquals(addresses.take(MIB, VT_D, 28), 2 * MIB);
  assertEquals(addresses.take(MIB, VT_D), 2 ** 32);
  assertEquals(addresses.take(MIB, VT_D, 28), 6 * MIB);
  assertThrows(() => addresses.take(4 * MIB, VT_D, 22), RangeError, "so long below 22 bits");
});

Deno.test("DeviceAddresses: a range may end with its last byte, and not before", () => {
  assertEquals(new DeviceAddresses().take(2 * MIB, [{ start: 0, end: 4 * MIB - 1 }]), 2 * MIB);
  assertThrows(
    () => new DeviceAddresses().take(2 * MIB, [{ start: 0, end: 4 * MIB - 2 }]),
    RangeError,
    "no range of addresses so long",
  );
});
