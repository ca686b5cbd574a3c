import { assertEquals } from "@std/assert";
import { byteRegisters } from "../pci/byte_registers.ts";
import { sharedMemoryRegions } from "./shared_memory.ts";

const SIZE = 2 ** 34;
const barSize = (bar: number) => bar === 2 || bar === 0 ? SIZE : undefined;

interface Region {
  readonly id?: number;
  readonly bar?: number;
  readonly offset?: bigint;
  readonly length?: bigint;
  readonly type?: number;
  readonly bytes?: number;
}

/** The regions of a device with these capabilities. */
function find(...regions: readonly Region[]) {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x10, 1, true); // BAR 0 is ports
  bytes[0x06] = 0x10;
  bytes[0x34] = 0x40;
  regions.forEach((region, i) => {
    const { id = 1, bar = 2, offset = 0n, length = 4096n, type = 8, bytes: said = 24 } = region;
    const at = 0x40 + 24 * i;
    bytes.set([9, i === regions.length - 1 ? 0 : at + 24, said, type, bar, id], at);
    view.setUint32(at + 8, Number(offset & 0xffffffffn), true);
    view.setUint32(at + 12, Number(length & 0xffffffffn), true);
    view.setUint32(at + 16, Number(offset >> 32n), true);
    view.setUint32(at + 20, Number(length >> 32n), true);
  });
  return sharedMemoryRegions(byteRegisters(bytes), barSize);
}

Deno.test("sharedMemoryRegions() finds regions of 64 bits by their ids", () => {
  assertEquals(find(), []);
  assertEquals(
    find(
      { id: 7, offset: 0x1_0000_0000n, length: 0x2_0000_1000n },
      { id: 0, offset: 4096n },
      { id: 7, offset: 8192n },
      { type: 1 },
    ),
    [
      { id: 7, bar: 2, offset: 0x1_0000_0000, length: 0x2_0000_1000 },
      { id: 0, bar: 2, offset: 4096, length: 4096 },
    ],
  );
});

for (
  const [name, region] of Object.entries<Region>({
    "an end behind the BAR": { offset: 2n ** 34n - 4095n },
    "a length of almost 2⁶⁴": { length: 2n ** 64n - 1n },
    "an end that wraps 64 bits": { offset: 2n ** 64n - 4096n, length: 8192n },
    "an offset and a length that wrap 64 bits to nothing": { offset: 2n ** 63n, length: 2n ** 63n },
    "no length": { length: 0n },
    "a BAR that is not there": { bar: 3 },
    "a BAR of ports": { bar: 0 },
    "BAR 6": { bar: 6 },
    "BAR 255": { bar: 255 },
    "a capability of 16 bytes": { bytes: 16 },
  })
) {
  Deno.test(`sharedMemoryRegions() passes over a region with ${name} (D-18)`, () => {
    assertEquals(find(region, { id: 1, offset: 4096n, length: 1n }), [
      { id: 1, bar: 2, offset: 4096, length: 1 },
    ]);
  });
}
