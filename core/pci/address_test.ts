import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { compareAddresses, formatAddress, formatShortAddress, parseAddress } from "./address.ts";

Deno.test("parseAddress reads both forms of lspci", () => {
  const address = { domain: 0, bus: 0, device: 3, function: 0 };
  assertEquals(parseAddress("00:03.0"), address);
  assertEquals(parseAddress("0000:00:03.0"), address);
  assertEquals(parseAddress("10000:E1:1f.7"), {
    domain: 0x10000,
    bus: 0xe1,
    device: 31,
    function: 7,
  });
});

Deno.test("parseAddress refuses nonsense with one sentence", () => {
  for (
    const text of [
      "",
      "3",
      "00:03",
      "00:20.0",
      "00:03.8",
      "00:03.0 ",
      "g0:03.0",
      "-0:03.0",
      "1:2:3:4.5",
    ]
  ) {
    assertThrows(() => parseAddress(text), SyntaxError, "as a PCI address: it looks like 00:03.0");
  }
});

Deno.test("formatAddress and parseAddress are inverse", () => {
  const address = fc.record({
    domain: fc.nat(0xfffff),
    bus: fc.nat(255),
    device: fc.nat(31),
    function: fc.nat(7),
  });
  fc.assert(fc.property(address, (a) => {
    assertEquals(parseAddress(formatAddress(a)), a);
    assertEquals(parseAddress(formatShortAddress(a)), { ...a, domain: 0 });
  }));
});

Deno.test("compareAddresses orders wide domains by number", () => {
  const sorted = ["10000:00:00.0", "0001:00:00.0", "0000:ff:00.0", "0000:00:1f.7"]
    .map(parseAddress).sort(compareAddresses).map(formatAddress);
  assertEquals(sorted, ["0000:00:1f.7", "0000:ff:00.0", "0001:00:00.0", "10000:00:00.0"]);
});
