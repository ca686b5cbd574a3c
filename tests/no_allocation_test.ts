import { assert, assertEquals, assertMatch } from "@std/assert";
import { patience } from "./support/patience.ts";

// The hot path allocates nothing: in a process of its own, whose garbage collector reports every run, millions of
// requests go by after a warm-up without a single one.

const core = (path: string) => JSON.stringify(import.meta.resolve(`../core/${path}`));

const MARKS = `
  const encoder = new TextEncoder();
  const [BEGIN, END] = ["<measured>\\n", "</measured>\\n"].map((text) => encoder.encode(text));
  function measured(run, count) {
    Deno.stdout.writeSync(BEGIN);
    run(count);
    Deno.stdout.writeSync(END);
  }
`;

/** Driver side of a split virtqueue, against a device that answers at once. */
function ringScript(descriptors: number, segments: number, eventIndex: boolean, requests: number) {
  return `${MARKS}
    import { addressTable } from ${core("dma/address_table.ts")};
    import { layoutSplit } from ${core("virtqueue/layout.ts")};
    import { SplitDriver } from ${core("virtqueue/split_driver.ts")};
    const SIZE = 256, BATCH = 32;
    const layout = layoutSplit(0, SIZE, ${segments});
    const bytes = layout.end + 65536;
    const memory = new SharedArrayBuffer(bytes);
    const halves = new Uint16Array(memory);
    const words = new Uint32Array(memory);
    const driver = new SplitDriver({
      memory,
      layout,
      addresses: addressTable([{ address: 2 ** 32 - 65536, length: bytes }]),
      eventIndex: ${eventIndex},
      notify() {},
    });
    const ring = layout.driver / 2, used = layout.device / 2, elements = layout.device / 4 + 1;
    let seen = 0;
    function device() {
      const end = Atomics.load(halves, ring + 1);
      for (; seen !== end; seen = seen + 1 & 0xffff) {
        const at = elements + (seen & SIZE - 1) * 2;
        words[at] = halves[ring + 2 + (seen & SIZE - 1)];
        words[at + 1] = 8;
      }
      Atomics.store(halves, used + 1, seen);
    }
    let cookies = 0;
    const collect = (cookie, written) => { cookies = cookies + cookie + written | 0; };
    function run(count) {
      let done = 0;
      while (done < count) {
        for (let i = 0; i < BATCH; i++) {
          driver.begin(i);
          const at = layout.end + i * 512;
          for (let d = 1; d < ${descriptors}; d++) driver.readable(at + d * 16, 16);
          driver.writable(at, 8);
          if (!driver.commit()) throw new Error("no room");
        }
        driver.publish();
        device();
        done += driver.drain(collect);
        driver.arm();
      }
      if (driver.broken || driver.inFlight !== 0) throw new Error("the ring lost requests");
    }
    run(400_000);
    measured(run, ${requests});
    console.log("requests", driver.counters.completed);
  `;
}

/** Both ends of a lane, and a driver that completes what it takes. */
function laneScript(requests: number) {
  return `${MARKS}
    import { ClientLane } from ${core("bus/client_lane.ts")};
    import { DriverLane } from ${core("bus/driver_lane.ts")};
    import { lanePlaces } from ${core("bus/lane.ts")};
    const SLOTS = 64;
    const layout = { name: "requests", slots: SLOTS, slotBytes: 512, control: 0, data: 0 };
    const control = new SharedArrayBuffer(lanePlaces(0, SLOTS).end * 4);
    const arena = new SharedArrayBuffer(SLOTS * 512);
    const driver = new DriverLane(control, layout);
    const polling = { [Symbol.dispose]() {} };
    const client = new ClientLane(layout, {
      control, arena, spins: 10, ring() {}, run: () => true, wait() {}, busyPoll: () => polling,
    });
    let ended = 0;
    const done = (slot, status, length) => {
      ended = ended + 1 | 0;
      if (length !== 512 || status !== 0) throw new Error("another answer");
      client.release(slot);
    };
    const start = (slot) => {
      driver.complete(slot, 0, driver.word(slot, 2));
      return true;
    };
    function run(count) {
      for (let left = count; left > 0; left -= SLOTS) {
        for (let i = 0; i < SLOTS; i++) {
          const slot = client.take();
          client.setWord(slot, 0, 1);
          client.setWord(slot, 2, 512);
          client.submit(slot, done);
        }
        client.publish();
        driver.take(start);
        driver.publish();
        if (client.drain() !== SLOTS) throw new Error("the lane lost requests");
      }
    }
    run(400_000);
    measured(run, ${requests});
    console.log("requests", client.ended);
  `;
}

