import { assertEquals } from "@std/assert";
import { hashFrame, HashReport, toeplitz } from "./toeplitz.ts";

/** Key and vectors that Microsoft publishes for receive-side scaling. */
const KEY = Uint8Array.from(
  "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa".match(/../g)!,
  (byte) => parseInt(byte, 16),
);

const VECTORS: readonly (readonly [
  from: string,
  port: number,
  to: string,
  port: number,
  addresses: number,
  ports: number,
])[] = [
  ["66.9.149.187", 2794, "161.142.100.80", 1766, 0x323e8fc2, 0x51ccc178],
  ["199.92.111.2", 14230, "65.69.140.83", 4739, 0xd718262a, 0xc626b0ea],
  ["24.19.198.95", 12898, "12.22.207.184", 38024, 0xd2d0a5de, 0x5c2b394a],
];

for (const [from, source, to, target, addresses, ports] of VECTORS) {
  Deno.test(`toeplitz() and hashFrame() hash ${from} to ${to} as the specification has it`, () => {
    const ips = [...from.split("."), ...to.split(".")].map(Number);
    assertEquals(toeplitz(Uint8Array.from(ips), KEY), addresses);
    const frame = new Uint8Array(60);
    frame.set([8, 0, 0x45], 12);
    frame[23] = 6;
    frame.set(ips, 26);
    frame.set([source >> 8, source & 255, target >> 8, target & 255], 34);
    assertEquals(hashFrame(frame, 3, KEY), { value: ports, report: HashReport.tcp4 });
    assertEquals(hashFrame(frame, 1, KEY), { value: addresses, report: HashReport.ip4 });
    assertEquals(hashFrame(frame, 0, KEY).report, HashReport.none);
  });
}
