import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BusFault } from "../../core/bus/mailbox.ts";
import { Pair } from "../../core/bus/fake_test.ts";
import { Status } from "../../core/bus/lane.ts";
import {
  formatMac,
  NetChecksum,
  NetControlWord,
  NetEventWord,
  NetOperation,
  type NetProperties,
  netProperties,
  NetReceiveWord,
  NetTransmitWord,
  TRANSMIT_HEADROOM,
} from "./protocol.ts";
import type { NetClient } from "./client.ts";
import { network } from "./mod.ts";
import type { OpenDevice } from "../../core/class/mod.ts";
import { readProperties } from "../../core/class/properties.ts";
import { RequestError } from "../../core/bus/request_error.ts";

const PROPERTIES: NetProperties = {
  mac: "52:54:00:12:34:56",
  mtu: 1500,
  link: true,
  speed: 0xffffffff,
  duplex: 0xff,
  pairs: 2,
  transmitOffloads: 1,
  receiveOffloads: 1,
  hashTypes: 0,
  hashKeyBytes: 0,
  rssEntries: 0,
  hashReports: false,
};

/** Throws anything. */
function fail(value: unknown): never {
  throw value;
}

/** A client, and the driver's ends of its lanes. */
class Bench {
  readonly receive = new Pair({ slots: 8, slotBytes: 256 });
  readonly transmit = new Pair({ slots: 2, slotBytes: 2048 });
  readonly long = new Pair({ slots: 1, slotBytes: 4096 });
  readonly control = new Pair({ slots: 2, slotBytes: 256 });
  readonly events = new Pair({ slots: 1, slotBytes: 64 });
  readonly client: NetClient;
  readonly #open: OpenDevice<NetClient>;

  constructor(properties: Partial<NetProperties> = {}) {
    const { receive, transmit, control, events, long } = this;
    const lanes = {
      receive: receive.client,
      transmit: transmit.client,
      control: control.client,
      events: events.client,
      long: long.client,
    };
    this.#open = network.open(new Map(Object.entries(lanes)), { ...PROPERTIES, ...properties }, "");
    this.client = this.#open.client;
  }

  /** Delivers a frame in slots of so many bytes each, at byte 12 of each. */
  deliver(
    slots: readonly number[],
    words: Record<number, number>,
    lengths: readonly number[],
  ): void {
    const { driver } = this.receive;
    for (const [i, slot] of slots.entries()) {
      driver.setWord(slot, NetReceiveWord.place, i === 0 ? slots.length | 12 << 16 : 0);
      for (const [word, value] of Object.entries(words)) driver.setWord(slot, Number(word), value);
      driver.complete(slot, Status.ok, lengths[i]!);
    }
    driver.publish();
    this.receive.client.drain();
  }

  /** Answers control operations until there are none: what they were. */
  async answer(status: (operation: number) => number = () => Status.ok): Promise<number[][]> {
    const done: number[][] = [];
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      const [slot] = this.control.take();
      if (slot === undefined) return done;
      const operation = this.control.driver.word(slot, NetControlWord.operation);
      done.push([operation, this.control.driver.word(slot, NetControlWord.arguments)]);
      this.control.complete([slot], status(operation));
      this.control.client.drain();
    }
  }

  /** What the core does when device and driver were started anew, and tell this. */
  restart(properties: Partial<NetProperties> = {}): void {
    this.#open.update({ ...PROPERTIES, ...properties });
    for (const pair of [this.receive, this.transmit, this.control, this.events]) pair.restart();
    this.#open.restarted();
  }
}

Deno.test("NetClient gives all slots to the driver, and gives back those of frames that are not read", () => {
  const bench = new Bench();
  const slots = bench.receive.take();
  assertEquals(slots.toSorted(), [0, 1, 2, 3, 4, 5, 6, 7]);
  for (let i = 0; i < 20; i++) {
    bench.deliver([slots.shift()!], {}, [60]);
    slots.push(...bench.receive.take());
  }
  assertEquals([bench.client.unheard, slots.length], [20, 8]);
});

