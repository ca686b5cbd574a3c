import { assert, assertEquals, assertRejects } from "@std/assert";
import { DriverGone, openKernel, TunableError } from "../mod.ts";
import { fixture } from "./support/plugin.ts";
import "./support/libc.ts";

/** A driver that declines with all that it was told to do. */
const TELLTALE = `
import { definePlugin } from "@virtio/deno/plugin";
export default definePlugin({
  plan: (offer) => ({ decline: JSON.stringify(offer.tunables) }),
  start: () => { throw new Error("It declines"); },
});
`;
const TUNABLES = { fast: true, depth: { usual: 8, least: 1, greatest: 64 }, order: ["up", "down"] };

Deno.test("a driver gets what its user chose, and what is usual for the rest", async () => {
  using plugin = fixture(TELLTALE, { manifest: { tunables: TUNABLES } });
  await using kernel = await openKernel({
    machine: "simulated",
    plugins: [plugin.folder],
    tunables: { "fixture.depth": 32, "fixture.order": "down" },
  });
  const gone = await assertRejects(() => kernel.attachFirst("entropy"), DriverGone);
  assertEquals(
    JSON.parse(gone.message.replace("The driver declines: ", "")),
    { fast: true, depth: 32, order: "down" },
  );
});

Deno.test("a choice that cannot be opens no machine", async () => {
  const error = await assertRejects(
    () => openKernel({ machine: "simulated", tunables: { "blk.speed": "high" } }),
    TunableError,
  );
  assert(error.message.startsWith('Cannot set blk.speed to "high": the driver has no such'));
});
