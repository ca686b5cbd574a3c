import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { CONTROL_BYTES, LANES } from "../bus/control.ts";
import type { Grant, WirePlan } from "../bus/message.ts";
import { lanePlaces } from "../bus/lane.ts";
import type { DmaRun } from "../dma/address_table.ts";
import { bit, Feature } from "../virtio/features.ts";
import { layoutSplit } from "../virtqueue/layout.ts";
import { makeGrant, queueAddresses } from "./grant.ts";
import { PlanError } from "./plan.ts";

const PAGE = 4096;

/** An arena in runs of so many pages each, with holes between them, the last at the lowest address. */
function arena(pages: readonly number[]): DmaRun[] {
  let address = 2 ** 33;
  return pages.map((count) => {
    address -= 2 * 1024 * PAGE;
    return { address, length: count * PAGE };
  });
}

const plan: WirePlan = {
  features: "0x5",
  queues: [{ name: "requests", index: 1, size: 64, buffers: 3 }],
  lanes: [{ name: "requests", slots: 16, slotBytes: 512 }],
  buffers: [{ name: "headers", bytes: 100 }, { name: "statuses", bytes: 16 }],
  properties: {},
  physical: false,
};

function grant(
  change: Partial<WirePlan> = {},
  pages: readonly number[] = [64],
  features = 0n,
): Grant {
  const places = makeGrant({ ...plan, ...change }, { features, runs: arena(pages) });
  return { ...places, polled: false, resettable: false, physical: false, config: [] };
}

/** All parts of a grant in the arena: first byte, bytes, and whether a device must find it in one piece. */
function parts({ queues, buffers, lanes }: Grant) {
  return [
    ...queues.flatMap(({ name, layout }) => [
      {
        name: `${name}.driver`,
        at: layout.descriptors,
        bytes: layout.device - layout.descriptors,
        whole: true,
      },
      { name: `${name}.device`, at: layout.device, bytes: layout.end - layout.device, whole: true },
    ]),
    ...buffers.map(({ name, offset, bytes }) => ({ name, at: offset, bytes, whole: true })),
    ...lanes.map(({ name, data, slots, slotBytes }) => ({
      name: `lane ${name}`,
      at: data,
      bytes: slots * slotBytes,
      whole: false,
    })),
  ];
}

/** Whether a part lies in one run. */
function inOneRun(runs: readonly DmaRun[], at: number, bytes: number): boolean {
  let start = 0;
  return runs.some(({ length }) => {
    const inside = at >= start && at + bytes <= start + length;
    start += length;
    return inside;
  });
}

function checkGrant(given: Grant): void {
  const size = given.runs.reduce((sum, { length }) => sum + length, 0);
  const all = parts(given).toSorted((a, b) => a.at - b.at);
  for (const [i, { name, at, bytes, whole }] of all.entries()) {
    assertEquals(at % PAGE, 0, `${name} does not start a page`);
    assert(at >= 0 && at + bytes <= size, `${name} is not inside the arena`);
    const next = all[i + 1];
    const pages = Math.ceil((at + bytes) / PAGE) * PAGE;
    assert(!next || pages <= next.at, `${name} shares a page with ${next?.name}`);
    if (whole) {
      assert(inOneRun(given.runs, at, bytes), `${name} is not in one piece for the device`);
    }
  }
  let control = LANES;
  for (const lane of given.lanes) {
    assertEquals(lane.control % 64, 0);
    assert(lane.control >= control, "lanes overlap in control memory");
    control = lanePlaces(lane.control, lane.slots).end * 4;
  }
  assert(control <= CONTROL_BYTES, "lanes leave control memory");
}

Deno.test("makeGrant() gives all that was planned", () => {
  const given = grant({}, [64], bit(Feature.EVENT_IDX) | bit(Feature.INDIRECT_DESC));
  checkGrant(given);
  const [queue] = given.queues;
  assertEquals([queue!.name, queue!.index, queue!.eventIndex], ["requests", 1, true]);
  assertEquals([queue!.layout.size, queue!.layout.segments], [64, 4]);
  assertEquals(given.features, "0x5");
  assertEquals(given.buffers.map(({ name, bytes }) => [name, bytes]), [["headers", 100], [
    "statuses",
    16,
  ]]);
  assertEquals(given.lanes.map(({ slots, slotBytes }) => [slots, slotBytes]), [[16, 512]]);
});

Deno.test("makeGrant() follows the agreed features", () => {
  const without = grant().queues[0]!;
  assertEquals([without.eventIndex, without.layout.indirect], [false, undefined]);
  const single = grant(
    { queues: [{ ...plan.queues[0]!, buffers: 1 }] },
    [64],
    bit(Feature.INDIRECT_DESC),
  );
  assertEquals(single.queues[0]!.layout.indirect, undefined, "one buffer needs no table");
});

