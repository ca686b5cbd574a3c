import { assert, assertEquals } from "@std/assert";
import { type Config, type Device, type Offer, type Plan, Status } from "@virtio/deno/plugin";
import { configView } from "@virtio/deno/testing";
import { NetOperation, NetTransmitWord, TRANSMIT_HEADROOM } from "@virtio/deno/classes/network";
import fc from "fast-check";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import manifest from "./plugin.json" with { type: "json" };
import vtnet from "./mod.ts";
import { FEATURES } from "./model.ts";
import { readStatistics } from "./statistics.ts";
import * as wire from "./wire.ts";

type AnyPlan = Plan<string, string, string>;

const USUAL = {
  csum_disable: false,
  tso_disable: false,
  lro_disable: true,
  mq_disable: false,
  mq_max_pairs: 0,
  mrg_disable: false,
};

function config(fields: (view: DataView) => void = () => {}): Config {
  const view = new DataView(new ArrayBuffer(wire.CONFIG_BYTES));
  view.setUint16(wire.CONFIG_MTU, 1500, true);
  view.setUint16(wire.CONFIG_MAX_VIRTQUEUE_PAIRS, 2, true);
  view.setUint8(wire.CONFIG_RSS_MAX_KEY_SIZE, 40);
  view.setUint16(wire.CONFIG_RSS_MAX_INDIRECTION_TABLE_LENGTH, 128, true);
  fields(view);
  return configView(new Uint8Array(view.buffer));
}

function plan(offer: Partial<Offer>): AnyPlan {
  const answer = vtnet.plan({
    features: FEATURES,
    config: config(),
    queues: [256, 256, 256, 256, 64],
    legacy: false,
    tunables: USUAL,
    ...offer,
  });
  assert("queues" in answer);
  return answer;
}

Deno.test("the tunables in plugin.json are as usual there and here", () => {
  const usual = Object.entries(manifest.tunables).map(([name, value]) => [
    name,
    typeof value === "object" ? value.usual : value,
  ]);
  assertEquals(Object.fromEntries(usual), USUAL);
});

Deno.test("the plan takes nothing that was not offered, and nothing that the driver does not know", () => {
  for (let i = 0n; i < 128n; i++) {
    const taken = plan({ features: 1n << i }).features ?? 0n;
    assert(taken === 0n || taken === 1n << i, `${i}`);
  }
  const unknown = wire.F_RSC_EXT | wire.F_STANDBY | 1n << 64n | 1n << 65n | 1n << 70n;
  assertEquals(plan({ features: unknown | wire.F_MAC }).features, wire.F_MAC);
});

Deno.test("the one bit for segmentation counts only before version 1 #vtnet:GSO", () => {
  const features = wire.F_CSUM | wire.F_GSO;
  const sends = (legacy: boolean) => {
    const { features: taken, lanes, properties } = plan({ features, legacy });
    return [taken, lanes.long !== undefined, properties!.transmitOffloads];
  };
  assertEquals(sends(false), [wire.F_CSUM, false, 1]);
  assertEquals(sends(true), [features, true, 0b1111]);
});

Deno.test("the control queue follows all pairs that there could be, used or not", () => {
  const index = (offer: Partial<Offer>) => plan(offer).queues.control?.index;
  assertEquals(index({}), 4);
  assertEquals(index({ tunables: { ...USUAL, mq_disable: true }, queues: [256, 256, 64] }), 2);
  assertEquals(index({ tunables: { ...USUAL, mq_max_pairs: 1 } }), 4);
  assertEquals(index({ queues: [256, 256, 64] }), 2);
  assertEquals(index({ queues: [256, 256] }), undefined);
  assertEquals(plan({ queues: [256, 256] }).features! & wire.F_CTRL_VQ, 0n);
});