/** The network driver between its lanes and two queues, and the client as slots: frames come and go. */
function netScript(frames: number) {
  const vtnet = (path: string) => JSON.stringify(import.meta.resolve(`../plugins/vtnet/${path}`));
  return `${MARKS}
    import { addressTable } from ${core("dma/address_table.ts")};
    import { layoutSplit } from ${core("virtqueue/layout.ts")};
    import { SplitDriver } from ${core("virtqueue/split_driver.ts")};
    import { ClientLane } from ${core("bus/client_lane.ts")};
    import { DriverLane } from ${core("bus/driver_lane.ts")};
    import { lanePlaces } from ${core("bus/lane.ts")};
    import { NetBurst } from ${core("../classes/network/burst.ts")};
    import { NetReceiver } from ${core("../classes/network/receiver.ts")};
    import { FrameSlots } from ${core("../classes/network/frame_slots.ts")};
    import { NetSlots } from ${core("../classes/network/slots.ts")};
    import { receiveQueue } from ${vtnet("receive.ts")};
    import { transmitQueues } from ${vtnet("transmit.ts")};
    const SLOTS = 64, BYTES = 2048, MRG = 1n << 15n;
    const arena = new SharedArrayBuffer(1 << 20);
    const halves = new Uint16Array(arena), words = new Uint32Array(arena);
    const control = new SharedArrayBuffer(1 << 16);
    let end = 0;
    const place = (bytes) => (end += Math.ceil(bytes / 4096) * 4096) - Math.ceil(bytes / 4096) * 4096;
    const polling = { [Symbol.dispose]() {} };
    function pair(name, at) {
      const layout = { name, slots: SLOTS, slotBytes: BYTES, control: at, data: place(SLOTS * BYTES) };
      const port = {
        control, arena, spins: 10, ring() {}, run: () => true, wait() {}, busyPoll: () => polling,
      };
      return [new DriverLane(control, layout), new ClientLane(layout, port)];
    }
    function queue(segments) {
      const layout = layoutSplit(0, 256, segments);
      const shifted = layoutSplit(place(layout.end), 256, segments);
      const addresses = addressTable([{ address: 0, length: arena.byteLength }]);
      const driver = new SplitDriver({
        memory: arena, layout: shifted, addresses, eventIndex: false, notify() {},
      });
      let seen = 0;
      const ring = shifted.driver / 2, used = shifted.device / 2, elements = shifted.device / 4 + 1;
      return [driver, (written) => {
        const last = Atomics.load(halves, ring + 1);
        for (; seen !== last; seen = seen + 1 & 0xffff) {
          const at = elements + (seen & 255) * 2;
          words[at] = halves[ring + 2 + (seen & 255)];
          words[at + 1] = written;
        }
        Atomics.store(halves, used + 1, seen);
      }];
    }
    const [receiveLane, receiveClient] = pair("receive", 0);
    const [transmitLane, transmitClient] = pair("transmit", lanePlaces(0, SLOTS).end * 4 + 64 & ~63);
    const [receiveRing, fill] = queue(0);
    const [transmitRing, send] = queue(0);
    const shape = { features: MRG, headerBytes: 12 };
    const receiving = receiveQueue({
      ...shape, pair: 0, queue: receiveRing, lane: receiveLane, arena, apart: false, longest: 1518,
    });
    const transmit = transmitQueues({
      ...shape,
      queues: [transmitRing],
      lane: transmitLane,
      arena,
      apart: false,
      longest: { whole: 1518, cut: 1518 },
    });
    const receiver = new NetReceiver(receiveClient, () => {}, () => {});
    const frames = new FrameSlots(transmitClient);
    const slots = new NetSlots(frames, transmitClient, receiveClient, receiver);
    slots.receive();
    for (let i = 0; i < SLOTS; i++) halves[receiveLane.offset(i) / 2 + 5] = 1;
    let came = 0, went = 0;
    const taken = (slot, _offset, length) => {
      if (length !== 60) throw new Error("another frame");
      came = came + 1 | 0;
      receiver.release(slot);
    };
    const done = (slot, status) => {
      if (status !== 0) throw new Error("another answer");
      went = went + 1 | 0;
      slots.release(slot);
    };
    const burst = new NetBurst(SLOTS);
    function run(count) {
      const goal = went + count;
      // By turns a frame at a time, and a burst.
      for (let turn = 0; went < goal; turn++) {
        if (turn % 2 === 0) {
          for (let slot = slots.take(); slot >= 0; slot = slots.take()) slots.submit(slot, 60, done);
          slots.publish();
        } else {
          went += slots.takeBurst(burst);
          burst.lengths.fill(60);
          slots.submitBurst(burst);
        }
        transmitLane.take(transmit.provide);
        receiveLane.take(receiving.provide);
        transmitRing.publish();
        receiveRing.publish();
        send(0);
        fill(72);
        transmit.collect();
        receiving.collect();
        transmitLane.publish();
        receiveLane.publish();
        transmitClient.drain();
        receiveClient.drain();
        if (turn % 2 === 0) receiver.drain(taken);
        else {
          came += receiver.drainBurst(burst);
          receiver.releaseBurst(burst);
        }
        receiver.publish();
      }
    }
    run(400_000);
    measured(run, ${frames});
    if (slots.unsent > 0 || came < went / 2) throw new Error("frames were lost");
    console.log("requests", went);
  `;
}