Deno.test("makeGrant() has tables for the pages of a scattered lane", () => {
  const lanes = [{ name: "requests", slots: 4, slotBytes: 65536 }];
  const given = grant({ lanes }, Array(256).fill(1).with(0, 64), bit(Feature.INDIRECT_DESC));
  // 3 buffers, of which the data may be in 17 pieces.
  assert(given.queues[0]!.layout.segments >= 2 + 17);
});

Deno.test("makeGrant() says what does not fit", () => {
  const cases: readonly (readonly [string, Partial<WirePlan>, number[]])[] = [
    ["queue requests needs", {}, [1]],
    ["buffer headers needs 1000000 bytes", { buffers: [{ name: "headers", bytes: 1e6 }] }, [64]],
    ["buffer headers needs", { buffers: [{ name: "headers", bytes: 2 ** 53 - 1 }] }, [64]],
    ["lane requests needs 1048576 bytes", {
      lanes: [{ name: "requests", slots: 16, slotBytes: 65536 }],
    }, [64]],
    ["too many slots", {
      lanes: Array.from({ length: 8 }, (_, i) => ({ name: `l${i}`, slots: 4096, slotBytes: 1 })),
    }, [64]],
  ];
  for (const [says, change, pages] of cases) {
    const error = assertThrows(
      () => grant(change, pages),
      PlanError,
      "Cannot grant the driver's plan",
    );
    assert(error.message.includes(says), error.message);
  }
});

for (const features of [0n, bit(Feature.INDIRECT_DESC)]) {
  Deno.test(`makeGrant() refuses a queue that no run has room for, features ${features}`, () => {
    const queues = [{ name: "requests", index: 0, size: 1024, buffers: 3 }];
    assertThrows(
      () => checkGrant(grant({ queues }, Array(200).fill(2), features)),
      PlanError,
      "queue requests",
    );
  });
}

Deno.test("makeGrant() refuses a buffer that no run has room for", () => {
  const buffers = [{ name: "headers", bytes: 3 * PAGE }];
  const pages = [64, ...Array(64).fill(2)];
  checkGrant(grant({ buffers }, pages));
  assertThrows(
    () => checkGrant(grant({ buffers, queues: [] }, Array(64).fill(2))),
    PlanError,
    "buffer headers",
  );
});

Deno.test("makeGrant() refuses with PlanError what tables are too small for", () => {
  const lanes = [{ name: "requests", slots: 2, slotBytes: 2 ** 20 }];
  const change = { lanes };
  assertThrows(
    () => grant(change, Array(1024).fill(1).with(0, 512), bit(Feature.INDIRECT_DESC)),
    PlanError,
  );
});

Deno.test("whatever is planned, a grant is inside its arena and overlaps nowhere", () => {
  const named = <T>(item: fc.Arbitrary<T>) =>
    fc.array(item, { maxLength: 4 }).map((list) =>
      list.map((each, i) => ({ name: `n${i}`, index: i, ...each }))
    );
  const plans = fc.record({
    features: fc.constant("0x0"),
    queues: named(fc.record({
      size: fc.integer({ min: 0, max: 10 }).map((exponent) => 1 << exponent),
      buffers: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 256 })),
    })),
    lanes: named(fc.record({
      slots: fc.integer({ min: 1, max: 300 }),
      slotBytes: fc.oneof(
        fc.integer({ min: 1, max: 70_000 }),
        fc.integer({ min: 1, max: 2 ** 53 - 1 }),
      ),
    })),
    buffers: named(fc.record({ bytes: fc.integer({ min: 1, max: 20_000 }) })),
    properties: fc.constant({}),
    physical: fc.constant(false),
  });
  const runs = fc.oneof(
    fc.integer({ min: 1, max: 5000 }).map((pages) => [pages]),
    fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 60 }),
    fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 500 }))
      .map(([pages, count]) => Array<number>(count).fill(pages)),
  );
  const features = fc.constantFrom(0n, bit(Feature.INDIRECT_DESC), bit(Feature.EVENT_IDX));
  fc.assert(
    fc.property(plans, runs, features, (wanted, pages, features) => {
      const given = (() => {
        try {
          return makeGrant(wanted, { features, runs: arena(pages) });
        } catch (error) {
          if (error instanceof PlanError) return undefined;
          throw error;
        }
      })();
      if (given) {
        checkGrant({ ...given, polled: false, resettable: false, physical: false, config: [] });
      }
    }),
    { numRuns: 1000 },
  );
});

Deno.test("queueAddresses() says where a device finds the parts of a queue", () => {
  const runs = [{ address: 0x9000, length: PAGE }, { address: 2 ** 40, length: 2 * PAGE }];
  const layout = { ...layoutSplit(0, 4, 0), descriptors: 16, driver: PAGE, device: PAGE + 64 };
  assertEquals(queueAddresses(layout, runs), {
    descriptors: 0x9010,
    driver: 2 ** 40,
    device: 2 ** 40 + 64,
  });
  const outside = { ...layout, device: 3 * PAGE };
  assertThrows(() => queueAddresses(outside, runs), RangeError, "Cannot find");
});
