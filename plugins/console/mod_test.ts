import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Config, type Device, type Offer, type Plan, Status } from "@virtio/deno/plugin";
import { configView } from "@virtio/deno/testing";
import { ConsoleWord, PortState } from "@virtio/deno/classes/console";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import consoleDriver from "./mod.ts";
import { Port } from "./port.ts";
import * as wire from "./wire.ts";

function config(ports: number): Config {
  const view = new DataView(new ArrayBuffer(wire.CONFIG_BYTES));
  view.setUint32(wire.CONFIG_MAX_NR_PORTS, ports, true);
  return configView(new Uint8Array(view.buffer));
}

function plan(
  features: bigint,
  ports: number,
  queues: readonly number[],
): Plan<string, string, string> {
  const offer: Partial<Offer> = { features, config: config(ports), queues, tunables: {} };
  const answer = consoleDriver.plan(offer as Offer);
  assert(!("decline" in answer));
  return answer;
}

const ALL = wire.F_SIZE | wire.F_MULTIPORT | wire.F_EMERG_WRITE;

Deno.test("the plan takes what the driver knows, and nothing that was not offered #console:MULTIPORT", () => {
  for (let bit = 0n; bit < 64n; bit++) {
    const { features } = plan(1n << bit, 1, Array(8).fill(64));
    assertEquals(features, 1n << bit & ALL);
  }
  const { queues, lanes, properties } = plan(0n, 0, [64, 64]);
  assertEquals(Object.values(queues).map(({ index }) => index), [0, 1]);
  assertEquals(Object.keys(lanes), ["receive", "transmit", "control", "events"]);
  assertEquals(properties, { ports: 1, emergencyWrite: false });
});

for (
  const [declared, present, ports] of [
    [1, 4, 1],
    [2, 6, 2],
    [31, 64, 31],
    [32, 66, 32],
    [512, 1024, 32],
    [0x8000, 66, 32],
    [4, 6, 2], // fewer queues than it says
    [4, 5, 1], // half a port
    [0, 64, 0],
    [0x8001, 66, 0],
    [2 ** 32 - 1, 66, 0],
    [4, 3, 0], // no control queues
  ] as const
) {
  Deno.test(`max_nr_ports of ${declared} with ${present} queues means ${ports || "no"} ports #console:CONFIG`, () => {
    const { features, queues, properties } = plan(ALL, declared, Array(present).fill(64));
    assertEquals((features! & wire.F_MULTIPORT) !== 0n, ports > 0);
    assertEquals(properties!.ports, ports || 1);
    assertEquals(Object.keys(queues).length, ports > 0 ? 2 * ports + 2 : 2);
  });
}

Deno.test("control queues that are lost mean a new start #console:RING_RESET", () => {
  const queue = new FakeQueue();
  queue.room = 0;
  const lane = { slots: 8, slotBytes: 16 };
  const buffer = { offset: 0, bytes: new Uint8Array(new SharedArrayBuffer(16384)) };
  const device = {
    features: wire.F_MULTIPORT,
    config: config(1),
    tunables: {},
    queues: { receive0: queue, transmit0: queue, controlReceive: queue, controlTransmit: queue },
    lanes: { receive: lane, transmit: lane, control: lane, events: lane },
    buffers: { heard: buffer, said: buffer },
  };
  const driver = consoleDriver.start(device as unknown as Device<string, string, string>);
  for (const name of ["controlReceive", "controlTransmit"]) {
    assertThrows(() => driver.queueReset!(name, []), Error, "to be said anew");
  }
});

