import { assert } from "@std/assert";
import { entropy } from "../../classes/entropy/mod.ts";
import { testedDriver } from "../../tests/support/driver.ts";
import random from "./mod.ts";
import { EntropyModel } from "./model.ts";

Deno.test("random: the driver passes all that drivers are tested for", async () => {
  await testedDriver(random, () => new EntropyModel(), {
    folder: import.meta.dirname!,
    class: entropy,
    async use({ client }) {
      for (const bytes of await Promise.all(Array.from({ length: 30 }, () => client.read(4096)))) {
        assert(new Set(bytes).size > 10, "these are no random bytes");
      }
    },
  });
});
