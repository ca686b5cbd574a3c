import { mustPass, testDriver } from "@virtio/deno/testing";
import { balloon as balloonClass } from "../../classes/balloon/mod.ts";
import balloon from "./mod.ts";
import { BalloonModel } from "./model.ts";

/** Sizes that the device wants, one after the other, in pages. */
const SIZES = [300, 0, 700, 10, 500, 0, 256];

Deno.test("balloon: the driver passes all that drivers are tested for", async () => {
  const report = await testDriver(balloon, () => new BalloonModel(), {
    folder: import.meta.dirname!,
    tunables: { "balloon.arena_mib": 4 },
    class: balloonClass(() => ({})),
    async use({ client, model, signal }) {
      for (const size of SIZES) {
        model.want(size);
        for await (const { requested, actual } of client.changes(signal)) {
          if (requested === size && actual === size) break;
        }
        signal.throwIfAborted();
      }
    },
  });
  mustPass(report);
});
