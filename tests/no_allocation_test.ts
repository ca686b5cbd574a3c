import { assert, assertEquals, assertMatch } from "@std/assert";

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
    import { ClientLane } from ${core("class/client_lane.ts")};
    import { DriverLane } from ${core("class/driver_lane.ts")};
    import { lanePlaces } from ${core("class/lane.ts")};
    const SLOTS = 64;
    const layout = { name: "requests", slots: SLOTS, slotBytes: 512, control: 0, data: 0 };
    const control = new SharedArrayBuffer(lanePlaces(0, SLOTS).end * 4);
    const arena = new SharedArrayBuffer(SLOTS * 512);
    const driver = new DriverLane(control, layout);
    const attention = { [Symbol.dispose]() {} };
    const client = new ClientLane(layout, {
      control, arena, spins: 10, ring() {}, pump() {}, turn() {}, attend: () => attention,
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

/** Lines that the garbage collector printed in the measured part, and the number of requests. */
async function collections(script: string): Promise<{ lines: string[]; requests: number }> {
  const file = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(file, script);
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--no-config", "--v8-flags=--trace-gc", file],
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

Deno.test("garbage would be noticed", async () => {
  const script = `${MARKS}
    globalThis.kept = undefined;
    measured((count) => { for (let i = 0; i < count; i++) globalThis.kept = { i }; }, 10_000_000);
    console.log("requests 0");`;
  const { lines } = await collections(script);
  assert(lines.length > 0);
});