Deno.test("NetClient puts a frame together that takes several slots", async () => {
  const bench = new Bench();
  const slots = bench.receive.take();
  using frames = bench.client.frames();
  slots.forEach((slot) => bench.receive.data(slot).fill(slot + 1));
  bench.deliver(slots.slice(0, 3), { [NetReceiveWord.kind]: NetChecksum.valid | 1 << 16 }, [
    244,
    256,
    9,
  ]);
  const { value } = await frames.next();
  assertEquals([value?.bytes.length, value?.checksum, value?.pair], [509, "valid", 1]);
  assertEquals([value?.bytes[243], value?.bytes[244], value?.bytes[508]], [
    slots[0]! + 1,
    slots[1]! + 1,
    slots[2]! + 1,
  ]);
});

Deno.test("NetClient gives each of several readers all frames, each its own copy", async () => {
  const bench = new Bench();
  const [slot] = bench.receive.take();
  using one = bench.client.frames();
  using two = bench.client.frames();
  bench.deliver([slot!], {}, [60]);
  const [a, b] = [(await one.next()).value!, (await two.next()).value!];
  a.bytes.fill(7);
  assertEquals(b.bytes, new Uint8Array(60));
});

for (
  const [name, first, second, length] of [
    ["a part without a beginning", 0, 0, 60],
    ["a beginning where parts are missing", 3, 1, 60],
    ["more parts than there are slots", 9, 0, 60],
    ["data behind the slot's end", 1, 1, 250],
  ] as const
) {
  Deno.test(`a driver that delivers ${name} is at fault`, () => {
    const bench = new Bench();
    const slots = bench.receive.take();
    const { driver, client } = bench.receive;
    driver.setWord(slots[0]!, NetReceiveWord.place, first | 12 << 16);
    driver.setWord(slots[1]!, NetReceiveWord.place, second | 12 << 16);
    driver.complete(slots[0]!, Status.ok, length);
    driver.complete(slots[1]!, Status.ok, length);
    driver.publish();
    assertThrows(() => client.drain(), BusFault, "The driver delivered");
  });
}

Deno.test("a checksum outside of its frame is not filled in, whatever the driver says", async () => {
  const bench = new Bench();
  const slots = bench.receive.take();
  using frames = bench.client.frames();
  for (const place of [59 | 0 << 16, 0xffffffff, 0 | 59 << 16]) {
    bench.deliver([slots.shift()!], {
      [NetReceiveWord.kind]: NetChecksum.partial,
      [NetReceiveWord.checksum]: place,
    }, [60]);
    const { value } = await frames.next();
    assertEquals([value?.checksum, value?.bytes], ["unknown", new Uint8Array(60)]);
  }
});

