import { assertEquals, assertThrows } from "@std/assert";
import {
  addressOfWord,
  addressWord,
  checkAddress,
  formatScsiAddress,
  parseScsiAddress,
  REPORT_LUNS_UNIT,
} from "./address.ts";

Deno.test("addressWord() has target and LUN in flat addressing, and addressOfWord() reads it", () => {
  for (
    const [target, lun, word] of [
      [0, 0, 0x400000],
      [255, 0, 0x4000ff],
      [3, 300, 0x412c03],
      [1, 16383, 0x7fff01],
    ] as const
  ) {
    assertEquals(addressWord({ target, lun }), word);
    assertEquals(addressOfWord(word), { target, lun });
  }
  assertEquals(addressWord({ target: 2, lun: REPORT_LUNS_UNIT }), 0xc10102);
});

Deno.test("checkAddress() refuses what no unit has", () => {
  for (
    const [target, lun] of [[256, 0], [-1, 0], [0.5, 0], [0, 16384], [0, -1], [0, NaN]] as const
  ) {
    assertThrows(() => checkAddress({ target, lun }, "x"), RangeError, "address.");
  }
});

Deno.test("parseScsiAddress() reads what formatScsiAddress() writes, and LUNs alone", () => {
  for (const text of ["0:0", "255:16383", "3:7"]) {
    assertEquals(formatScsiAddress(parseScsiAddress(text)), text);
  }
  assertEquals(parseScsiAddress("5"), { target: 0, lun: 5 });
  assertEquals(formatScsiAddress({ target: 1, lun: REPORT_LUNS_UNIT }), "1:report-luns");
  for (const text of ["", "0:", ":0", "256:0", "0:16384", "1:2:3", "x", "-1:0", "0:0 "]) {
    assertThrows(() => parseScsiAddress(text), SyntaxError, "wanted target:lun");
  }
});
