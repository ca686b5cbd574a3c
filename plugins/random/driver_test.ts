import { assert } from "@std/assert";
import { mustPass, testDriver } from "@virtio/deno/testing";
import { entropy } from "../../classes/entropy/mod.ts";
import random from "./mod.ts";
import { EntropyModel } from "./model.ts";

Deno.test("random: the driver passes all that drivers are tested for", async () => {
  const report = await testDriver(random, () => new EntropyModel(), {
    folder: import.meta.dirname!,
    class: entropy,
    async use({ client }) {
      for (const bytes of await Promise.all(Array.from({ length: 30 }, () => client.read(4096)))) {
        assert(new Set(bytes).size > 10, "these are no random bytes");
      }
    },
  });
  mustPass(report);
});