/** The NVMe driver between its lane and a controller that answers at once: reads of more pages than two. */
function nvmeScript(commands: number) {
  const nvme = (path: string) => JSON.stringify(import.meta.resolve(`../plugins/nvme/${path}`));
  return `${MARKS}
    import nvme from ${nvme("mod.ts")};
    import * as wire from ${nvme("wire.ts")};
    import { ClientLane } from ${core("bus/client_lane.ts")};
    import { DriverLane } from ${core("bus/driver_lane.ts")};
    import { lanePlaces } from ${core("bus/lane.ts")};
    const arena = new SharedArrayBuffer(16 << 20), control = new SharedArrayBuffer(1 << 17);
    const words = new Int32Array(arena), bytes = new Uint8Array(arena);
    const tunables = { namespace: 0, num_io_queues: 1, shadow_doorbells: true, abort_after: 5000 };
    const plan = nvme.plan({ tunables });
    let end = 0, ends = 0;
    const place = (length) => (end += Math.ceil(length / 4096) * 4096) - Math.ceil(length / 4096) * 4096;
    const buffers = Object.fromEntries(Object.entries(plan.buffers).map(([name, length]) => {
      const offset = place(length);
      return [name, { offset, bytes: new Uint8Array(arena, offset, length) }];
    }));
    const layouts = Object.entries(plan.lanes).map(([name, { slots, slotBytes }]) => {
      const layout = { name, slots, slotBytes, control: ends, data: place(slots * slotBytes) };
      ends = Math.ceil(lanePlaces(ends, slots).end * 4 / 64) * 64;
      return layout;
    });
    const lanes = Object.fromEntries(layouts.map((each) => [each.name, new DriverLane(control, each)]));
    // A controller whose device addresses are places in the arena.
    const registers = new Int32Array(64), queues = new Map();
    registers[0] = 255 | 1 << 24;
    registers[1] = wire.CAP_CSS_NVM;
    function admin(at) {
      const [opcode, prp1, cdw10] = [words[at] & 0xff, words[at + wire.PRP1], words[at + wire.CDW10]];
      if (opcode === wire.CREATE_CQ) queues.set(1, { sq: 0, cq: prp1 / 4, head: 0, tail: 0, phase: 1 << 16 });
      if (opcode === wire.CREATE_SQ) queues.get(1).sq = prp1 / 4;
      if (opcode !== wire.IDENTIFY) return 0;
      if (cdw10 === wire.CNS_ACTIVE_NAMESPACES) words[prp1 / 4] = 1;
      if (cdw10 === wire.CNS_NAMESPACE) {
        words[prp1 / 4] = 1 << 20;
        bytes[prp1 + wire.NS_LBAF + 2] = 9;
      }
      return cdw10 === wire.CNS_NVM_CONTROLLER ? 2 : 0;
    }
    function serve(id, queue, tail) {
      const size = id === 0 ? 64 : 256;
      for (; queue.head !== tail; queue.head = (queue.head + 1) % size) {
        const at = queue.sq + queue.head * 16;
        const status = id === 0 ? admin(at) : 0;
        const entry = queue.cq + queue.tail * 4;
        words[entry] = 0;
        words[entry + 2] = id << 16 | (queue.head + 1) % size;
        words[entry + 3] = words[at] >>> 16 | queue.phase | status << 17;
        queue.tail = (queue.tail + 1) % size;
        if (queue.tail === 0) queue.phase ^= 1 << 16;
      }
    }
    const window = (write32) => ({ size: 4096, read32: (offset) => registers[offset / 4], write32 });
    const driver = nvme.start({
      registers: {
        controller: window((offset, value) => {
          registers[offset / 4] = value;
          if (offset === wire.CC) registers[wire.CSTS / 4] = value & 1;
          if (offset !== wire.CC || !(value & 1)) return;
          const [sq, cq] = [registers[wire.ASQ / 4] / 4, registers[wire.ACQ / 4] / 4];
          queues.set(0, { sq, cq, head: 0, tail: 0, phase: 1 << 16 });
        }),
        doorbells: window((offset, value) => {
          if ((offset & 4) === 0) serve(offset >> 3, queues.get(offset >> 3), value);
        }),
      },
      lanes, buffers, tunables, vectors: 9,
      address: (offset) => offset,
      setProperties() {},
    });
    const polling = { [Symbol.dispose]() {} };
    const client = new ClientLane(layouts[0], {
      control, arena, spins: 10, ring() {}, run: () => true, wait() {}, busyPoll: () => polling,
    });
    let sector = 0;
    const done = (slot, status, length) => {
      if (length !== 16384 || status !== 0) throw new Error("another answer: " + status);
      client.release(slot);
    };
    function run(count) {
      for (let left = count; left > 0; left -= 64) {
        for (let i = 0; i < 64; i++) {
          const slot = client.take();
          client.setWord(slot, 0, 0);
          client.setWord(slot, 2, 16384);
          client.setWord(slot, 3, sector = sector + 32 & 0xfffff);
          client.setWord(slot, 4, 0);
          client.submit(slot, done);
        }
        client.publish();
        for (let before = client.ended; client.ended < before + 64; client.drain()) {
          driver.rung();
          lanes.requests.publish();
        }
      }
    }
    run(400_000);
    measured(run, ${commands});
    console.log("requests", client.ended);
  `;
}

