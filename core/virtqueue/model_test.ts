import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { PAGE } from "../dma/address_table.ts";
import type { QueueKind } from "./layout.ts";
import { DATA_PAGES, type Rig, type RigOptions } from "./rig_test.ts";

/** A stretch of the data area: first byte and length. */
type Stretch = readonly [offset: number, bytes: number];

/** One step of driver or device. */
export type Step =
  | {
    readonly do: "submit" | "abandon";
    readonly readable: readonly Stretch[];
    readonly writable: readonly Stretch[];
  }
  | { readonly do: "take" | "put"; readonly pick: number; readonly part: number }
  | { readonly do: "publish" | "devicePublish" | "drain" | "arm" | "deviceArm" };

interface Request {
  readonly cookie: number;
  readonly pieces: (readonly [number, number])[];
  readonly readable: number;
  readonly room: number;
  head: number;
  written: number;
  put: boolean;
}

/** What driver and device must do at each step: the meaning of a virtqueue without any ring. */
export class Model {
  readonly rig: Rig;
  /** What the driver got back: for comparing one kind of ring with the other. */
  readonly results: (readonly [number, number])[] = [];
  #cookie = 0xffff_fff0;
  #committed: Request[] = [];
  #available: Request[] = [];
  /** Taken and not published as used yet, in the order of their use if that is fixed, else of being taken. */
  #taken: Request[] = [];
  #put: Request[] = [];
  #used: Request[] = [];
  /** Descriptors in flight, and published since the start. */
  #descriptors = 0;
  #published = { requests: 0, descriptors: 0 };
  #deviceSleeps = false;
  #driverSleeps = false;
  #restarted = false;

  constructor(rig: Rig) {
    this.rig = rig;
    this.#published = { requests: rig.advanced, descriptors: rig.advanced };
  }

  #all(): Request[] {
    const { inOrder } = this.rig.options;
    const held = inOrder ? [] : this.#put;
    return [...this.#used, ...held, ...this.#taken, ...this.#available, ...this.#committed];
  }