for (
  const [name, tunables, features, most, least] of [
    ["merged", { lro_disable: false }, FEATURES, 2048, 2048],
    ["plain", { mrg_disable: true }, FEATURES & ~wire.F_HASH_REPORT, 1600, 1526],
    ["plain with a hash", { mrg_disable: true }, FEATURES, 1600, 1534],
    ["long", { mrg_disable: true, lro_disable: false }, FEATURES, 66_000, 65_609],
  ] as const
) {
  Deno.test(`receive buffers are as long as they must be: ${name} (5.1.9.3.1)`, () => {
    const planned = plan({ features, tunables: { ...USUAL, ...tunables } });
    const { slots, slotBytes } = planned.lanes.receive!;
    assert(slotBytes >= least && slotBytes <= most, `${slotBytes}`);
    assert(slots >= 2 * 8 && slots * slotBytes <= 20 * 2 ** 20);
    assertEquals([planned.lanes.receive!.deadline, planned.lanes.events!.deadline], [0, 0]);
  });
}

Deno.test("a queue alone has slots for several times what it holds, in the memory that plugin.json allows #vtnet:slots", () => {
  const memory = manifest.limits.memoryMiB * 2 ** 20;
  for (const features of [FEATURES, FEATURES & ~wire.F_MRG_RXBUF, wire.F_MRG_RXBUF, wire.F_MAC]) {
    for (const most of [1, 2, 4, 16]) {
      for (const lro_disable of [true, false]) {
        const tunables = { ...USUAL, mq_max_pairs: most, lro_disable };
        const queues = Array.from({ length: 2 * most + 1 }, () => 256);
        const max = config((view) => view.setUint16(wire.CONFIG_MAX_VIRTQUEUE_PAIRS, most, true));
        const { lanes, properties } = plan({ features, tunables, queues, config: max });
        const { receive, transmit, long } = lanes;
        const bytes = (lane: typeof receive) => lane ? lane.slots * lane.slotBytes : 0;
        const sum = bytes(receive) + bytes(transmit) + bytes(long);
        assert(sum <= memory - 2 ** 21, `${sum}`);
        assert(transmit!.slots >= 128 && transmit!.slots <= 1024);
        if (receive!.slotBytes <= 2048) {
          // Frames to be cut take a part of it only.
          assertEquals([transmit!.slots, transmit!.slotBytes], [1024, 1600]);
          assert(sum - bytes(receive) <= 6 * 2 ** 20, `${sum}`);
        }
        const pairs = properties!.pairs as number;
        // Slots of several queues wait in one line, and must not wait for each other there.
        if (pairs > 1) assert(receive!.slots <= 256 * pairs, `${receive!.slots}`);
        else if (receive!.slotBytes <= 2048) assertEquals(receive!.slots, 1024);
      }
    }
  }
});

/** A driver whose queues only remember what they were given. */
class Bench {
  readonly memory = new Uint8Array(new SharedArrayBuffer(1 << 20));
  readonly words = new Map<number, number[]>();
  /** Where the data of each lane are. */
  readonly data: Record<string, number> = {};
  readonly completed: number[][] = [];
  readonly queues: Readonly<Record<string, FakeQueue>>;
  readonly driver;
  readonly #submitted = new Map<string, number[]>();

  constructor(features: bigint, legacy = false) {
    const { queues, lanes, buffers } = plan({ features, legacy });
    let end = 0;
    const place = (bytes: number) => {
      const offset = end;
      end += Math.ceil(bytes / 64) * 64;
      return offset;
    };
    const named = <T>(names: readonly string[], make: (name: string) => T) =>
      Object.fromEntries(names.map((name) => [name, make(name)]));
    this.driver = vtnet.start({
      features,
      legacy,
      config: config(),
      tunables: USUAL,
      queues: this.queues = named(Object.keys(queues), () => new FakeQueue()),
      lanes: named(Object.keys(lanes), (name) => {
        const slotBytes = Math.min(lanes[name]!.slotBytes, 2048);
        const data = this.data[name] = place(4 * slotBytes);
        return {
          slots: 4,
          slotBytes,
          offset: (slot: number) => data + slot * slotBytes,
          word: (slot: number, word: number) => this.words.get(slot)?.[word] ?? 0,
          setWord() {},
          take: (start: (slot: number) => boolean) => {
            const slots = this.#submitted.get(name) ?? [];
            while (slots.length > 0 && start(slots[0]!)) slots.shift();
          },
          complete: (...end: number[]) => void this.completed.push(end),
        };
      }),
      buffers: named(Object.keys(buffers!), (name) => {
        const offset = place(buffers![name]!);
        return { offset, bytes: this.memory.subarray(offset, offset + buffers![name]!) };
      }),
    } as unknown as Device<string, string, string>);
  }

