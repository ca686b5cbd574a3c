import { assertEquals } from "@std/assert";
import { virtioTypeName } from "./virtio_types.ts";

Deno.test("virtioTypeName has the specification's names, and numbers for what it does not know", () => {
  assertEquals([4, 8, 63].map(virtioTypeName), ["entropy", "SCSI host", "type 63"]);
});
