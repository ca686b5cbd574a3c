/**
 * The entropy source on a simulated machine: sources that are broken or lie (D-93), and the command `random`.
 *
 * @module
 */

import { mixEntropy } from "../classes/entropy/mod.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { EntropyModel, type EntropyOptions } from "@virtio/random/model";
import { RequestError } from "../core/bus/request_error.ts";
import { Status } from "../core/bus/lane.ts";
import { DRIVERS } from "../drivers.ts";
import { openKernel } from "../mod.ts";
import "./support/libc.ts";
import { complaints, program, run, start } from "./support/program.ts";

const ISOLATIONS = ["process", "inline"] as const;
/** Sources that must not be believed, and what is said of each. */
const LIARS: readonly (readonly [what: string, options: EntropyOptions, says: RegExp])[] = [
  ["answers with nothing for ever", { most: 0 }, /8 bad answers in a row, the last one was empty/],
  ["gives the same byte for ever", { fill: 0x55 }, /failed the test "repetition count"/],
  ["says that it wrote, and did not", { fill: "nothing" }, /failed the test "repetition count"/],
  ["gives its first answer for ever", { repeats: true }, /failed the test "earlier answer again"/],
  [
    "gives a piece of its first answer for ever",
    { repeats: true, most: 100 },
    /failed the test "earlier answer again"/,
  ],
];

for (const isolation of ISOLATIONS) {
  for (const [what, options, says] of LIARS) {
    Deno.test(`random: a source that ${what} is an error in the end (D-93, ${isolation}) #random:D-93`, async () => {
      await using kernel = await openKernel({
        machine: "simulated",
        devices: [new EntropyModel(options), new EntropyModel()],
        drivers: DRIVERS,
        isolation,
      });
      const { client } = await kernel.attachFirst("entropy");
      const error = await assertRejects(() => client.read(20_000), RequestError);
      assertMatch(error.message, says);
      assertEquals(error.status, Status.invalid);
      assert(client.health.state !== "good");
      // With a good one it is mixed, if the user can do without it, and never takes its place.
      const { client: good } = await kernel.attachFirst("entropy");
      const bytes = await mixEntropy([client, good], { least: 1, local: false }).read(4096);
      assertEquals(new Set(bytes).size, 256);
    });
  }

  Deno.test(`random: a source that gives a byte at a time gives all of them (${isolation}) #random:used_len`, async () => {
    await using kernel = await openKernel({
      machine: "simulated",
      devices: [new EntropyModel({ most: 1 })],
      drivers: DRIVERS,
      isolation,
    });
    const { client } = await kernel.attachFirst("entropy");
    const bytes = await client.read(500);
    assert(new Set(bytes).size > 150);
    assert(client.health.answers >= 500 && client.health.ahead <= 1);
  });
}

/** The program with its only permission. */
const ours = (line: string) => program(...line.split(" "));

async function ran(line: string) {
  const { code, out, err } = await run(...ours(line));
  return { code, out, err };
}

Deno.test("random writes as many bytes as it was asked for, in each form", async () => {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const raw = await ran("random 10000 --machine simulated");
  assertEquals([raw.code, raw.err, raw.out.length], [0, "", 10_000]);
  assert(new Set(raw.out).size === 256);
  assertMatch(text((await ran("random 5 --hex --machine simulated")).out), /^[0-9a-f]{10}\n$/);
  const base64 = text((await ran("random 6 --base64 --machine simulated")).out);
  assertMatch(base64, /^[A-Za-z0-9+/]{8}\n$/);
  const json = JSON.parse(text((await ran("random 3 --json --machine simulated")).out));
  assertEquals([json.bytes, json.hex.length, json.health.state], [3, 6, "good"]);
});

Deno.test("random refuses what it cannot do", async () => {
  for (
    const [line, says] of [
      ["random", "without a number of bytes"],
      ["random -- 5", "it is for QEMU"],
      ["random 1.5", 'Cannot write "1.5" random bytes'],
      ["random 99999999999", "from 0 to 67108864"],
      ["random 5 --hex --base64", "--hex and --base64"],
      ["random 5 --continuous", "Cannot use 5 with --continuous"],
      ["random --continuous --hex", "Cannot use --hex with --continuous"],
    ] as const
  ) {
    const { code, out, err } = await ran(
      `${line} --machine simulated`.replace("random -- 5 --machine simulated", "random -- 5"),
    );
    assertEquals([code, out.length], [2, 0], line);
    assert(err.includes(says), `${line}: ${err}`);
  }
});

Deno.test("random --continuous ends when its output is closed", async () => {
  const child = start(ours("random --continuous --machine simulated"));
  const reader = child.stdout.getReader();
  let bytes = 0;
  while (bytes < 1_000_000) bytes += (await reader.read()).value!.length;
  await reader.cancel();
  const [{ code }, err] = await Promise.all([child.status, new Response(child.stderr).text()]);
  assertEquals([code, err], [0, ""]);
});

for (const [signal, exit] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test(`random --continuous ends in order at ${signal}`, async () => {
    const child = start(ours("random --continuous --machine simulated"));
    const reader = child.stdout.getReader();
    await reader.read();
    child.kill(signal);
    while (!(await reader.read()).done);
    const [{ code }, err] = await Promise.all([child.status, new Response(child.stderr).text()]);
    assertEquals([code, complaints(err)], [exit, ""]);
  });
}

Deno.test("random --continuous ends when its time is over", async () => {
  const child = start(ours("random --continuous --machine simulated --timeout 2"));
  const [{ code }, err] = await Promise.all([
    child.status,
    new Response(child.stderr).text(),
    child.stdout.pipeTo(new WritableStream()),
  ]);
  assertEquals(code, 124);
  assertMatch(err, /^error: Not done after 2 seconds/);
});
