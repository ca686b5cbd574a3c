import { assertEquals, assertThrows } from "@std/assert";
import type { PciIdentity } from "./identity.ts";
import { formatMatch, type Match, matches, type Mismatch, specificity } from "./match.ts";

const DISK: PciIdentity = {
  vendor: 0x1af4,
  device: 0x1001,
  subsystemVendor: 0x1af4,
  subsystem: 2,
  class: 0x018000,
  revision: 0,
};

const TABLE: readonly [Match, true | Mismatch][] = [
  [{ vendor: "1af4" }, true],
  [{ vendor: "1af4", device: "1001" }, true],
  [{ subsystemVendor: "1af4", subsystem: "0002" }, true],
  [{ class: "01" }, true],
  [{ class: "0180" }, true],
  [{ class: "018000" }, true],
  [{ vendor: "8086" }, { field: "vendor", wanted: "8086", found: "1af4" }],
  [{ vendor: "1af4", device: "1041" }, { field: "device", wanted: "1041", found: "1001" }],
  [{ device: "1041", vendor: "8086" }, { field: "vendor", wanted: "8086", found: "1af4" }],
  [{ subsystem: "0004" }, { field: "subsystem", wanted: "0004", found: "0002" }],
  [{ subsystemVendor: "0002" }, { field: "subsystemVendor", wanted: "0002", found: "1af4" }],
  [{ class: "02" }, { field: "class", wanted: "02", found: "018000" }],
  [{ class: "80" }, { field: "class", wanted: "80", found: "018000" }],
  [{ vendor: "1af4", class: "018001" }, { field: "class", wanted: "018001", found: "018000" }],
];

for (const [match, result] of TABLE) {
  const outcome = result === true ? "fits" : `fails at ${result.field}`;
  Deno.test(`matches: ${formatMatch(match)} ${outcome}`, () => {
    assertEquals(matches(match, DISK), result);
  });
}

Deno.test("matches refuses a rule without fields, which would fit everything", () => {
  assertThrows(() => matches({}, DISK), TypeError, "the rule names none of vendor, device");
  assertThrows(() => specificity({}), TypeError);
});

Deno.test("specificity grows with every digit", () => {
  assertEquals(specificity({ class: "01" }), 2);
  assertEquals(specificity({ vendor: "1af4", device: "1042", class: "018000" }), 14);
});
