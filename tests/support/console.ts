/**
 * What tests of consoles share.
 *
 * @module
 */

import { assert } from "@std/assert";
import type { ConsolePort } from "../../classes/console/port.ts";

/** Reads so many bytes from a port that stays open. */
export async function readAll(port: ConsolePort, length: number): Promise<Uint8Array> {
  const all = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const piece = await port.read();
    assert(piece, "the port is open");
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