  submit(lane: string, words: Readonly<Record<number, number>>, times = 1): void {
    this.words.set(0, Object.assign([], words));
    this.#submitted.set(lane, Array(times).fill(0));
    this.driver.rung();
  }

  /** The header of the frame that was given last, and how its buffers lie. */
  header(bytes: number): { readonly header: number[]; readonly parts: number[] } {
    const { readable } = this.queues.transmit0!.requests.at(-1)!;
    const [offset] = readable[0]!;
    return {
      header: [...this.memory.subarray(offset, offset + bytes)],
      parts: readable.map(([at, length]) => at + length - offset),
    };
  }
}

const { operation, length, checksum, segmentation, headers, long } = NetTransmitWord;
const SENDS = wire.F_CSUM | wire.F_HOST_TSO4;

Deno.test("the header of a frame is written anew each time, and has the length that was agreed #vtnet:tx.header #vtnet:legacy", () => {
  for (
    const [features, legacy, bytes] of [
      [SENDS, false, 12],
      [SENDS, true, 10],
      [SENDS | wire.F_MRG_RXBUF, true, 12],
      [SENDS | wire.F_CTRL_VQ | wire.F_HASH_REPORT, false, 20],
    ] as const
  ) {
    const bench = new Bench(features, legacy);
    const rest = Array(bytes - 10).fill(0);
    bench.memory.fill(0xee);
    bench.submit("transmit", { [length]: 100 });
    const whole = (length: number) => legacy ? [bytes, bytes + length] : [bytes + length];
    const plain = { header: [...Array(10).fill(0), ...rest], parts: whole(100) };
    assertEquals(bench.header(bytes), plain);
    bench.submit("transmit", {
      [operation]: 1,
      [length]: 1400,
      [checksum]: 34 | 16 << 16,
      [segmentation]: wire.GSO_TCPV4 | 500 << 16,
      [headers]: 54,
    });
    const header = [1, 1, 54, 0, 244, 1, 34, 0, 16, 0, ...rest];
    assertEquals(bench.header(bytes), { header, parts: whole(1400) });
    bench.submit("transmit", { [length]: 100 });
    assertEquals(bench.header(bytes), plain);
    assertEquals(bench.completed, []);
  }
});

Deno.test("a frame that is longer than a slot is where its record says, and goes to the device in one piece #vtnet:long", () => {
  const cut = {
    [operation]: 1,
    [length]: 1900,
    [checksum]: 34,
    [segmentation]: wire.GSO_TCPV4 | 500 << 16,
    [headers]: 54,
  };
  const bench = new Bench(SENDS);
  bench.submit("transmit", { ...cut, [long]: 2 });
  const frame = bench.data.long! + 2048 + TRANSMIT_HEADROOM;
  assertEquals(bench.queues.transmit0!.requests[0]!.readable, [[frame - 12, 1912]]);
  // There is no such slot; a slot does not hold it; only what is cut may be so long.
  for (
    const wrong of [{ ...cut, [long]: 5 }, { ...cut, [long]: 0xffffffff }, cut, {
      [length]: 1900,
      [long]: 2,
    }]
  ) {
    const bench = new Bench(SENDS);
    bench.submit("transmit", wrong);
    assertEquals(bench.completed, [[0, Status.unsupported, 0]]);
    assertEquals(bench.queues.transmit0!.requests, []);
  }
});