  run(step: Step): void {
    if (step.do === "submit" || step.do === "abandon") {
      this.#submit(step.readable, step.writable, step.do === "submit");
    } else if (step.do === "take") { for (let i = 0; i <= step.pick % 4; i++) this.#take(); }
    else if (step.do === "put") this.#putOne(step.pick, step.part);
    else this[step.do]();
    const { driver } = this.rig;
    assertEquals(driver.broken, undefined);
    assertEquals(driver.inFlight, this.#all().length);
  }

  #extent(request: { readonly pieces: readonly unknown[] }): number {
    return this.rig.options.segments > 0 ? 1 : request.pieces.length;
  }

  #submit(readable: readonly Stretch[], writable: readonly Stretch[], commit: boolean): void {
    const { driver, options, data, layout } = this.rig;
    const pieces = (stretches: readonly Stretch[]) =>
      stretches.flatMap(([offset, bytes]) => this.rig.pieces(data + offset, bytes));
    const all = [...pieces(readable), ...pieces(writable)];
    const cookie = this.#cookie = this.#cookie + 1 >>> 0;
    driver.begin(cookie);
    for (const [offset, bytes] of readable) driver.readable(data + offset, bytes);
    for (const [offset, bytes] of writable) driver.writable(data + offset, bytes);
    if (!commit) return;
    const fits = options.segments > 0
      ? this.#descriptors < options.size && all.length <= layout.segments
      : this.#descriptors + all.length <= options.size;
    if (!fits && this.#descriptors === 0) {
      assertThrows(() => driver.commit(), RangeError, "more than");
      return;
    }
    assertEquals(driver.commit(), fits);
    if (!fits) return;
    this.#committed.push({
      cookie,
      pieces: all,
      readable: pieces(readable).length,
      room: writable.reduce((sum, [, bytes]) => sum + bytes, 0),
      head: -1,
      written: 0,
      put: false,
    });
    this.#descriptors += this.#extent({ pieces: all });
  }

  publish(): void {
    const { rig } = this;
    const before = rig.notified.length;
    rig.driver.publish();
    const notified = rig.notified.length - before;
    for (const request of this.#committed) {
      this.#published.requests++;
      this.#published.descriptors += this.#extent(request);
    }
    if (this.#committed.length === 0) assertEquals(notified, 0, "notified without a reason");
    else if (this.#deviceSleeps) assertEquals(notified, 1, "the device sleeps on");
    if (notified > 0) {
      this.#deviceSleeps = false;
      this.#checkNotification(rig.notified.at(-1)!);
    }
    this.#available.push(...this.#committed.splice(0));
  }

  /** Virtio 1.4, 2.9: where the next available entry goes, and in which round. */
  #checkNotification(data: number): void {
    const { kind, size } = this.rig.options;
    const { requests, descriptors } = this.#published;
    const round = Math.floor(descriptors / size) % 2 === 0 ? 1 : 0;
    const packed = round * 2 ** 31 + descriptors % size * 2 ** 16;
    assertEquals(data >>> 0, kind === "split" ? requests % 2 ** 16 * 2 ** 16 : packed);
  }

  #take(): void {
    const { device, chain } = this.rig;
    const expected = this.#available.shift();
    assertEquals(device.take(chain), expected !== undefined);
    if (!expected) return;
    this.#deviceSleeps = false;
    const pieces = Array.from(
      { length: chain.count },
      (_, i) => [chain.address[i]!, chain.length[i]!] as const,
    );
    assertEquals(pieces, expected.pieces);
    assertEquals(chain.readable, expected.readable);
    assert(this.#all().every(({ head }) => head !== chain.head), "a name is used twice");
    expected.head = chain.head;
    this.#taken.push(expected);
  }

  #putOne(pick: number, part: number): void {
    const open = this.#taken.filter(({ put }) => !put);
    const request = open[pick % open.length];
    if (!request) return;
    // Now and then a device claims more than there was room for (D-45).
    const claimed = part === 255 ? request.room + 100 : Math.floor(request.room * part / 254);
    request.written = Math.min(claimed, request.room);
    request.put = true;
    this.rig.device.put(request.head, claimed);
    if (this.rig.options.inOrder) return;
    this.#taken.splice(this.#taken.indexOf(request), 1);
    this.#put.push(request);
  }

  devicePublish(): void {
    if (this.rig.options.inOrder) {
      while (this.#taken[0]?.put) this.#put.push(this.#taken.shift()!);
    }
    const interrupt = this.rig.device.publish();
    if (this.#put.length === 0) assert(!interrupt, "interrupted without a reason");
    else if (this.#driverSleeps) assert(interrupt, "the driver sleeps on");
    if (interrupt) this.#driverSleeps = false;
    this.#used.push(...this.#put.splice(0));
    for (const request of this.#used) request.head = -1;
  }

  drain(): void {
    const got = this.rig.drain();
    const expected = this.#used.splice(0);
    assertEquals(got, expected.map(({ cookie, written }) => [cookie, written] as const));
    if (got.length > 0) this.#driverSleeps = false;
    for (const request of expected) this.#descriptors -= this.#extent(request);
    this.results.push(...got);
  }

  arm(): void {
    const again = this.rig.driver.arm();
    assertEquals(again, this.#used.length > 0);
    this.#driverSleeps = !again;
  }

  deviceArm(): void {
    const again = this.rig.device.arm();
    assertEquals(again, this.#available.length > 0);
    this.#deviceSleeps = !again;
  }

  /** Takes back all that is in flight, in the order of the commits, and goes on with a queue like new. */
  restart(): void {
    const { rig } = this;
    const place = (cookie: number) => cookie - this.#cookie - 1 >>> 0;
    const cookies = this.#all().map(({ cookie }) => cookie).sort((a, b) => place(a) - place(b));
    const got: number[] = [];
    rig.driver.takeUnfinished((cookie) => got.push(cookie));
    assertEquals(got, cookies);
    assertEquals(rig.driver.inFlight, 0);
    for (const list of [this.#committed, this.#available, this.#taken, this.#put, this.#used]) {
      list.length = 0;
    }
    this.#restarted = true;
    this.#descriptors = 0;
    this.#published = { requests: 0, descriptors: 0 };
    this.#deviceSleeps = this.#driverSleeps = false;
    rig.device = rig.newDevice();
  }

  /** Lets everything that is under way come back. Then the whole ring must be free again. */
  finish(): void {
    const { driver, options, layout } = this.rig;
    this.publish();
    while (this.#available.length > 0) this.#take();
    while (this.#taken.some(({ put }) => !put)) this.#putOne(0, 254);
    this.devicePublish();
    this.drain();
    assertEquals([driver.inFlight, this.#descriptors], [0, 0]);
    const { completed, published } = driver.counters;
    assertEquals(completed, this.results.length);
    if (!this.#restarted) assertEquals(published, completed);
    const most = options.segments > 0 ? layout.segments : options.size;
    assert(this.rig.submit(1, most, 1), "descriptors were lost");
    assertEquals(this.rig.submit(2), options.segments > 0 && options.size > 1, "too many");
  }
}

const BYTES = DATA_PAGES * PAGE;
const stretch = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.nat(BYTES - 600), fc.integer({ min: 1, max: 600 })) },
  { weight: 1, arbitrary: fc.tuple(fc.nat(BYTES / 2 - 1), fc.integer({ min: 1, max: BYTES / 2 })) },
);
const submit = fc.record({
  do: fc.constantFrom("submit" as const, "submit" as const, "submit" as const, "abandon" as const),
  readable: fc.array(stretch, { maxLength: 2 }),
  writable: fc.array(stretch, { maxLength: 2 }),
}).filter(({ readable, writable }) => readable.length + writable.length > 0);
const device = fc.record({
  do: fc.constantFrom("take" as const, "put" as const),
  pick: fc.nat(255),
  part: fc.oneof(fc.nat(255), fc.constant(254)),
});
const plain = fc.record({
  do: fc.constantFrom(
    "publish" as const,
    "devicePublish" as const,
    "drain" as const,
    "arm" as const,
    "deviceArm" as const,
  ),
});

/** Any sequence of steps. */
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: submit },
    { weight: 5, arbitrary: device },
    { weight: 4, arbitrary: plain },
  ),
  { maxLength: 160, size: "max" },
);

/** All that both kinds of queue have. */
const common = {
  segments: fc.constantFrom(0, 0, 1, 2, 7, 16),
  eventIndex: fc.boolean(),
  runPages: fc.constantFrom(1, 2, 3, 1000),
};
/** Sizes of split rings. */
export const powersOfTwo: fc.Arbitrary<number> = fc.integer({ min: 0, max: 8 })
  .map((exponent) => 1 << exponent);
/** Sizes of packed rings, the small ones more often: they wrap. */
export const anySizes: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: 1, max: 12 }),
  fc.integer({ min: 1, max: 300 }),
);

/** Queues of one kind. */
export function queues(
  kind: QueueKind,
  size: fc.Arbitrary<number>,
  inOrder: boolean,
): fc.Arbitrary<RigOptions> {
  return fc.record({
    ...common,
    size,
    kind: fc.constant(kind),
    inOrder: fc.constant(inOrder),
  });
}