Deno.test("NetClient sends as many frames as there are slots, and the others later, in order", async () => {
  const bench = new Bench();
  const frame = (first: number) => new Uint8Array(20).fill(first);
  const sending = [1, 2, 3, 4].map((first) => bench.client.send(frame(first)));
  assertEquals(bench.client.trySend(frame(5)), false);
  const sent: number[] = [];
  while (sent.length < 4) {
    const slots = bench.transmit.take();
    for (const slot of slots) sent.push(bench.transmit.data(slot)[TRANSMIT_HEADROOM]!);
    bench.transmit.complete(slots);
    bench.transmit.client.drain();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals(sent, [1, 2, 3, 4]);
  await Promise.all(sending);
  const failing = bench.client.send(frame(6));
  bench.transmit.complete(bench.transmit.take(), Status.unsupported);
  bench.transmit.client.drain();
  await assertRejects(() => failing, RequestError, "Cannot send a frame of 20 bytes");
});

Deno.test("no frame overtakes a longer one that waits for room #vtnet:long", async () => {
  const bench = new Bench({ mtu: 4000 });
  const lengths = [3000, 3001, 20, 3002, 21];
  const sending = lengths.map((length) => bench.client.send(new Uint8Array(length)));
  const sent: number[] = [];
  while (sent.length < lengths.length) {
    // A slot is free, but not the one that is long.
    assert(sent.length > 2 || !bench.client.trySend(new Uint8Array(22)));
    const slots = bench.transmit.take();
    for (const slot of slots) {
      sent.push(bench.transmit.driver.word(slot, NetTransmitWord.length));
      const { driver } = bench.transmit;
      assertEquals(driver.word(slot, NetTransmitWord.long), sent.at(-1)! >= 3000 ? 1 : 0);
    }
    bench.transmit.complete(slots);
    bench.transmit.client.drain();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals(sent, lengths);
  await Promise.all(sending);
  const waiting = [20, 21, 3000, 22].map((length) => bench.client.send(new Uint8Array(length)));
  for (const pair of [bench.transmit, bench.long]) pair.client.fail();
  for (const each of waiting) await assertRejects(() => each, RequestError, "gone");
  assertEquals([bench.client.slots.take(3000), bench.client.slots.take(3000)], [0, -1]);
});

Deno.test("control operations come one at a time, and what was set is set again after a restart", async () => {
  const bench = new Bench();
  const { client } = bench;
  using changes = client.changes();
  const all = Promise.all([
    client.filter.setPromiscuous(true),
    client.filter.addVlan(7),
    client.filter.addVlan(8),
    client.filter.removeVlan(7),
    client.filter.setPromiscuous(false),
    client.steering.setQueuePairs(2),
  ]);
  const { promiscuous, addVlan, removeVlan, queuePairs } = NetOperation;
  assertEquals(await bench.answer(), [
    [promiscuous, 1],
    [addVlan, 7],
    [addVlan, 8],
    [removeVlan, 7],
    [promiscuous, 0],
    [queuePairs, 2],
  ]);
  await all;
  // One operation is with the device when that is started anew: it comes last again.
  const late = client.filter.addVlan(9);
  assertEquals(bench.control.take().length, 1);
  bench.restart();
  const status = (operation: number) => operation === queuePairs ? Status.failed : Status.ok;
  assertEquals(await bench.answer(status), [
    [addVlan, 8],
    [promiscuous, 0],
    [queuePairs, 2],
    [addVlan, 9],
  ]);
  await late;
  assertEquals((await changes.next()).value, { type: "restarted", lost: ["use 2 queue pairs"] });
});

Deno.test("a restart while all is set again begins that again", async () => {
  const bench = new Bench();
  const { client } = bench;
  const setting = Promise.all([client.filter.addVlan(1), client.filter.addVlan(2)]);
  await bench.answer();
  await setting;
  bench.restart();
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(bench.control.take().length, 1);
  bench.restart();
  assertEquals(await bench.answer(), [[NetOperation.addVlan, 1], [NetOperation.addVlan, 2]]);
});

Deno.test("parts of a frame that had come before a restart are void", async () => {
  const bench = new Bench();
  const slots = bench.receive.take();
  using frames = bench.client.frames();
  const { driver } = bench.receive;
  driver.setWord(slots[0]!, NetReceiveWord.place, 2 | 12 << 16);
  driver.complete(slots[0]!, Status.ok, 244);
  driver.publish();
  bench.receive.client.drain();
  bench.restart();
  const again = bench.receive.take();
  assertEquals(again.length, 8);
  bench.deliver([again[0]!], {}, [60]);
  assertEquals((await frames.next()).value?.bytes.length, 60);
});

Deno.test("NetClient hears of its link, and waits for the next change", async () => {
  const bench = new Bench();
  using changes = bench.client.changes();
  for (const link of [0, 1, 0]) {
    const [slot] = bench.events.take();
    bench.events.driver.setWord(slot!, NetEventWord.link, link);
    bench.events.driver.setWord(slot!, NetEventWord.speed, 1000);
    bench.events.complete([slot!]);
    bench.events.client.drain();
    assertEquals((await changes.next()).value, { type: "link", up: link === 1 });
  }
  assertEquals([bench.client.linkUp, bench.client.speed], [false, 1000]);
});

Deno.test("a driver that comes back with other properties is believed, and nothing goes stale #vtnet:MTU #vtnet:replay", async () => {
  const bench = new Bench({ transmitOffloads: 3 });
  const { client } = bench;
  using changes = client.changes();
  await assertRejects(() => client.send(new Uint8Array(1600)), RangeError, "the MTU is 1500");
  bench.restart({ mtu: 1800, link: false, speed: 10, duplex: 0, pairs: 4, hashTypes: 5 });
  assertEquals([client.mtu, client.steering.queuePairs, client.steering.hashes.types], [
    1800,
    4,
    5,
  ]);
  assertEquals([client.linkUp, client.speed, client.duplex], [false, 10, "half"]);
  assertEquals(client.offloads.transmit.tcp4, false);
  assertEquals((await changes.next()).value, { type: "link", up: false });
  bench.restart({ mac: "02:00:00:00:00:07", mtu: 1800 });
  assertEquals(formatMac(client.mac), "02:00:00:00:00:07");
  const chosen = client.setMac(Uint8Array.of(2, 0, 0, 0, 0, 9));
  await bench.answer();
  await chosen;
  bench.restart({ mac: "02:00:00:00:00:08", mtu: 1800 });
  assertEquals(formatMac(client.mac), "02:00:00:00:00:09");
  assert(client.trySend(new Uint8Array(1600)));
  const tcp4 = { type: "tcp4", size: 500, headers: 54 } as const;
  const offload = { checksum: { start: 34, offset: 16 }, segmentation: tcp4 };
  await assertRejects(() => client.send(new Uint8Array(1600), offload), TypeError, "cut tcp4");
});

Deno.test("netProperties checks what a driver says", () => {
  const read = (told: Record<string, unknown>) => readProperties(netProperties, told, "vtnet");
  assertEquals(read({ ...PROPERTIES }), PROPERTIES);
  const wrong: Record<string, unknown[]> = {
    mac: [undefined, 5, "52:54:00:12:34", "52:54:00:12:34:5g"],
    mtu: [67, 65536, "1500", 1500.5],
    link: [1, undefined],
    pairs: [0, 0x8001],
    speed: [-1, 2 ** 32],
    hashKeyBytes: [256],
    rssEntries: [0x8001],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const wrong = { ...PROPERTIES, [name]: value };
      assertThrows(() => read(wrong), TypeError, `property ${name} of the driver vtnet: it is`);
    }
  }
});

Deno.test("an answer of the device that is shorter than it must be is invalid #core:short", async () => {
  const bench = new Bench();
  for (
    const ask of [
      () => bench.client.coalescing.queue(0, "receive"),
      () => bench.client.deviceStatistics(),
    ]
  ) {
    const asked = assertRejects(ask, RequestError, "invalid");
    await new Promise((resolve) => setTimeout(resolve, 0));
    bench.control.complete(bench.control.take(), Status.ok, 7);
    bench.control.client.drain();
    await asked;
  }
});

Deno.test("a drainer of frames may throw in the middle of one: the rest goes back, and the next is whole #core:callbacks #core:slots", () => {
  const bench = new Bench();
  const all = bench.receive.take();
  using receiver = bench.client.slots.receive();
  bench.deliver(all.slice(0, 3), {}, [244, 244, 9]);
  bench.deliver(all.slice(3, 5), {}, [244, 10]);
  const seen: number[][] = [];
  const take = (slot: number, _: number, length: number, more: number) => {
    seen.push([slot, length, more]);
    assertThrows(() => receiver.drain(take), TypeError, "while they are drained");
    if (seen.length === 2) fail(null);
  };
  let thrown: unknown = "nothing";
  try {
    receiver.drain(take);
  } catch (error) {
    thrown = error;
  }
  assertEquals(thrown, null);
  assertEquals(seen, [[all[0]!, 244, 2], [all[1]!, 244, 1]]);
  assertEquals(receiver.drain((...part) => seen.push([part[0], part[2], part[3]])), 1);
  assertEquals(seen.slice(2), [[all[3]!, 244, 1], [all[4]!, 10, 0]]);
  assertEquals(receiver.drain(() => {}), 0);
  // The third was given back; the four that were lent are given back once each.
  for (const [slot] of seen) {
    receiver.release(slot!);
    assertThrows(() => receiver.release(slot!), TypeError, "was given back since");
  }
  receiver.publish();
  assertEquals(bench.receive.take().toSorted(), all.slice(0, 5).toSorted());
});
