import { assert, assertEquals } from "@std/assert";
import {
  type Config,
  type Decline,
  type Device,
  type Driver,
  type Offer,
  type Plan,
  Status,
  Word,
} from "@virtio/deno/plugin";
import { configView } from "@virtio/deno/testing";
import { BalloonOperation, BalloonWord } from "@virtio/deno/classes/balloon";
import { type FakePart, FakeQueue } from "../../tests/support/fake_queue.ts";
import balloon from "./mod.ts";
import * as wire from "./wire.ts";

type AnyPlan = Plan<string, string, string>;

const ALL = (1n << 6n) - 1n;
const TUNABLES = { arena_mib: 4, queue_indexing: "auto", poison_val: 7 };
/** Pages of an arena of 4 MiB. */
const PAGES = 1024;
/** The first page frame of the arena. */
const FRAME = 5000;

function config(words: readonly number[], length = words.length * 4): Config {
  return configView(new Uint8Array(Uint32Array.from(words).buffer, 0, length));
}

function offer(changes: Partial<Offer> = {}): Offer {
  return {
    features: ALL,
    config: config([0, 0, 1, 0]),
    queues: [128, 128, 128, 128, 128],
    tunables: TUNABLES,
    legacy: false,
    ...changes,
  };
}

function plan(changes: Partial<Offer> = {}): AnyPlan {
  const answer = balloon.plan(offer(changes));
  assert(!("decline" in answer), (answer as Decline).decline);
  return answer;
}

Deno.test("the plan takes all features of the specification, and no other", () => {
  assertEquals(plan().features, ALL);
  assertEquals(plan({ features: ALL | 1n << 6n | 1n << 50n }).features, ALL);
  assertEquals(plan({ features: 0n }).features, 0n);
});

Deno.test("the plan has an arena as large as its user wants, and needs to know page frames", () => {
  const { buffers, properties, physical } = plan({ config: config([77, 0, 1, 0]) });
  assertEquals(buffers?.pages, 4 * 2 ** 20);
  assertEquals(physical, true);
  assertEquals(properties, {
    pages: PAGES,
    requested: 77,
    deflateOnOom: true,
    statistics: true,
    hinting: true,
    reporting: true,
  });
});

Deno.test("a configuration that is too short for a feature goes without it (D-40)", () => {
  const short = (length: number) => plan({ config: config([0, 0, 0, 0], length) }).features!;
  assertEquals(short(8), ALL & ~wire.F_FREE_PAGE_HINT & ~wire.F_PAGE_POISON);
  assertEquals(short(12), ALL & ~wire.F_PAGE_POISON);
  assertEquals(short(16), ALL);
  const answer = balloon.plan(offer({ config: config([0], 4) }));
  assert("decline" in answer && answer.decline.includes("4 bytes"));
});

Deno.test("queues are where the specification has them, or together #balloon:QUEUE_INDEX", () => {
  const { F_STATS_VQ: stats, F_FREE_PAGE_HINT: hint, F_PAGE_REPORTING: report } = wire;
  const places = (features: bigint, queues: readonly number[], indexing = "auto") => {
    const planned = plan({ features, queues, tunables: { ...TUNABLES, queue_indexing: indexing } });
    const { inflate, deflate, ...others } = planned.queues as Record<string, { index: number }>;
    assertEquals([inflate!.index, deflate!.index], [0, 1]);
    const found = Object.entries(others).map((
      [name, { index }],
    ): [string, unknown] => [name, index]);
    return Object.fromEntries([...found, ["features", planned.features]]);
  };
  for (
    const [features, queues, indexing, wanted] of [
      [stats | hint | report, [8, 8, 8, 8, 8], "auto", { statistics: 2, hints: 3, reports: 4 }],
      [stats | report, [8, 8, 8, 0, 8], "auto", { statistics: 2, reports: 4 }],
      [stats | report, [8, 8, 8, 8], "auto", { statistics: 2, reports: 3 }],
      [hint, [8, 8, 0, 8], "auto", { hints: 3 }],
      [hint, [8, 8, 8], "auto", { hints: 2 }],
      [hint | report, [8, 8, 8, 8], "compact", { hints: 2, reports: 3 }],
      [hint | report, [8, 8, 8, 8, 8], "spec", { hints: 3, reports: 4 }],
    ] as const
  ) {
    assertEquals(places(features, queues, indexing), { ...wanted, features });
  }
  // What has no queue is left alone (D-32).
  assertEquals(places(stats | report, [8, 8], "auto"), { features: 0n });
  assertEquals(places(stats | hint, [8, 8, 8], "spec"), { statistics: 2, features: stats });
});

