import { megabytesPerSecond } from "../../core/class/mod.ts";
import type { Context } from "../command.ts";
import { printDeviceJson } from "../json.ts";
import type { DiskInUse } from "../disk.ts";
import { sizeInFull } from "./size.ts";
import type { Transferred } from "./transfer.ts";

/**
 * Tells what was moved.
 *
 * @param options Whether the standard output is taken by the bytes themselves; and facts to add to the JSON.
 */
export function tellTransfer(
  context: Context,
  command: string,
  use: DiskInUse,
  { bytes, sha256, milliseconds }: Transferred,
  { quiet = false, ...facts }: { readonly quiet?: boolean; readonly verified?: boolean } = {},
): void {
  const rate = megabytesPerSecond(bytes, milliseconds);
  if (context.options.json && !quiet) {
    return printDeviceJson(context, command, use, {
      bytes,
      sha256,
      megabytesPerSecond: rate,
      ...facts,
    });
  }
  const verified = facts.verified ? ", read back and compared" : "";
  context.talk(
    `${sizeInFull(bytes)} at ${rate} MB/s, sha256 ${sha256}${verified}`,
  );
}
