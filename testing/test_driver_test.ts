import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { EntropyModel } from "@virtio/random/model";
import { BROKEN } from "../tests/support/broken_drivers.ts";
import { entropyDriver, fixture } from "../tests/support/plugin.ts";
import type { ClientLane } from "../core/bus/client_lane.ts";
import { Status, Word } from "../core/bus/lane.ts";
import { RequestError } from "../core/bus/request_error.ts";
import type { AnyPlugin } from "../core/plugin/pci_plugin.ts";
import {
  type DriverReport,
  type DriverRow,
  DriverTestError,
  type DriverTestOptions,
  failureTexts,
  mustPass,
  ROWS,
  rowText,
  testDriver,
} from "./mod.ts";

/** One request, to its end. */
async function ask(lane: ClientLane): Promise<void> {
  const slot = await lane.taken("Cannot ask");
  lane.setWord(slot, Word.length, 256);
  const { promise, resolve } = Promise.withResolvers<number>();
  lane.submit(slot, (_, status) => resolve(status));
  lane.publish();
  const status = await promise;
  lane.release(slot);
  if (status !== Status.ok) throw new RequestError("Cannot ask", status);
}

/** Tests a driver that stands here as text. */
async function test(
  text: string,
  more: Partial<DriverTestOptions<unknown, EntropyModel>> = {},
): Promise<DriverReport> {
  const plugin_api = import.meta.resolve("../core/plugin/mod.ts");
  using plugin = fixture(text.replace("@virtio/deno/plugin", plugin_api));
  const { default: driver } = await import(`file://${plugin.folder}/mod.ts`) as {
    default: AnyPlugin;
  };
  return await testDriver(driver, () => new EntropyModel(), {
    folder: plugin.folder,
    deadline: 1500,
    use: ({ lanes }) => Promise.all(Array.from({ length: 20 }, () => ask(lanes.get("requests")!))),
    ...more,
  });
}

Deno.test("there is a broken driver for each row", () => {
  assertEquals(Object.keys(BROKEN), [...ROWS]);
});

for (const row of ROWS) {
  const { text, isolation, lies, found } = BROKEN[row];
  Deno.test(`a driver that is broken so that it fails ${row} does #core:test_driver`, async () => {
    const { rows } = await test(text, {
      // The one that hangs must not do so here.
      rows: [row],
      ...(isolation && { isolations: [isolation] }),
      ...(lies && { lies }),
    });
    const failed = rows.filter(({ result }) => result === "failed");
    assert(failed.length > 0, rows.map(rowText).join("\n"));
    for (const { mistake } of failed) assertMatch(mistake!.found, found);
  });
}

Deno.test("plan: the same seed makes the same devices, another one others #core:test_driver_seed", async () => {
  // Wrong for few devices only: none of those that have one thing changed.
  const plan = `const [size] = offer.queues;
    if (offer.features % 7n === 3n && size !== 64 && size > 2) throw new Error("size " + size);
    return { queues: { requests: { index: 0, size: 8 } }, lanes: { requests: { slots: 8, slotBytes: 4096 } } };`;
  const found = async (seed: number) => {
    const { rows: [row] } = await test(entropyDriver({ plan }), { rows: ["plan"], seed });
    return row!.mistake && `${row!.mistake.step}: ${row!.mistake.found}`;
  };
  const all = await Promise.all([1, 1, 2, 3, 4, 5].map(found));
  assertEquals(all[0], all[1]);
  const failed = all.filter((each) => each !== undefined);
  assert(new Set(failed).size > 1, JSON.stringify(all));
  for (const each of failed) {
    assertMatch(each, /offered device \d+ of seed \d: plan\(\) throws .*size/);
  }
});

Deno.test("a driver that is in order passes each row, and what does not apply says why #core:test_driver", async () => {
  const report = await test(entropyDriver(), { lies: ["D-41", "D-46", "D-60", "D-64"] });
  mustPass(report);
  assertEquals(new Set(report.rows.map(({ row }) => row)), new Set(ROWS));
  const skipped = report.rows.filter(({ result }) => result === "notApplicable");
  assertEquals(skipped.map(rowText), [
    "queue reset (inline): does not apply: it has no queueReset(): device and driver are started anew instead",
  ]);
});

Deno.test("a driver that hangs is not run inline, where it would hang its test #core:test_driver", async () => {
  const { rows } = await test(BROKEN.hang.text, { rows: ["hang", "types"] });
  const types = rows.find(({ row }) => row === "types");
  assertEquals([types?.result, types?.reason], [
    "notApplicable",
    "it hangs, and would hang this program",
  ]);
});

Deno.test("mustPass() throws one error that says all, and none where all is well #core:test_driver", async () => {
  const report = await test(BROKEN.start.text, { rows: ["start"], isolations: ["inline"] });
  const error = assertThrows(() => mustPass(report), DriverTestError);
  assertMatch(
    error.message,
    /^The driver fixture failed 1 of 1 tests\.\nstart \(inline\): failed while it is started\n {2}found: {2}the driver failed: Error: not today[^]*\n {2}wanted: it plans, and is ready$/,
  );
  assertEquals(error.report, report);
  assertThrows(() => mustPass({ driver: "idle", rows: [] }), TypeError, "Nothing was tested of");
});

Deno.test("what several tests came to is told once, with the names of some of them #core:test_driver_alike", () => {
  const failed = (row: DriverRow["row"], found: string, detail?: string): DriverRow => ({
    ...{ row, isolation: "inline", result: "failed", milliseconds: 1 },
    ...(detail && { detail }),
    mistake: { step: "it serves", found, wanted: "it goes on" },
  });
  const oops = "Error: oops\n at mod.ts:19:35";
  assertEquals(
    failureTexts([
      failed("start", oops),
      { row: "types", isolation: "inline", result: "passed", milliseconds: 1 },
      failed("leak", "it loses"),
      ...["D-41", "D-42", "D-43", "D-44", "D-45", "D-46", "D-47", "D-48"]
        .map((lie) => failed("lies", oops, lie)),
    ]),
    [
      "start (inline): failed while it serves\n  found:  Error: oops\n     at mod.ts:19:35\n  wanted: it goes on\n" +
      "  so, too: lies D-41 (inline), lies D-42 (inline), lies D-43 (inline), lies D-44 (inline), " +
      "lies D-45 (inline), lies D-46 (inline), and 2 more",
      "leak (inline): failed while it serves\n  found:  it loses\n  wanted: it goes on",
    ],
  );
});
