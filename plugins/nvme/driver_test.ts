import { assertEquals } from "@std/assert";
import { block } from "../../classes/block/mod.ts";
import { testedDriver } from "../../tests/support/driver.ts";
import nvme from "./mod.ts";
import { NvmeModel } from "./model.ts";

const BYTES = 100 * 1024;
const PLACES = Array.from({ length: 20 }, (_, i) => i * BYTES);
const OPTIONS = { namespaces: { 1: { capacity: 2 ** 22 } } };
let round = 0;

Deno.test("nvme: the driver passes all that drivers are tested for", async () => {
  await testedDriver(nvme, () => new NvmeModel(OPTIONS), {
    folder: import.meta.dirname!,
    class: block,
    liars: {
      "completes commands that it does not have": () =>
        new NvmeModel({ ...OPTIONS, lie: (honest) => [{ ...honest, cid: honest.cid ^ 0x155 }] }),
      "completes each command twice": () =>
        new NvmeModel({ ...OPTIONS, lie: (honest) => [honest, honest] }),
    },
    async use({ client }) {
      const bytes = new Uint8Array(BYTES).fill(++round);
      const write = async () => {
        await Promise.all(PLACES.map((offset) => client.write(offset, bytes)));
        await client.flush();
      };
      await write().catch((error) => {
        // A reset may lose what was not flushed; what wrote it writes it again.
        if (!error.message.includes("write it again")) throw error;
        return write();
      });
      const read = await Promise.all(PLACES.map((offset) => client.read(offset, BYTES)));
      for (const copy of read) assertEquals(copy.every((byte) => byte === bytes[0]), true);
    },
  });
});
