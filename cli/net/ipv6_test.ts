import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { formatIpv6, ipv6Checksum, ipv6Packet, parseIpv6, readIpv6 } from "./ipv6.ts";

/** What Linux sent for `ping -s 16 fd09::2`. */
const PING = Uint8Array.fromHex(
  "600e320600183a40fd090000000000000000000000000001fd09000000000000000000000000000280" +
    "00fc96642c00010cdb076b000000000f8c010000000000",
);

/** Addresses as people write them, and how RFC 5952 wants them written. */
const TEXTS: readonly (readonly [string, string])[] = [
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["fe80::5054:ff:fe12:3456", "fe80::5054:ff:fe12:3456"],
  ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:0db8::0001", "2001:db8::1"],
  ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
  ["10:0:0:20:3:4:5:6", "10::20:3:4:5:6"],
  ["100:0:10:0:0:1:2:3", "100:0:10::1:2:3"],
];

Deno.test("formatIpv6() writes addresses as RFC 5952 says", () => {
  for (const [text, wanted] of TEXTS) assertEquals(formatIpv6(parseIpv6(text)!), wanted);
});

Deno.test("parseIpv6() reads what formatIpv6() writes", () => {
  const word = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  fc.assert(fc.property(fc.array(word, { minLength: 8, maxLength: 8 }), (words) => {
    const address = Uint8Array.from(words.flatMap((each) => [each >> 8, each & 0xff]));
    assertEquals(parseIpv6(formatIpv6(address)), address);
  }));
});

Deno.test("parseIpv6() takes nothing else", () => {
  const texts = ["", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::"];
  for (const text of [...texts, "1:2:3:4:5:6:7:8::", "::1%eth0", "10.0.2.2", " ::1"]) {
    assertEquals(parseIpv6(text), undefined, text);
  }
});

Deno.test("readIpv6() takes a packet of Linux apart, and ipv6Packet() makes it", () => {
  const packet = readIpv6(PING)!;
  assertEquals([formatIpv6(packet.source), formatIpv6(packet.destination)], ["fd09::1", "fd09::2"]);
  assertEquals([packet.hops, packet.next, packet.payload.length], [64, 58, 24]);
  assertEquals(ipv6Checksum(packet), 0);
  // All but the flow label.
  assertEquals(ipv6Packet(packet).subarray(4), PING.subarray(4));
  for (let length = 0; length < PING.length; length++) {
    assertEquals(readIpv6(PING.subarray(0, length)), undefined);
  }
});
