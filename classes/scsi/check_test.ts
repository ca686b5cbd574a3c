import { assertEquals } from "@std/assert";
import type { ScsiDisk } from "./disk.ts";
import { parseInquiry } from "./inquiry.ts";
import type { ScsiAnswer } from "./answer.ts";
import { parseSense, type ScsiSense } from "./sense.ts";
import { Status } from "../../core/bus/lane.ts";
import { RequestError } from "../../core/bus/request_error.ts";
import { memoryDisk } from "../../cli/fake_test.ts";
import { checkScsi, type ScsiAdapter } from "./check.ts";

/** Sense data: illegal request, logical block address out of range (SPC-5, 4.4). */
const OUT_OF_RANGE: ScsiSense = parseSense(
  Uint8Array.of(0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0),
)!;

function answer(sense?: ScsiSense): ScsiAnswer {
  // A check needs no more of it.
  return { ended: Status.ok, data: new Uint8Array(512), sense } as ScsiAnswer;
}

/** An adapter whose units are of these types, each on a target of its own. */
function adapter(types: readonly number[], disk: object = memoryDisk(1 << 20)): ScsiAdapter {
  const units = types.map((type, target) => ({
    address: { target, lun: 0 },
    inquiry: parseInquiry(Uint8Array.of(type, 0, 6, 2, 0))!,
  }));
  return {
    maxTarget: 7,
    scan: () => Promise.resolve(units),
    inquiry({ target }) {
      const unit = units[target];
      if (unit) return Promise.resolve(unit.inquiry);
      return Promise.reject(new RequestError("Cannot inquire", Status.failed));
    },
    // A check needs no more of it.
    disk: () => Promise.resolve(disk as ScsiDisk),
    manage: () => Promise.resolve(false),
    execute: () => Promise.resolve(answer(OUT_OF_RANGE)),
  };
}

async function failures(client: ScsiAdapter, write = true): Promise<string[]> {
  const { findings } = await checkScsi(client, { write });
  return findings.filter(({ passed }) => !passed).map(({ name }) => name);
}

Deno.test("checkScsi passes good adapters", async () => {
  for (const types of [[0], [5, 0, 1]]) assertEquals(await failures(adapter(types)), []);
  const { figures, summary } = await checkScsi(adapter([0, 1]), { write: true });
  assertEquals([figures.units, figures["0:0 capacity"], figures["0:0 written"]], [
    2,
    1 << 20,
    true,
  ]);
  assertEquals(summary.endsWith("; 1:0, tape"), true, summary);
});

Deno.test("checkScsi finds nothing to check in an adapter without units #cli:check_nothing", async () => {
  const { findings, nothing } = await checkScsi(adapter([]), { write: true });
  assertEquals([findings.filter(({ passed }) => !passed), nothing], [[], true]);
});

Deno.test("checkScsi asks each disk itself for a block behind its end #cli:check_end", async () => {
  const asked: string[] = [];
  const client: ScsiAdapter = {
    ...adapter([0], memoryDisk(1 << 20)),
    execute(_address, cdb) {
      asked.push(cdb.toHex());
      return Promise.resolve(answer(OUT_OF_RANGE));
    },
  };
  const { findings } = await checkScsi(client, { write: false });
  assertEquals(asked, ["28000000080000000100"]);
  const { passed, detail } = findings.find(({ name }) => name === "unit 0:0: behind the end")!;
  assertEquals([passed, detail.startsWith("refused by the unit: ")], [true, true], detail);
  const lax = { ...client, execute: () => Promise.resolve(answer()) };
  assertEquals(await failures(lax), ["unit 0:0: behind the end"]);
});

Deno.test("checkScsi writes to no disk unless it may", async () => {
  const disk = memoryDisk(1 << 20);
  assertEquals(await failures(adapter([0], disk), false), []);
  assertEquals(disk.writes, 0);
});

Deno.test("checkScsi passes over what has no medium", async () => {
  assertEquals(await failures(adapter([5], { capacity: 0 })), []);
});

Deno.test("checkScsi finds a disk that loses writes, and says which", async () => {
  const disk = Object.assign(memoryDisk(1 << 20), { write: () => Promise.resolve() });
  assertEquals(await failures(adapter([1, 0], disk)), [
    "unit 1:0: read back in pieces",
    "unit 1:0: read back in one request",
  ]);
});

Deno.test("checkScsi finds an adapter that answers for targets that it does not have", async () => {
  const client = {
    ...adapter([0]),
    inquiry: () => Promise.resolve(parseInquiry(new Uint8Array(5))!),
  };
  assertEquals(await failures(client), ["a unit that is not there"]);
});

Deno.test("checkScsi takes an adapter that does not know a function, and none that is never idle", async () => {
  const unknown = new RequestError("Cannot ask", Status.unsupported);
  assertEquals(await failures({ ...adapter([0]), manage: () => Promise.reject(unknown) }), []);
  assertEquals(await failures({ ...adapter([0]), manage: () => Promise.resolve(true) }), [
    "task management",
  ]);
});
