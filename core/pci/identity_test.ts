import { assertEquals } from "@std/assert";
import { readIdentity } from "./identity.ts";
import type { Registers } from "./registers.ts";

/** A configuration header with these 16-bit words, offset to value. */
function header(words: Record<number, number>): Registers {
  const view = new DataView(new ArrayBuffer(64));
  for (const [offset, word] of Object.entries(words)) view.setUint16(Number(offset), word, true);
  const refuse = () => {
    throw new Error("readIdentity only reads");
  };
  return {
    size: 64,
    read8: (offset) => view.getUint8(offset),
    read16: (offset) => view.getUint16(offset, true),
    read32: (offset) => view.getUint32(offset, true),
    write8: refuse,
    write16: refuse,
    write32: refuse,
  };
}

Deno.test("readIdentity knows a modern VirtIO device by its device number", () => {
  const config = header({
    0: 0x1af4,
    2: 0x1042,
    8: 0x0001,
    10: 0x0180,
    0x2c: 0x1af4,
    0x2e: 0x1100,
  });
  assertEquals(readIdentity(config), {
    vendor: 0x1af4,
    device: 0x1042,
    subsystemVendor: 0x1af4,
    subsystem: 0x1100,
    class: 0x018000,
    revision: 1,
    virtio: { type: 2, generation: "modern" },
  });
});

Deno.test("readIdentity knows a transitional VirtIO device by its subsystem", () => {
  const config = header({ 0: 0x1af4, 2: 0x1005, 10: 0x00ff, 0x2c: 0x1af4, 0x2e: 4 });
  assertEquals(readIdentity(config).virtio, {
    type: 4,
    generation: "transitional",
  });
});

Deno.test("readIdentity takes no other device for VirtIO", () => {
  const cases = [[0x1af4, 0x0fff], [0x1af4, 0x1080], [0x1af4, 0x1110], [0x8086, 0x1042]] as const;
  for (const [vendor, device] of cases) {
    assertEquals(readIdentity(header({ 0: vendor, 2: device, 0x2e: 4 })).virtio, undefined);
  }
});

Deno.test("readIdentity takes types that the specification does not know", () => {
  assertEquals(readIdentity(header({ 0: 0x1af4, 2: 0x107f })).virtio?.type, 63);
});

Deno.test("readIdentity reads no subsystem from a bridge, whose header has other things there", () => {
  const bridge = header({
    0: 0x1b36,
    2: 0x000c,
    10: 0x0604,
    0x0e: 0x0081,
    0x2c: 0xffff,
    0x2e: 0xffff,
  });
  const { subsystemVendor, subsystem, class: kind } = readIdentity(bridge);
  assertEquals([subsystemVendor, subsystem, kind], [0, 0, 0x060400]);
});