/** A lane with what its client submitted, by slots: words of the records. */
function fakeLane(offset: number) {
  const records = new Map<number, number[]>();
  const pending: number[] = [];
  const ended: { slot: number; status: number; words: number[] }[] = [];
  return {
    slots: 4,
    slotBytes: 160,
    ended,
    submit(slot: number, ...words: [word: number, value: number][]) {
      const record = new Array(8).fill(0);
      for (const [word, value] of words) record[word] = value;
      records.set(slot, record);
      pending.push(slot);
    },
    offset: () => offset,
    word: (slot: number, word: number) => records.get(slot)![word]!,
    setWord(slot: number, word: number, value: number) {
      records.get(slot)![word] = value;
    },
    take(start: (slot: number) => boolean) {
      while (pending.length > 0 && start(pending[0]!)) pending.shift();
    },
    complete(slot: number, status: number) {
      ended.push({ slot, status, words: [...records.get(slot)!] });
    },
  };
}

function start(features = ALL, words: readonly number[] = [0, 0, 1, 0]) {
  const arena = new SharedArrayBuffer(8 * 2 ** 20);
  const queues = {
    inflate: new FakeQueue(),
    deflate: new FakeQueue(),
    ...(features & wire.F_STATS_VQ && { statistics: new FakeQueue() }),
    ...(features & wire.F_FREE_PAGE_HINT && { hints: new FakeQueue() }),
    ...(features & wire.F_PAGE_REPORTING && { reports: new FakeQueue() }),
  } as Record<"inflate" | "deflate" | "statistics" | "hints" | "reports", FakeQueue>;
  const lanes = { control: fakeLane(0), events: fakeLane(0), statistics: fakeLane(8192) };
  const written: [string, number][] = [];
  const buffer = (offset: number, bytes: number) => ({
    offset,
    bytes: new Uint8Array(arena, offset, bytes),
  });
  const device = {
    features,
    queues,
    lanes,
    buffers: {
      batch: buffer(0, 1024),
      commands: buffer(4096, 8),
      pages: buffer(2 ** 20, PAGES * 4096),
    },
    config: config(words),
    tunables: TUNABLES,
    legacy: false,
    writeConfig: (field: string, value: number) => void written.push([field, value]),
    frame: (offset: number) => FRAME - 256 + offset / 4096,
  };
  const driver: Driver = balloon.start(device as unknown as Device<string, string, string>);
  return {
    driver,
    queues,
    lanes,
    written,
    arena,
    /** Orders a size. */
    resize(slot: number, pages: number) {
      lanes.control.submit(slot, [Word.operation, BalloonOperation.resize], [
        BalloonWord.pages,
        pages,
      ]);
      driver.rung();
    },
    /** The device takes one batch: its page frames. */
    batch(name: "inflate" | "deflate") {
      const [[offset, length] = [0, 0]] = queues[name].use().readable;
      const frames = new Uint8Array(arena).slice(offset, offset + length);
      driver.rung();
      return new Uint32Array(frames.buffer);
    },
    configure: (...words: number[]) => {
      driver.configured!(config(words));
      driver.rung();
    },
  };
}

