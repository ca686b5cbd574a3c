/**
 * Devices that `serve` serves by vhost-user, held against the specification over that wire.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { checkDevice, CHECKS, type Result } from "../conform/mod.ts";
import { type BackEndKind, openKernel } from "../mod.ts";
import { Folder, served } from "./support/back_ends.ts";
import "./support/libc.ts";

const TYPES: Readonly<Partial<Record<BackEndKind, number>>> = { blk: 2, rng: 4 };
const QUICK = CHECKS.filter(({ misuse, long }) => !misuse && !long);

/** Checks a model that another program serves. */
async function check(model: string, kind: BackEndKind, only = "", ...more: readonly string[]) {
  using folder = new Folder();
  const socket = folder.of("socket");
  await using _served = await served(model, socket, ...more);
  await using kernel = await openKernel({ machine: "vhost-user", vhostUser: [{ kind, socket }] });
  const checks = QUICK.filter(({ name }) => name.startsWith(only));
  return await checkDevice(kernel.nodes[0]!.function, checks, {
    type: TYPES[kind]!,
    write: true,
    patience: 3000,
  });
}

const wrong = ({ verdict }: Result) => verdict !== "conforms" && verdict !== "not applicable";
const text = ({ check, verdict, why }: Result) => `${check.name}: ${verdict}: ${why}`;

for (const [model, kind] of [["blk", "blk"], ["random", "rng"]] as const) {
  Deno.test(`${model}, served by vhost-user, conforms over that wire #conform:vhost_user`, async () => {
    const results = await check(model, kind);
    assertEquals(results.filter(wrong).map(text), []);
    assert(results.filter((each) => !wrong(each)).length > 100);
    const names = results.filter(({ verdict }) => verdict === "conforms")
      .map(({ check }) => check.name);
    for (const name of ["rings.in_order", "packed.laps", "reset.after_in_flight"]) {
      assert(names.includes(name), name);
    }
  });
}

Deno.test("a disk that lies by vhost-user is found over that wire #conform:vhost_user", async () => {
  const results = await check("blk", "blk", "rings.room", "--lie", "D-45");
  assertEquals(results.map(({ verdict }) => verdict), ["violates"]);
});
