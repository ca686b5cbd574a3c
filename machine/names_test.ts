import { assertEquals } from "@std/assert";
import { parseNames, preferNames } from "./names.ts";
import { BUILT_IN_NAMES } from "./names_built_in.ts";

const TEXT = `# a comment
0001  SafeNet (wrong ID)
1af4  Red Hat, Inc.
\t1041  Virtio 1.0 network device
\t\t1af4 1042  A board, not a device
# between
\t1044  Virtio 1.0 RNG
1b36  Red Hat, Inc.
\t1042  Another vendor's device
C 01  Mass storage controller
\t06  SATA controller
\t\t01  AHCI 1.0
C 02  Network controller
\t00  Ethernet controller`;

Deno.test("parseNames finds vendors, devices, subclasses and classes", () => {
  const names = parseNames(TEXT);
  assertEquals(names.vendor(0x1af4), "Red Hat, Inc.");
  assertEquals(names.device(0x1af4, 0x1041), "Virtio 1.0 network device");
  assertEquals(names.device(0x1af4, 0x1044), "Virtio 1.0 RNG");
  assertEquals(names.subclass(0x0106), "SATA controller");
  assertEquals(names.subclass(0x0200), "Ethernet controller");
  assertEquals(names.baseClass(0x02), "Network controller");
});

Deno.test("parseNames does not confuse boards, other vendors' devices and interfaces with what is asked", () => {
  const names = parseNames(TEXT);
  assertEquals(names.vendor(0x1041), undefined);
  assertEquals(names.device(0x1af4, 0x1042), undefined);
  assertEquals(names.device(0x0001, 0x1041), undefined);
  assertEquals(names.subclass(0x0101), undefined);
  assertEquals(names.subclass(0x0206), undefined);
  assertEquals(names.baseClass(0x03), undefined);
});

Deno.test("parseNames reads lines that end as on Windows, and nothing from an empty file", () => {
  assertEquals(parseNames(TEXT.replaceAll("\n", "\r\n")).device(0x1af4, 0x1044), "Virtio 1.0 RNG");
  assertEquals(parseNames("").vendor(0x1af4), undefined);
});

Deno.test("preferNames fills what the first table lacks from the second", () => {
  const names = preferNames(parseNames("1af4  A maker"), BUILT_IN_NAMES);
  assertEquals(names.vendor(0x1af4), "A maker");
  assertEquals(names.device(0x1af4, 0x1042), "Virtio 1.0 block device");
  assertEquals(names.subclass(0x0604), "PCI bridge");
  assertEquals(names.baseClass(0xff), "Unassigned class");
});