Deno.test("pages go from the end of the arena, in batches, and come back in the opposite order #balloon:BATCH #balloon:INFLATE #balloon:DEFLATE", () => {
  const { resize, batch, queues, lanes, written } = start(wire.F_MUST_TELL_HOST);
  assertEquals(written.splice(0), [["actual", 0]]);
  resize(0, 300);
  assertEquals([queues.inflate.requests.length, queues.deflate.requests.length], [1, 0]);
  const first = batch("inflate");
  assertEquals([first.length, first[0], first[255]], [256, FRAME + 768, FRAME + 1023]);
  assertEquals(written.splice(0), [["actual", 256]]);
  const second = batch("inflate");
  assertEquals([second.length, second[0], second[43]], [44, FRAME + 724, FRAME + 767]);
  assertEquals(written.splice(0), [["actual", 300]]);
  assertEquals(
    lanes.control.ended.map(({ slot, status, words }) => [
      slot,
      status,
      words[BalloonWord.actual],
    ]),
    [[0, Status.ok, 300]],
  );
  resize(1, 10);
  const back = batch("deflate");
  assertEquals([back.length, back[0]], [256, FRAME + 724]);
  assertEquals(batch("deflate").length, 34);
  assertEquals(written.splice(0), [["actual", 44], ["actual", 10]]);
});

Deno.test("an order ends when another one comes, and the balloon turns round after its batch", () => {
  const { resize, batch, lanes, queues } = start(0n);
  resize(0, 1000);
  resize(1, 100);
  assertEquals(lanes.control.ended.map(({ slot }) => slot), [0]);
  assertEquals(batch("inflate").length, 256);
  assertEquals([queues.inflate.requests.length, queues.deflate.requests.length], [0, 1]);
  assertEquals(batch("deflate").length, 156);
  assertEquals(lanes.control.ended.map(({ slot, words }) => [slot, words[BalloonWord.actual]]), [
    [0, 0],
    [1, 100],
  ]);
});

Deno.test("an order for more than the arena is one for all of it; another operation is not known", () => {
  const { resize, batch, lanes, driver } = start(0n);
  resize(0, 2 ** 32 - 1);
  for (let i = 0; i < 4; i++) batch("inflate");
  assertEquals(lanes.control.ended[0]!.words[BalloonWord.actual], PAGES);
  lanes.control.submit(1, [Word.operation, 9]);
  driver.rung();
  assertEquals(lanes.control.ended[1]!.status, Status.unsupported);
});

Deno.test("a full queue is tried again", () => {
  const { resize, batch, queues, driver } = start(0n);
  queues.inflate.room = 0;
  resize(0, 5);
  assertEquals(queues.inflate.requests.length, 0);
  queues.inflate.room = Infinity;
  driver.rung();
  assertEquals(batch("inflate").length, 5);
});

Deno.test("news are told as soon as the client listens", () => {
  const { lanes, driver, configure } = start(0n, [3, 0, 0, 0]);
  const events = lanes.events;
  const told = () =>
    events.ended.splice(0).map((
      { words },
    ) => [words[BalloonWord.pages], words[BalloonWord.actual]]);
  events.submit(0);
  events.submit(1);
  driver.rung();
  assertEquals(told(), [[3, 0]]);
  driver.rung();
  assertEquals(told(), []);
  configure(9, 0, 0, 0);
  assertEquals(told(), [[9, 0]]);
  configure(10, 0, 0, 0);
  configure(11, 0, 0, 0);
  assertEquals(told(), []);
  events.submit(0);
  driver.rung();
  assertEquals(told(), [[11, 0]]);
});

Deno.test("statistics stay with the device until it wants newer ones #balloon:STATS_VQ #balloon:stats_first", () => {
  const { lanes, queues, driver } = start(wire.F_STATS_VQ);
  lanes.statistics.submit(0, [Word.length, 30]);
  driver.rung();
  assertEquals(queues.statistics.requests.map(({ readable }) => readable[0]![1]), [30]);
  driver.rung();
  assertEquals([queues.statistics.requests.length, lanes.statistics.ended.length], [1, 0]);
  queues.statistics.use();
  driver.rung();
  assertEquals(lanes.statistics.ended.map(({ status }) => status), [Status.ok]);
  const without = start(0n);
  without.lanes.statistics.submit(0, [Word.length, 30]);
  without.driver.rung();
  assertEquals(without.lanes.statistics.ended.map(({ status }) => status), [Status.unsupported]);
});

