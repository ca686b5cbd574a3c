import { assertEquals } from "@std/assert";
import type { DriverLane } from "@virtio/deno/plugin";
import { SlotPages } from "./pages.ts";
import * as wire from "./wire.ts";

const SLOTS = 4;
const SLOT_BYTES = 65536;
const LISTS = 0x1000;
const DATA = 0x10000;

/** An arena whose pages are not neighbours, above 4 GiB. */
function address(offset: number): number {
  const page = Math.floor(offset / 4096);
  return 0x1_ffff_0000 + page * 0x10_0000 + offset % 4096;
}

Deno.test("SlotPages: one page, two pages, and a list for more, from any page on #nvme:PRP", () => {
  const bytes = SlotPages.listBytes(SLOTS, SLOT_BYTES);
  assertEquals(bytes, SLOTS * 16 * 8);
  const memory = new SharedArrayBuffer(LISTS + bytes);
  const lane = {
    slots: SLOTS,
    slotBytes: SLOT_BYTES,
    offset: (slot: number) => DATA + slot * SLOT_BYTES,
  } as Partial<DriverLane> as DriverLane;
  const lists = { offset: LISTS, bytes: new Uint8Array(memory, LISTS, bytes) };
  const pages = new SlotPages(lane, lists, address);
  const entries = new Uint32Array(memory);

  for (const [from, length] of [[0, 512], [0, 4096], [8192, 8192], [0, 65536], [4096, 12800]]) {
    const sq = new Uint32Array(2 * wire.SQE_DWORDS);
    pages.point(sq, wire.SQE_DWORDS, 2, from!, length!);
    const prp = (field: number) =>
      sq[wire.SQE_DWORDS + field]! + sq[wire.SQE_DWORDS + field + 1]! * 2 ** 32;
    const wanted = Array.from(
      { length: Math.ceil(length! / 4096) },
      (_, i) => address(lane.offset(2) + from! + 4096 * i),
    );
    assertEquals(prp(wire.PRP1), wanted[0]);
    if (wanted.length <= 2) assertEquals(prp(wire.PRP2), wanted[1] ?? 0);
    else {
      // Where the list is, by the address that the controller has.
      const place = Array.from({ length: bytes / 8 }, (_, i) => LISTS + 8 * i)
        .find((offset) => address(offset) === prp(wire.PRP2))!;
      const found = wanted.slice(1).map((_, i) =>
        entries[place / 4 + 2 * i]! + entries[place / 4 + 2 * i + 1]! * 2 ** 32
      );
      assertEquals(found, wanted.slice(1));
    }
    assertEquals(sq.subarray(0, wire.SQE_DWORDS).every((dword) => dword === 0), true);
  }
});
