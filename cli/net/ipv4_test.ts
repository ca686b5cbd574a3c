import { assertEquals } from "@std/assert";
import { formatIpv4, ipv4Packet, maskOf, parseIpv4, readIpv4 } from "./ipv4.ts";

/** What Linux sent for `ping -s 16 10.9.0.2`. */
const PING = Uint8Array.fromHex(
  "4500002cbaf3400040016bc90a0900010a09000208002f37642b00010cdb076b000000005056000000000000",
);

Deno.test("readIpv4() takes a packet of Linux apart", () => {
  const packet = readIpv4(PING)!;
  assertEquals(
    [formatIpv4(packet.source), formatIpv4(packet.destination)],
    ["10.9.0.1", "10.9.0.2"],
  );
  assertEquals([packet.ttl, packet.protocol, packet.fragment, packet.payload.length], [
    64,
    1,
    false,
    24,
  ]);
});

Deno.test("ipv4Packet() makes what readIpv4() reads, with a right checksum", () => {
  const [source, destination] = [parseIpv4("10.9.0.1")!, parseIpv4("10.9.0.2")!];
  const packet = ipv4Packet({ source, destination, protocol: 1, payload: PING.subarray(20) });
  // All but the number that Linux gave it, and so the checksum.
  const alike = (bytes: Uint8Array) => [...bytes.subarray(0, 4), ...bytes.subarray(6, 10)];
  assertEquals(alike(packet), alike(PING));
  assertEquals(readIpv4(packet)?.payload, PING.subarray(20));
});

Deno.test("readIpv4() takes nothing that is cut short, damaged or another protocol's", () => {
  for (let length = 0; length < PING.length; length++) {
    assertEquals(readIpv4(PING.subarray(0, length)), undefined, `${length} bytes`);
  }
  for (let at = 0; at < 20; at++) {
    assertEquals(readIpv4(PING.map((byte, i) => i === at ? byte ^ 0x10 : byte)), undefined);
  }
  // What stands behind the packet is padding.
  assertEquals(readIpv4(new Uint8Array([...PING, 0, 0]))?.payload.length, 24);
});

Deno.test("parseIpv4() takes addresses and nothing else", () => {
  assertEquals(formatIpv4(parseIpv4("255.0.10.1")!), "255.0.10.1");
  for (const text of ["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "1.2.3.-4", "a.b.c.d", "1.2.3.4 "]) {
    assertEquals(parseIpv4(text), undefined, text);
  }
});

Deno.test("maskOf() sets as many bits as it is told", () => {
  assertEquals([0, 1, 8, 20, 24, 31, 32].map((length) => formatIpv4(maskOf(length))), [
    "0.0.0.0",
    "128.0.0.0",
    "255.0.0.0",
    "255.255.240.0",
    "255.255.255.0",
    "255.255.255.254",
    "255.255.255.255",
  ]);
});
