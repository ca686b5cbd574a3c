import { assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { describeFrame } from "./describe_frame.ts";

/** Frames that Linux sent, and what they are. */
const FRAMES: readonly (readonly [hex: string, text: string])[] = [
  [
    "ffffffffffff52540000000108060001080006040001525400000001" +
    "0a0900010000000000000a090003",
    "52:54:00:00:00:01 > ff:ff:ff:ff:ff:ff, length 42: ARP, who has 10.9.0.3? tell 10.9.0.1",
  ],
  [
    "525400000002525400000001080600010800060400025254000000010a0900015254000000020a090002",
    "52:54:00:00:00:01 > 52:54:00:00:00:02, length 42: ARP, 10.9.0.1 is at 52:54:00:00:00:01",
  ],
  [
    "5254000000025254000000010800" +
    "4500002cbaf3400040016bc90a0900010a09000208002f37642b00010cdb076b000000005056000000000000",
    "52:54:00:00:00:01 > 52:54:00:00:00:02, length 58: " +
    "IPv4 10.9.0.1 > 10.9.0.2, ICMP echo request, id 25643, seq 1",
  ],
  [
    "5254000000015254000000020800" +
    "4500002c244100004001427c0a0900020a09000100003737642b00010cdb076b000000005056000000000000",
    "52:54:00:00:00:02 > 52:54:00:00:00:01, length 58: " +
    "IPv4 10.9.0.2 > 10.9.0.1, ICMP echo reply, id 25643, seq 1",
  ],
  [
    "525400000001525400000002080045c0003b5f950000400106590a0900020a0900010303a564000000004500001f" +
    "cb18400040115ba10a0900010a090002cd0b03e7000b143168690a",
    "52:54:00:00:00:02 > 52:54:00:00:00:01, length 73: " +
    "IPv4 10.9.0.2 > 10.9.0.1, ICMP Destination Port Unreachable",
  ],
  [
    "52540000000252540000000108004500001fcb18400040115ba10a0900010a090002cd0b03e7000b143168690a",
    "52:54:00:00:00:01 > 52:54:00:00:00:02, length 45: " +
    "IPv4 10.9.0.1.52491 > 10.9.0.2.999, UDP, 3 bytes",
  ],
  [
    "52540000000252540000000108004500003c31b140004006f4f60a0900010a0900028c1403e6a309c75400000000" +
    "a002faf014430000020405b40402080a116a1263000000000103030a",
    "52:54:00:00:00:01 > 52:54:00:00:00:02, length 74: " +
    "IPv4 10.9.0.1.35860 > 10.9.0.2.998, TCP [S], 0 bytes",
  ],
  [
    "5254000000015254000000020800450000280000400040062" +
    "6bc0a0900020a09000103e68c1400000000a309c75550140000a1620000",
    "52:54:00:00:00:02 > 52:54:00:00:00:01, length 54: " +
    "IPv4 10.9.0.2.998 > 10.9.0.1.35860, TCP [R.], 0 bytes",
  ],
  [
    "52540000000152540000000286dd6000000000203afffe80000000000000505400fffe000002fd09000000000000" +
    "00000000000000018700dd6000000000fd0900000000000000000000000000010101525400000002",
    "52:54:00:00:00:02 > 52:54:00:00:00:01, length 86: " +
    "IPv6 fe80::5054:ff:fe00:2 > fd09::1, ICMPv6 neighbor solicitation",
  ],
  [
    "52540000000152540000000286dd60015a4b00183a40fd090000000000000000000000000002fd09000000000000" +
    "00000000000000018100fb96642c00010cdb076b000000000f8c010000000000",
    "52:54:00:00:00:02 > 52:54:00:00:00:01, length 78: " +
    "IPv6 fd09::2 > fd09::1, ICMPv6 echo reply, id 25644, seq 1",
  ],
  [
    "0180c200000052540000000100264242030000000000",
    "52:54:00:00:00:01 > 01:80:c2:00:00:00, length 22: IEEE 802.3",
  ],
  [
    "ffffffffffff5254000000018100006488b5",
    "52:54:00:00:00:01 > ff:ff:ff:ff:ff:ff vlan 100, length 18: type 0x88b5",
  ],
  ["52540000", "4 bytes, too short for a frame"],
];

for (const [hex, text] of FRAMES) {
  Deno.test(`describeFrame() says ${text.split(": ").at(-1)}`, () => {
    assertEquals(describeFrame(Uint8Array.fromHex(hex)), text);
  });
}

Deno.test("describeFrame() has one line for every frame, however damaged", () => {
  const frames = FRAMES.map(([hex]) => Uint8Array.fromHex(hex));
  const damaged = fc.record({
    frame: fc.constantFrom(...frames),
    cut: fc.nat(80),
    at: fc.nat(80),
    byte: fc.integer({ min: 0, max: 255 }),
  });
  fc.assert(fc.property(damaged, ({ frame, cut, at, byte }) => {
    const bytes = frame.slice(0, cut);
    if (at < bytes.length) bytes[at] = byte;
    assertMatch(describeFrame(bytes), /^[ -~]+$/);
  }));
});