/** A port between a queue with room for `room` requests and a lane. */
function bench(room = 4) {
  const queued: number[] = [];
  const ended: number[][] = [];
  let cookie = 0;
  const queue = {
    begin: (slot: number) => cookie = slot,
    readable() {},
    writable() {},
    commit: () => queued.length < room && queued.push(cookie) > 0,
    get inFlight() {
      return queued.length;
    },
    drain(collect: (slot: number, written: number) => void) {
      for (const slot of queued.splice(0)) collect(slot, 5);
    },
  };
  const lane = {
    slotBytes: 16,
    offset: (slot: number) => 16 * slot,
    word: (slot: number, word: number) => word === ConsoleWord.generation ? 1 : slot + 1,
    complete: (...end: number[]) => void ended.push(end),
  };
  const recalled: number[] = [];
  const parts = {
    receive: lane,
    transmit: lane,
    next: new Int32Array(32),
    slots: 4,
    recall: (port: Port) => void recalled.push(port.id),
    nameBytes: 8,
  };
  const idle = { ...queue, inFlight: 0, drain() {} };
  const make = (receives: boolean) =>
    new Port(
      0,
      {
        ...parts,
        receiveq: receives ? queue : idle,
        transmitq: receives ? idle : queue,
      } as unknown as ConstructorParameters<typeof Port>[1],
    );
  return { make, queued, ended, recalled };
}

Deno.test("a port sends in order, no more than there is room for, and only while the other side is open #console:FLOW_HOST", () => {
  const { make, queued, ended } = bench(2);
  const port = make(false);
  port.appear();
  for (const slot of [3, 1, 2]) port.accept(slot);
  assertEquals([queued, port.waits], [[], true]);
  port.state |= PortState.connected;
  port.feed();
  assertEquals(queued, [3, 1]);
  port.drain();
  assertEquals(queued, [2]);
  port.drain();
  assertEquals(ended, [[3, Status.ok, 4], [1, Status.ok, 2], [2, Status.ok, 3]]);
  assertEquals([port.waits, port.counters.bytes_sent], [false, 9]);
});

Deno.test("what a port had no room for is given back when it goes, what its device has is recalled #console:DEVICE_REMOVE", () => {
  const { make, queued, ended, recalled } = bench(1);
  const port = make(false);
  port.appear();
  port.state |= PortState.connected;
  for (const slot of [0, 1, 2]) port.accept(slot);
  port.drain = () => {}; // the device does not give back what it has got
  port.vanish();
  assertEquals([queued, ended], [[0], [[1, Status.failed, 0], [2, Status.failed, 0]]]);
  assert(!port.waits);
  assertEquals(recalled, [0]);
});

Deno.test("bytes for a port that went are not for the next one with its number #console:write_unplugged", () => {
  const { make, queued, ended } = bench();
  const port = make(false);
  port.accept(0);
  port.appear();
  port.state |= PortState.connected;
  port.accept(1);
  port.vanish();
  port.appear();
  port.state |= PortState.connected;
  port.accept(2);
  const refused = [[0, Status.failed, 0], [2, Status.failed, 0]];
  assertEquals([queued, ended.filter(([, status]) => status === Status.failed)], [[], refused]);
});

Deno.test("a port whose queue is full of what another left there asks for a new start #console:write_unplugged", () => {
  const { make, recalled } = bench();
  const port = make(false);
  port.appear();
  port.state |= PortState.connected;
  for (const slot of [0, 1, 2, 3]) port.accept(slot);
  port.drain = () => {};
  port.vanish();
  assertEquals(recalled, [0]);
  assertThrows(() => port.appear(), Error, "keeps all that was sent");
});

Deno.test("slots are kept for a port that is not there, and bytes for one that is not open are dropped #console:FLOW_GUEST_CLOSED", () => {
  const { make, queued, ended } = bench();
  const port = make(true);
  for (const slot of [0, 1]) port.lend(slot);
  assertEquals(queued, []);
  port.appear();
  assertEquals(queued, [0, 1]);
  port.drain();
  assertEquals([queued, ended], [[0, 1], []], "they go back to the device at once");
  assertEquals(port.counters.bytes_discarded, 10);
  port.state |= PortState.open;
  port.drain();
  assertEquals(ended, [[0, Status.ok, 5], [1, Status.ok, 5]]);
  for (const slot of [0, 1, 2, 3, 4]) port.lend(slot);
  assertEquals(ended.at(-1), [4, Status.failed, 0], "there is no room for more than the queue has");
});