Deno.test("what free pages are filled with is told before the start, and true #balloon:poison_val #balloon:PAGE_POISON", () => {
  const { written, arena, queues, driver } = start(wire.F_PAGE_POISON | wire.F_PAGE_REPORTING);
  assertEquals(written, [["actual", 0], ["poison_val", 7]]);
  driver.rung();
  assertEquals(queues.reports.requests[0]!.writable, [[2 ** 20, 4 * 2 ** 20]]);
  assert(new Uint32Array(arena, 2 ** 20, PAGES * 1024).every((word) => word === 7));
  assertEquals(start(wire.F_PAGE_REPORTING).written, [["actual", 0]]);
});

Deno.test("a round of hints is its name, the free pages, and a word that ends it #balloon:FREE_PAGE_HINT #balloon:hint_STOP", () => {
  const { configure, queues, driver, resize, batch, arena } = start(wire.F_FREE_PAGE_HINT);
  const { hints } = queues;
  const word = ([part]: readonly FakePart[]) => new DataView(arena).getUint32(part![0], true);
  resize(0, 24);
  batch("inflate");
  configure(24, 24, 42, 0);
  assertEquals(hints.requests.length, 3);
  // Nothing goes into the balloon while the device looks at free pages.
  resize(1, 100);
  assertEquals(queues.inflate.requests.length, 0);
  assertEquals(word(hints.use().readable), 42);
  assertEquals(hints.use().writable, [[2 ** 20, 1000 * 4096]]);
  assertEquals(word(hints.use().readable), wire.CMD_ID_STOP);
  driver.rung();
  assertEquals(driver.statistics!().hint_pages_held, 1000);
  assertEquals(batch("inflate").length, 76);
  // The same round is not begun again; DONE lets the pages go.
  configure(100, 100, 42, 0);
  assertEquals(hints.requests.length, 0);
  configure(100, 100, wire.CMD_ID_DONE, 0);
  assertEquals(driver.statistics!().hint_pages_held, 0);
});

Deno.test("pages that are hinted at are free if the hypervisor's end of it is heard before them #balloon:hint_DONE", () => {
  const { configure, queues, driver } = start(wire.F_FREE_PAGE_HINT | wire.F_PAGE_REPORTING);
  configure(0, 0, 42, 0);
  for (let left = queues.hints.requests.length; left > 0; left--) queues.hints.use();
  configure(0, 0, wire.CMD_ID_DONE, 0);
  const { hinted_pages, hint_pages_held } = driver.statistics!();
  assertEquals([hinted_pages, hint_pages_held], [PAGES, 0]);
  // Nothing keeps them from being reported.
  driver.rung();
  assertEquals(queues.reports.requests.length, 1);
});

Deno.test("a round that the hypervisor ends at once is ended by the driver, too #balloon:hint_STOP", () => {
  const { configure, queues } = start(wire.F_FREE_PAGE_HINT);
  queues.hints.room = 0;
  configure(0, 0, 5, 0);
  queues.hints.room = Infinity;
  configure(0, 0, wire.CMD_ID_STOP, 0);
  assertEquals(queues.hints.requests.length, 0);
  configure(0, 0, 6, 0);
  assertEquals(queues.hints.requests.length, 3);
});

Deno.test("what a queue held when it was reset is sent again", () => {
  const { driver, resize, queues, batch, configure, lanes } = start(ALL);
  driver.rung();
  assertEquals(queues.reports.requests.length, 1);
  driver.queueReset!("reports", queues.reports.reset());
  driver.rung();
  assertEquals(queues.reports.requests.length, 1);
  queues.reports.use();
  driver.rung();

  resize(0, 5);
  const cookies = queues.inflate.reset();
  driver.queueReset!("inflate", cookies);
  driver.queueReset!("deflate", []);
  assertEquals(batch("inflate").length, 5);

  lanes.statistics.submit(0, [Word.length, 10]);
  driver.rung();
  driver.queueReset!("statistics", queues.statistics.reset());
  assertEquals(queues.statistics.requests.length, 1);

  configure(5, 5, 9, 0);
  assertEquals(queues.hints.requests.length, 3);
  driver.queueReset!("hints", queues.hints.reset());
  driver.rung();
  assertEquals(queues.hints.requests.length, 3);
});
