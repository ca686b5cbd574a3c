import { assertEquals, assertThrows } from "@std/assert";
import { ask, type DeviceHandle, DriverFault } from "@virtio/deno/simulation";
import { BalloonModel } from "./model.ts";
import * as wire from "./wire.ts";

/** A model with a machine that counts what it tells. */
function attached(model: BalloonModel, features: bigint = model.features) {
  const told = { changes: 0 };
  model.attach(
    { features, configChanged: () => told.changes++ } as unknown as DeviceHandle,
  );
  return told;
}

const words = (...list: number[]) => new Uint8Array(Uint32Array.from(list).buffer);
const ask0 = (model: BalloonModel, queue: number, bytes: Uint8Array, room = 0) =>
  ask(model, bytes, room, { queue, pieceBytes: 5000 });

Deno.test("BalloonModel keeps book of page frames", () => {
  const model = new BalloonModel();
  ask0(model, 0, words(7, 8, 9));
  ask0(model, 1, words(8));
  assertEquals([[...model.inflated], model.batches], [[7, 9], [3, 1]]);
  model.reset();
  assertEquals(model.inflated.size, 0);
});

Deno.test("BalloonModel complains about a driver that cannot count", () => {
  const model = new BalloonModel();
  ask0(model, 0, words(7));
  for (
    const [queue, bytes, room] of [
      [0, words(7), 0],
      [0, words(5, 5), 0],
      [1, words(6), 0],
      [0, new Uint8Array(6), 0],
      [0, new Uint8Array(0), 4],
      [0, words(1), 4],
      [2, new Uint8Array(11), 0],
      [4, words(1), 4096],
    ] as const
  ) {
    assertThrows(() => ask0(model, queue, bytes, room), DriverFault);
  }
  assertThrows(() => model.configWrite(wire.CONFIG_NUM_PAGES, 1, 4), DriverFault);
  assertThrows(() => model.configWrite(wire.CONFIG_ACTUAL, 1, 2), DriverFault);
});

Deno.test("BalloonModel tells what it wants, and hears what there is", () => {
  const model = new BalloonModel({ pages: 5 });
  const told = attached(model);
  const view = new DataView(model.config.buffer);
  assertEquals(view.getUint32(wire.CONFIG_NUM_PAGES, true), 5);
  model.want(6);
  model.hint(9);
  assertEquals(view.getUint32(wire.CONFIG_NUM_PAGES, true), 6);
  assertEquals(view.getUint32(wire.CONFIG_FREE_PAGE_HINT_CMD_ID, true), 9);
  assertEquals(told.changes, 2);
  model.configWrite(wire.CONFIG_ACTUAL, 4, 4);
  model.configWrite(wire.CONFIG_POISON_VAL, 2 ** 32 - 1, 4);
  assertEquals([model.actual, model.poison], [4, 2 ** 32 - 1]);
});

Deno.test("BalloonModel keeps statistics until it wants newer ones", () => {
  const model = new BalloonModel();
  const entry = (tag: number, value: number) => [tag, 0, value, 0, 0, 0, 0, 0, 0, 0];
  assertEquals(model.askStatistics(), false);
  assertEquals(ask0(model, 2, Uint8Array.of(...entry(4, 9), ...entry(5, 8))), undefined);
  assertEquals([...model.statistics], [[4, 9], [5, 8]]);
  assertThrows(() => ask0(model, 2, Uint8Array.of(...entry(4, 9))), DriverFault, "twice");
  assertEquals(model.askStatistics(), true);
  const floods = new BalloonModel({ floods: true });
  assertEquals(ask0(floods, 2, Uint8Array.of(...entry(4, 9)))?.written, 0);
});

Deno.test("BalloonModel counts hints of the round that it wants", () => {
  const model = new BalloonModel();
  attached(model);
  ask0(model, 3, new Uint8Array(0), 8192);
  assertEquals(model.hinted, { bytes: 0, round: 0, over: true });
  model.hint(5);
  ask0(model, 3, words(4));
  assertEquals(model.hinted.over, true, "another round");
  ask0(model, 3, words(5));
  ask0(model, 3, new Uint8Array(0), 8192);
  assertEquals(model.hinted, { bytes: 8192, round: 5, over: false });
  ask0(model, 3, words(wire.CMD_ID_STOP));
  assertEquals(model.hinted.over, true);
});

Deno.test("BalloonModel spoils pages that are reported, or holds the driver to its word", () => {
  const model = new BalloonModel();
  attached(model, wire.F_PAGE_REPORTING);
  const spoilt = ask0(model, 4, new Uint8Array(0), 8192)!;
  assertEquals([spoilt.written, model.reported], [0, 8192]);
  assertEquals(new Set(spoilt.bytes), new Set([0xa5]));

  const strict = new BalloonModel();
  attached(strict);
  strict.configWrite(wire.CONFIG_POISON_VAL, 0xffffffff, 4);
  const kept = ask0(strict, 4, new Uint8Array(0), 4096)!;
  assertEquals(new Set(kept.bytes), new Set([0xff]));
  strict.configWrite(wire.CONFIG_POISON_VAL, 0, 4);
  assertThrows(() => ask0(strict, 4, new Uint8Array(0), 4096), DriverFault, "not poison");
});

Deno.test("BalloonModel has its queues with or without gaps", () => {
  const features = wire.F_PAGE_REPORTING;
  assertEquals(new BalloonModel({ features }).queues, [128, 128, 0, 0, 128]);
  const compact = new BalloonModel({ features, compact: true });
  assertEquals(compact.queues, [128, 128, 128]);
  attached(compact, 0n);
  ask0(compact, 2, new Uint8Array(0), 64);
  assertEquals(compact.reported, 64);
});