Deno.test("the device is shown half a queue while the other is put #vtnet:shown", () => {
  const bench = new Bench(wire.F_MAC);
  for (const name of ["transmit", "receive"]) {
    const queue = bench.queues[`${name}0`]!;
    const shown: number[] = [];
    queue.publish = () => void shown.push(queue.requests.length);
    bench.submit(name, { [length]: 100 }, 300);
    assertEquals([shown, queue.requests.length], [[128, 256], 300]);
  }
});

Deno.test("a client that asks for what was not agreed gets an error, and nothing goes to the device", () => {
  const wrong: [bigint, Record<number, number>][] = [
    [SENDS, { [length]: 13 }],
    [SENDS, { [length]: 0xffffffff }],
    [0n, { [length]: 100, [operation]: 1, [checksum]: 34 | 16 << 16 }],
    [SENDS, { [length]: 100, [operation]: 1, [checksum]: 90 | 9 << 16 }],
    [SENDS, { [length]: 100, [operation]: 1, [checksum]: 0xffffffff }],
    [SENDS, { [length]: 100, [segmentation]: 1 | 50 << 16, [headers]: 54 }],
    ...[3, 4, 5, 2, 0x81, 0xff, 0x21].map((type): [bigint, Record<number, number>] => [
      SENDS,
      {
        [length]: 100,
        [operation]: 1,
        [checksum]: 34,
        [segmentation]: type | 50 << 16,
        [headers]: 54,
      },
    ]),
    [SENDS, {
      [length]: 100,
      [operation]: 1,
      [checksum]: 34,
      [segmentation]: 1,
      [headers]: 54,
    }],
    [SENDS, {
      [length]: 100,
      [operation]: 1,
      [checksum]: 34,
      [segmentation]: 1 | 50 << 16,
      [headers]: 101,
    }],
  ];
  for (const [features, words] of wrong) {
    const bench = new Bench(features);
    bench.submit("transmit", words);
    assertEquals(bench.completed, [[0, Status.unsupported, 0]], JSON.stringify(words));
    assertEquals(bench.queues.transmit0!.requests, []);
  }
});

Deno.test("control operations that were not agreed are unsupported, whatever they bring along", () => {
  const all = Object.values(NetOperation);
  for (const features of [0n, wire.F_CTRL_VQ]) {
    for (const operation of [...all, 21, 0xffffffff]) {
      const bench = new Bench(features);
      bench.submit("control", { [NetTransmitWord.operation]: operation });
      assertEquals(bench.completed, [[0, Status.unsupported, 0]], `${operation}`);
    }
  }
  fc.assert(
    fc.property(fc.constantFrom(...all), fc.array(fc.nat(0xffffffff), { maxLength: 8 }), (
      operation,
      words,
    ) => {
      const bench = new Bench(FEATURES & ~wire.F_MRG_RXBUF);
      bench.submit("control", { ...words, [NetTransmitWord.operation]: operation });
      assert(bench.completed.length === 1 || bench.queues.control!.requests.length === 1);
    }),
    { numRuns: 200 },
  );
});

Deno.test("counters have FreeBSD's names #vtnet:statistics", () => {
  const names = Object.keys(new Bench(FEATURES & ~wire.F_RSS & ~wire.F_MQ).driver.statistics!());
  for (
    const name of [
      ...["rxq0.ipackets", "rxq0.ibytes", "rxq0.ierrors", "rxq0.csum", "rxq0.csum_failed"],
      ...["rxq0.host_lro", "rxq0.rx_mergeable_failed", "rxq0.rx_csum_bad_offset"],
      ...["txq0.opackets", "txq0.obytes", "txq0.omcasts", "txq0.csum", "txq0.tso"],
      ...["txq0.tx_tso_without_csum", "txq0.tx_tso_not_tcp"],
    ]
  ) assert(names.includes(name), name);
});

Deno.test("readStatistics takes whatever a device writes, and ends", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(40), (bytes, most) => {
      const found = readStatistics(Uint8Array.from(bytes), most);
      assert(found.length % 4 === 0 && found.length <= 4 * most);
    }),
    { numRuns: 500 },
  );
});
