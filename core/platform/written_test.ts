// No tests, but what the tests of several folders share.
import { assert } from "@std/assert";
import type { Doorbell, WrittenDoorbell } from "../pci/function.ts";

/** A doorbell that is known to be written to. */
export function written(doorbell: Doorbell): WrittenDoorbell {
  assert("message" in doorbell, "it is mapped");
  return doorbell;
}