/** The SCSI driver between its lane and a queue, and the client of a disk as slots: reads come and go. */
function scsiScript(reads: number) {
  const scsi = (path: string) => JSON.stringify(import.meta.resolve(`../plugins/scsi/${path}`));
  const client = (path: string) => core(`../classes/${path}`);
  return `${MARKS}
    import { addressTable } from ${core("dma/address_table.ts")};
    import { layoutSplit } from ${core("virtqueue/layout.ts")};
    import { SplitDriver } from ${core("virtqueue/split_driver.ts")};
    import { ClientLane } from ${core("bus/client_lane.ts")};
    import { DriverLane } from ${core("bus/driver_lane.ts")};
    import { lanePlaces } from ${core("bus/lane.ts")};
    import { BlockOperation } from ${client("block/protocol.ts")};
    import { ScsiCommands } from ${client("scsi/commands.ts")};
    import { ScsiTail } from ${client("scsi/protocol.ts")};
    import { HEADER_STRIDE, makeRequests, responseStride } from ${scsi("requests.ts")};
    const SLOTS = 64, BYTES = 4096, SENSE = 96;
    const arena = new SharedArrayBuffer(1 << 20);
    const halves = new Uint16Array(arena), words = new Uint32Array(arena);
    let end = 0;
    const place = (bytes) => (end += Math.ceil(bytes / 4096) * 4096) - Math.ceil(bytes / 4096) * 4096;
    const layout = { name: "requests", slots: SLOTS, slotBytes: BYTES + ScsiTail.bytes, control: 0 };
    layout.data = place(SLOTS * layout.slotBytes);
    const control = new SharedArrayBuffer(lanePlaces(0, SLOTS).end * 4);
    const polling = { [Symbol.dispose]() {} };
    const lane = new ClientLane(layout, {
      control, arena, spins: 10, ring() {}, run: () => true, wait() {}, busyPoll: () => polling,
    });
    const driverLane = new DriverLane(control, layout);
    const ring = layoutSplit(place(65536), 256, 6);
    const queue = new SplitDriver({
      memory: arena,
      layout: ring,
      addresses: addressTable([{ address: 0, length: arena.byteLength }]),
      eventIndex: false,
      notify() {},
    });
    const buffer = (bytes) => ({ offset: place(bytes), bytes: new Uint8Array(arena) });
    const headers = buffer(SLOTS * HEADER_STRIDE), responses = buffer(SLOTS * responseStride(SENSE));
    const driver = makeRequests({
      queues: [queue], lane: driverLane, headers, responses, senseSize: SENSE, protection: false,
    });
    // A unit that is content with all: only the byte of the response is written.
    const available = ring.driver / 2, used = ring.device / 2, elements = ring.device / 4 + 1;
    const stride = responseStride(SENSE);
    let seen = 0;
    function device() {
      const last = Atomics.load(halves, available + 1);
      for (; seen !== last; seen = seen + 1 & 0xffff) {
        words[elements + (seen & 255) * 2] = halves[available + 2 + (seen & 255)];
        words[elements + (seen & 255) * 2 + 1] = 0;
      }
      for (let slot = 0; slot < SLOTS; slot++) words[responses.offset + slot * stride + 8 >> 2] = 0;
      Atomics.store(halves, used + 1, seen);
    }
    const properties = { bidirectional: false, protection: false, busReset: true };
    const commands = new ScsiCommands(lane, {}, properties, () => {});
    const { slots, requests } = commands.slots({ target: 0, lun: 0 });
    requests.learn({ blockSize: 512, bytes: BYTES, unmapsBySame: false, zeroesUnmap: false }, 0);
    let sector = 0, ended = 0;
    const done = (slot, status, length) => {
      if (status !== 0 || length !== BYTES) throw new Error("another answer: " + status);
      ended = ended + 1 | 0;
      slots.release(slot);
    };
    function run(count) {
      for (const goal = ended + count; ended < goal;) {
        for (let i = 0; i < SLOTS; i++) {
          slots.submit(slots.take(), BlockOperation.read, sector = sector + 8 & 0xfffff, BYTES, done);
        }
        slots.publish();
        driver.provide();
        queue.publish();
        device();
        driver.collect();
        driverLane.publish();
        if (lane.drain() !== SLOTS) throw new Error("the lane lost requests");
      }
    }
    run(400_000);
    measured(run, ${reads});
    console.log("requests", ended);
    commands.flights.stop();
  `;
}

