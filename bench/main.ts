/**
 * All benchmarks: the ring beside its C reference, and a disk through the whole of the system.
 *
 *     deno task bench [--json]
 *
 * @module
 */

import { parseArgs } from "@std/cli";
import { benchBlock, type BlockFigure } from "./blk.ts";
import type { Figure } from "./figure.ts";
import { benchReference } from "./reference.ts";
import { benchRing } from "./ring.ts";

const { json } = parseArgs(Deno.args, { boolean: ["json"] });

const reference = await benchReference();
const ring = await benchRing();
const block = await benchBlock();

if (json) {
  console.log(JSON.stringify({ schema: 1, ring: { c: reference, typescript: ring }, block }));
} else print(reference, ring, block);

function print(
  c: readonly Figure[],
  typescript: readonly Figure[],
  disk: readonly BlockFigure[],
): void {
  console.log("ring, ns a request   descriptors  batch      C     TS  ratio");
  for (const { kind, descriptors, batch, ns } of typescript) {
    const same = c.find((figure) =>
      figure.kind === kind && figure.descriptors === descriptors && figure.batch === batch
    );
    const columns = [kind.padEnd(20), String(descriptors).padStart(11), String(batch).padStart(6)];
    const ratio = same
      ? [same.ns.toFixed(1), ns.toFixed(1), (ns / same.ns).toFixed(1)]
      : ["-", ns.toFixed(1), "-"];
    console.log([...columns, ...ratio.map((text) => text.padStart(6))].join(" "));
  }
  console.log(
    "\nblk, 4 KiB reads of QEMU null-co, thousand a second   depth  inline  process  ratio",
  );
  for (
    const { device, depth, copy, iops } of disk.filter(({ isolation }) => isolation === "inline")
  ) {
    const other = disk.find((figure) =>
      figure.isolation === "process" && figure.device === device && figure.depth === depth &&
      figure.copy === copy
    )!;
    const what = copy ? `${device}, with the client's copy` : device;
    const columns = [
      Math.round(iops / 1000),
      Math.round(other.iops / 1000),
      (iops / other.iops).toFixed(2),
    ];
    console.log(
      what.padEnd(53),
      String(depth).padStart(5),
      ...columns.map((text) => String(text).padStart(7)),
    );
  }
}
