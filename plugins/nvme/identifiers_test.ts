import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { eui64, nguid, subsystemName } from "./identifiers.ts";

Deno.test("the name of a subsystem is a UUID's, and that of its serial number #nvme:identifiers", () => {
  const name = subsystemName("SN-1");
  assertMatch(
    name,
    /^nqn\.2014-08\.org\.nvmexpress:uuid:[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-a[\da-f]{3}-[\da-f]{12}$/,
  );
  assertEquals(name, subsystemName("SN-1"));
  assertNotEquals(name, subsystemName("SN-2"));
});

Deno.test("namespaces have identifiers of their own, given locally #nvme:identifiers", () => {
  const all = ["SN-1", "SN-2"].flatMap((serial) => [1, 2, 256].map((nsid) => nguid(serial, nsid)));
  assertEquals(new Set(all.map((each) => each.toHex())).size, all.length);
  const id = eui64("SN-1", 1);
  assertEquals([id.length, ...id.subarray(0, 3)], [8, 0x02, 0, 0]);
  assertEquals(nguid("SN-1", 1).subarray(8), id);
});