/** Lines that the garbage collector printed in the measured part, and the number of requests. */
async function collections(
  script: string,
  config = "--no-config",
): Promise<{ lines: string[]; requests: number }> {
  const file = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(file, script);
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
      signal: patience(),
      args: ["run", "--quiet", "--no-check", config, "--v8-flags=--trace-gc", file],
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder().decode(stdout);
    assert(success, new TextDecoder().decode(stderr));
    const [, measured] = text.split("<measured>\n");
    const [inside, after] = measured!.split("</measured>\n");
    assertMatch(after!, /requests \d+/);
    return {
      lines: inside!.split("\n").filter((line) => line !== ""),
      requests: Number(after!.match(/requests (\d+)/)![1]),
    };
  } finally {
    await Deno.remove(file);
  }
}

const rings = [
  { descriptors: 1, segments: 0, eventIndex: false },
  { descriptors: 3, segments: 0, eventIndex: true },
  { descriptors: 1, segments: 4, eventIndex: true },
  { descriptors: 3, segments: 4, eventIndex: false },
];

for (const { descriptors, segments, eventIndex } of rings) {
  const kind = segments > 0 ? "indirect" : "direct";
  Deno.test(`3 million requests of ${descriptors} ${kind} descriptors leave no garbage`, async () => {
    const { lines, requests } = await collections(
      ringScript(descriptors, segments, eventIndex, 3_000_000),
    );
    assertEquals(lines, []);
    assert(requests >= 3_400_000);
  });
}

Deno.test("a million requests through a lane leave no garbage", async () => {
  const { lines, requests } = await collections(laneScript(1_000_000));
  assertEquals(lines, []);
  assert(requests >= 1_400_000);
});

Deno.test("a million frames each way through the network driver leave no garbage #vtnet:no-allocation", async () => {
  const config = new URL("../deno.json", import.meta.url).pathname;
  const { lines, requests } = await collections(netScript(1_000_000), `--config=${config}`);
  assertEquals(lines, []);
  assert(requests >= 1_400_000);
});

Deno.test("a million reads of a SCSI disk by slots leave no garbage #scsi:no-allocation", async () => {
  const config = new URL("../deno.json", import.meta.url).pathname;
  const { lines, requests } = await collections(scsiScript(1_000_000), `--config=${config}`);
  assertEquals(lines, []);
  assert(requests >= 1_400_000);
});

Deno.test("a million reads through the NVMe driver leave no garbage #nvme:no-allocation", async () => {
  const config = new URL("../deno.json", import.meta.url).pathname;
  const { lines, requests } = await collections(nvmeScript(1_000_000), `--config=${config}`);
  assertEquals(lines, []);
  assert(requests >= 1_400_000);
});

Deno.test("garbage would be noticed", async () => {
  const script = `${MARKS}
    globalThis.kept = undefined;
    measured((count) => { for (let i = 0; i < count; i++) globalThis.kept = { i }; }, 10_000_000);
    console.log("requests 0");`;
  const { lines } = await collections(script);
  assert(lines.length > 0);
});
