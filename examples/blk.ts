/**
 * A disk of zones that only take writes at their ends, as a log: records are appended from many places at once, and
 * found again.
 *
 * Run it with `deno run --allow-ffi examples/blk.ts`.
 *
 * @module
 */

import { DiskModel } from "@virtio/blk/model";
import { openKernel } from "@virtio/deno";

const MIB = 2 ** 20;
const RECORD_BYTES = 4096;

await using kernel = await openKernel({
  machine: "simulated",
  devices: [new DiskModel({ capacity: 16 * MIB, serial: "LOG", zones: { size: MIB } })],
});
const { client: disk } = await kernel.attachFirst("block");
const { zones } = disk;
if (!zones) throw new Error("This disk has no zones");
console.log(
  `${await disk.id()}: ${disk.capacity / zones.zoneSize} zones of ${zones.zoneSize} bytes`,
);

const record = (text: string) => {
  const bytes = new Uint8Array(RECORD_BYTES);
  new TextEncoder().encodeInto(text, bytes);
  return bytes;
};
// The program need not know where the zone ends: the disk says where each record went.
const places = await Promise.all(
  ["one", "two", "three"].map((text) => zones.append(2 * zones.zoneSize, record(text))),
);
await disk.flush();
for (const place of places) {
  const [text] = new TextDecoder().decode(await disk.read(place, RECORD_BYTES)).split("\0");
  console.log(`at ${place - 2 * zones.zoneSize}: ${text}`);
}

const [zone] = await zones.report(2 * zones.zoneSize, 1);
console.log(zone?.state, (zone?.pointer ?? 0) - 2 * zones.zoneSize);
try {
  await disk.write(RECORD_BYTES, record("not at the end"));
} catch (error) {
  console.log((error as Error).message);
}

// prints: LOG: 16 zones of 1048576 bytes
// prints: at 0: one
// prints: at 4096: two
// prints: at 8192: three
// prints: implicitly open 12288
// prints: Cannot write 4096 bytes at 4096: it does not begin at the zone's write pointer
