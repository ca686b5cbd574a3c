import { assertEquals } from "@std/assert";
import type { PciIdentity } from "../pci/identity.ts";
import type { Match } from "../pci/match.ts";
import { choose } from "./choose.ts";
import type { Manifest } from "./manifest.ts";

const RNG: PciIdentity = {
  vendor: 0x1af4,
  device: 0x1044,
  subsystemVendor: 0x1af4,
  subsystem: 0x1100,
  class: 0xffff00,
  revision: 1,
};

function manifest(name: string, ...match: Match[]): Manifest {
  const limits = { memoryMiB: 16, heapMiB: 256 };
  const file = `${name}/plugin.json`;
  return {
    name,
    entry: "./mod.ts",
    class: "entropy",
    match,
    limits,
    config: [],
    features: [],
    tunables: [],
    file,
  };
}

Deno.test("choose takes the rule that says most, wherever it stands #core:P-30", () => {
  const wide = manifest("wide", { vendor: "1af4" });
  const exact = manifest("exact", { vendor: "1af4", device: "1005" }, {
    vendor: "1af4",
    device: "1044",
  });
  assertEquals(choose([wide, exact], RNG).manifest, exact);
  assertEquals(choose([exact, wide], RNG).manifest, exact);
});

Deno.test("choose takes the first of two that say the same", () => {
  const [mine, theirs] = [
    manifest("mine", { device: "1044" }),
    manifest("theirs", { vendor: "1af4" }),
  ];
  assertEquals(choose([mine, theirs], RNG).manifest, mine);
  assertEquals(choose([theirs, mine], RNG).manifest, theirs);
});

Deno.test("choose tells every rule that it tried and why it did not fit", () => {
  const disk = manifest("disk", { vendor: "1af4", device: "1042" }, { class: "01" });
  const { manifest: chosen, tried } = choose([disk], RNG);
  assertEquals(chosen, undefined);
  assertEquals(tried.map(({ result }) => result), [
    { field: "device", wanted: "1042", found: "1044" },
    { field: "class", wanted: "01", found: "ffff00" },
  ]);
});
