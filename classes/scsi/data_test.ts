// What units say of themselves, taken apart: none of it is to be believed.
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { needsCapacity16, parseCapacity } from "./capacity.ts";
import { inquiry, readOrWrite, unmapRanges, writeSame16 } from "./cdb.ts";
import { parseInquiry } from "./inquiry.ts";
import { modePage, parseModes } from "./mode.ts";
import { MOST_UNITS, parseReportLuns } from "./report_luns.ts";
import { parseIdentifiers, parseLimits, parseProvisioning, parseRotation, vpdBody } from "./vpd.ts";

const bytes = (hex: string) => Uint8Array.fromHex(hex.replaceAll(" ", ""));

Deno.test("readOrWrite() takes ten bytes while that is enough", () => {
  const hex = (...args: Parameters<typeof readOrWrite>) => readOrWrite(...args).toHex();
  assertEquals(hex(false, 0x12345678, 0xffff), "28001234567800ffff00");
  assertEquals(hex(true, 1, 2, 1), "2a200000000100000200");
  assertEquals(hex(false, 2 ** 32, 1), "88000000000100000000000000010000");
  assertEquals(hex(true, 0, 65536), "8a000000000000000000000100000000");
});

Deno.test("other CDBs have their numbers where SCSI wants them", () => {
  assertEquals(inquiry(36).toHex(), "120000002400");
  assertEquals(inquiry(252, 0x83).toHex(), "12018300fc00");
  assertEquals(writeSame16(2 ** 33 + 1, 3, true).toHex(), "93080000000200000001000000030000");
  assertEquals(
    unmapRanges([[1, 2], [2 ** 32, 5]]).toHex(),
    "0026002000000000" + "00000000000000010000000200000000" + "00000001000000000000000500000000",
  );
});

Deno.test("parseInquiry() reads type and names, and makes control characters harmless", () => {
  const said = bytes("05 80 05 32 1f 01 00 00");
  const text = new TextEncoder().encode("QEMU    QEMU CD\x1b[2J     2.5+");
  const found = parseInquiry(Uint8Array.of(...said, ...text))!;
  assertEquals([found.typeName, found.removable, found.protect], ["cdrom", true, true]);
  assertEquals([found.vendor, found.product, found.revision], ["QEMU", "QEMU CD?[2J", "2.5+"]);
  assertEquals(parseInquiry(bytes("7f 00 06 02 00"))!.qualifier, 3);
  assertEquals(parseInquiry(bytes("00 00")), undefined);
});

Deno.test("parseReportLuns() takes what can be addressed, each once, in order", () => {
  const list = "00000030 00000000" + "4005000000000000" + "0003000000000000" + "0003000000000000" +
    "0100000000000000" + "c101000000000000" + "0001000100000000";
  assertEquals(parseReportLuns(bytes(list)), [3, 5]);
  // It says that it is longer than it is.
  assertEquals(parseReportLuns(bytes("ffffffff 00000000 0002000000000000 0003")), [2]);
  assertEquals(parseReportLuns(bytes("00")), []);
});

Deno.test("parseReportLuns() takes 256 at most (D-96)", () => {
  const list = new Uint8Array(8 + 8 * 16384);
  const view = new DataView(list.buffer);
  view.setUint32(0, 8 * 16384);
  for (let lun = 0; lun < 16384; lun++) view.setUint16(8 + 8 * lun, 0x4000 | lun);
  assertEquals(parseReportLuns(list).length, MOST_UNITS);
});

Deno.test("parseCapacity() reads both forms, and refuses what cannot be", () => {
  assertEquals(parseCapacity(bytes("000007ff 00000200"))?.blocks, 2048);
  assertEquals(needsCapacity16(bytes("ffffffff 00000200")), true);
  const long = parseCapacity(bytes("00000001 00000000 00001000 05 01 c0 00"))!;
  assertEquals([long.blocks, long.blockSize, long.physicalBlockSize], [2 ** 32 + 1, 4096, 8192]);
  assertEquals([long.protectionType, long.thin, long.unmappedZeroes], [3, true, true]);
  for (
    const wrong of [
      "000007ff 00000000",
      "000007ff 00000201",
      "000007ff 00000100",
      "000007ff 00020000",
      "ffffffff ffffffff 00000200 00000000",
      "000007",
    ]
  ) assertEquals(parseCapacity(bytes(wrong)), undefined, wrong);
});

Deno.test("parseModes() finds the caching page behind block descriptors and other pages", () => {
  const caching = "08 12 04" + "00".repeat(17);
  const head = (rest: string) => bytes(`${(3 + rest.length / 2).toString(16)} 00 80 08` + rest);
  const all = head("00".repeat(8) + "010a" + "00".repeat(10) + caching.replaceAll(" ", ""));
  assertEquals(parseModes(all), { writeProtected: true, writeCache: true });
  assertEquals(modePage(all, 1)?.length, 12);
  const off = all.slice();
  off[off.length - 18] = 0;
  assertEquals(parseModes(off)?.writeCache, false);
  // Nothing is known of a cache: there may be one.
  assertEquals(parseModes(bytes("03 00 00 00")), { writeProtected: false, writeCache: true });
  assertEquals(parseModes(bytes("03")), undefined);
});

Deno.test("pages of vital product data are taken apart", () => {
  assertEquals(vpdBody(bytes("00 80 00 03 41 42 43 44"), 0x80)?.toHex(), "414243");
  assertEquals(vpdBody(bytes("00 83 00 03 41 42 43"), 0x80), undefined);
  const names = "02 01 00 04 41 42 43 20" + "01 13 00 02 12 34" + "02 00 00 ff 41";
  assertEquals(parseIdentifiers(bytes(names)), [
    { association: 0, kind: "T10 vendor", name: "ABC" },
    { association: 1, kind: "NAA", name: "1234" },
  ]);
  const limits = bytes("00".repeat(60));
  limits.set([1, 2], 18);
  assertEquals(parseLimits(limits).mostUnmap, 0x0102);
  assertEquals(parseLimits(new Uint8Array(0)).mostSame, 0);
  assertEquals(parseProvisioning(bytes("00 e4")), { unmap: true, same: true, zeroes: true });
  assertEquals([bytes("0000"), bytes("0001"), bytes("1c20")].map(parseRotation), [
    undefined,
    0,
    7200,
  ]);
});

Deno.test("whatever a unit says, it is taken apart without harm (D-95)", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (said) => {
    parseInquiry(said);
    const { length } = parseReportLuns(said);
    assertEquals(length <= MOST_UNITS, true);
    const capacity = parseCapacity(said);
    if (capacity) assertEquals(Number.isSafeInteger(capacity.blocks * capacity.blockSize), true);
    parseModes(said);
    modePage(said, 8);
    for (const { name } of parseIdentifiers(said)) assertEquals(/^[\x20-\x7e]*$/.test(name), true);
    parseLimits(said);
    parseProvisioning(said);
    parseRotation(said);
    vpdBody(said, 0x80);
  }));
});
