import { assert, assertEquals, assertMatch } from "@std/assert";
import type { DriverRow } from "@virtio/deno/testing";
import { scsi as scsiClass } from "../../classes/scsi/mod.ts";
import { testedDriver } from "../../tests/support/driver.ts";
import scsi from "./mod.ts";
import { ScsiModel } from "./model.ts";

const MIB = 2 ** 20;
const UNIT = { target: 0, lun: 0 };
let round = 0;

Deno.test("scsi: the driver passes all that drivers are tested for", async () => {
  const report = await testedDriver(scsi, () => new ScsiModel({ units: [{ capacity: MIB }] }), {
    folder: import.meta.dirname!,
    class: scsiClass,
    async use({ client }) {
      const disk = await client.disk(UNIT);
      const bytes = new Uint8Array(MIB).fill(++round);
      await disk.write(0, bytes);
      // Where the device was started anew, a flush says that writes may be lost; here none are.
      await disk.flush().catch(() => disk.flush());
      const copy = await disk.read(0, MIB);
      assert(copy.every((byte) => byte === bytes[0]), "these are other bytes");
      await client.manage("queryTaskSet", UNIT);
    },
  });
  for (const row of report.rows) if (row.row === "lies") judge(row);
});

/** Lies that a SCSI driver does not look at, or that do it no harm. */
const HARMLESS = [
  ...["D-04", "D-15", "D-16", "D-17", "D-18", "D-24", "D-26", "D-27", "D-28", "D-29", "D-30"],
  ...["D-34", "D-39", "D-45", "D-52", "D-53", "D-55", "D-56", "D-58", "D-59", "D-61", "D-62"],
  ...["D-66", "D-67", "D-68", "D-69", "D-70", "D-71", "D-72"],
  // The host of Linux's vhost-scsi always says that it wrote nothing; what it wrote says how much that is.
  ...["D-46", "D-47"],
];

/** What came of each lie is what should. */
function judge({ detail = "", reason = "" }: DriverRow): void {
  const [id] = detail.split(",");
  const found = `${detail}: ${reason}`;
  if (HARMLESS.includes(id!)) assertEquals(reason, "served", found);
  // Nothing tells good data from what is written over them before they are copied out.
  else if (id === "D-54") assertMatch(reason, /^served$|these are other bytes/, found);
  // Whether the driver sees it depends on when it looks.
  else if (id === "D-60") assertMatch(reason, /^(served|given up: .* \[D-\d\d\])$/, found);
  else assertMatch(reason, /^refused|^given up: .* \[D-\d\d\]$/, found);
}
