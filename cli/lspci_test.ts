import { assertEquals } from "@std/assert";
import { libc } from "../core/linux/libc.ts";
import { readIdentity } from "../core/pci/identity.ts";
import { BUILT_IN_NAMES } from "../machine/names_built_in.ts";
import { pciNames } from "../machine/pci_names.ts";
import { openLocal } from "../core/platform/vfio/local.ts";
import { testWith } from "../tests/support/needs.ts";
import { lspciLine, needsDomain } from "./lspci.ts";
import { patience } from "../tests/support/patience.ts";

libc(); // Open before the tests: it stays open, which would count as a leak of the first one.

/** What lspci says about this machine, a line each; undefined where there is no lspci or no PCI. */
async function realLspci(): Promise<string[] | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("lspci", {
      signal: patience(),
      args: ["-nn"],
      stderr: "null",
      env: { LC_ALL: "C" },
    }).output();
    return success
      ? new TextDecoder().decode(stdout).split("\n").filter((line) => line)
      : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

const expected = await realLspci();

testWith(
  expected ? undefined : "lspci -nn does not run here (package pciutils)",
  "lspciLine prints this machine's functions exactly as lspci -nn does",
  async () => {
    await using local = openLocal({ loop: { add() {}, remove() {} } });
    const names = pciNames();
    const withDomain = needsDomain(local.functions.map(({ address }) => address));
    const lines = local.functions.map(({ address, config }) =>
      lspciLine(address, readIdentity(config), names, withDomain)
    );
    assertEquals(lines, expected);
  },
);

const UNKNOWN = { subsystemVendor: 0, subsystem: 0, revision: 0 };

Deno.test("lspciLine shows numbers where there are no names", () => {
  const line = (ids: { vendor: number; device: number; class: number }) =>
    lspciLine("0000:00:01.0", { ...UNKNOWN, ...ids }, BUILT_IN_NAMES, false);
  assertEquals(
    line({ vendor: 0xabcd, device: 0x12, class: 0x0200ff }),
    "00:01.0 Ethernet controller [0200]: Device [abcd:0012]",
  );
  assertEquals(
    line({ vendor: 0x1af4, device: 0x9999, class: 0x02ee00 }),
    "00:01.0 Network controller [02ee]: Red Hat, Inc. Device [1af4:9999]",
  );
  assertEquals(
    line({ vendor: 0x1af4, device: 0x9999, class: 0xee0000 }),
    "00:01.0 Class [ee00]: Red Hat, Inc. Device [1af4:9999]",
  );
});

Deno.test("lspciLine shows domains where there are several", () => {
  assertEquals(needsDomain(["0000:00:01.0"]), false);
  assertEquals(needsDomain(["0000:00:01.0", "0001:00:01.0"]), true);
  const identity = { ...UNKNOWN, vendor: 0xabcd, device: 0x12, class: 0x020000, revision: 1 };
  assertEquals(
    lspciLine("0001:00:01.0", identity, BUILT_IN_NAMES, true),
    "0001:00:01.0 Ethernet controller [0200]: Device [abcd:0012] (rev 01)",
  );
});
