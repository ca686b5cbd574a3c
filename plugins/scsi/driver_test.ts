import { assertEquals } from "@std/assert";
import { mustPass, testDriver } from "@virtio/deno/testing";
import { scsi as scsiClass } from "../../classes/scsi/mod.ts";
import scsi from "./mod.ts";
import { ScsiModel } from "./model.ts";

const MIB = 2 ** 20;
const UNIT = { target: 0, lun: 0 };
let round = 0;

Deno.test("scsi: the driver passes all that drivers are tested for", async () => {
  const report = await testDriver(scsi, () => new ScsiModel({ units: [{ capacity: MIB }] }), {
    folder: import.meta.dirname!,
    class: scsiClass,
    async use({ client }) {
      const disk = await client.disk(UNIT);
      const bytes = new Uint8Array(MIB).fill(++round);
      await disk.write(0, bytes);
      // Where the device was started anew, a flush says that writes may be lost; here none are.
      await disk.flush().catch(() => disk.flush());
      assertEquals((await disk.read(0, MIB)).every((byte) => byte === bytes[0]), true);
      await client.manage("queryTaskSet", UNIT);
    },
  });
  mustPass(report);
});
