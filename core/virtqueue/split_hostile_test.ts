import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { chain, DriverFault } from "./device_queue.ts";
import { INDIRECT, NEXT, WRITE } from "./descriptor.ts";
import { Random } from "../../conform/random.ts";
import { Rig, type RigOptions } from "./rig_test.ts";
import { SplitDevice } from "./split_device.ts";

/** Used entries that the hostile device makes up; `VIRTIO_FUZZ` sets another number. */
const ENTRIES = Number(Deno.env.get("VIRTIO_FUZZ") ?? 300_000);
/** What the hostile device does follows from this; `VIRTIO_SEED` repeats a run. */
const SEED = Number(Deno.env.get("VIRTIO_SEED") ?? Date.now() % 2 ** 32) >>> 0;

/** A driver that keeps account of its requests, so that whatever comes back can be held against it. */
class Accountant {
  readonly rig: Rig;
  /** Cookies in flight, and the bytes that there is room for. */
  readonly inFlight = new Map<number, number>();
  #cookie = 0;

  constructor(rig: Rig) {
    this.rig = rig;
  }

  submit(buffers: number, bytes: number, readable: boolean): void {
    const { driver, data, dataBytes, layout, options } = this.rig;
    const cookie = this.#cookie = this.#cookie + 1 >>> 0;
    driver.begin(cookie);
    let pieces = 0;
    if (readable) {
      driver.readable(data, 16);
      pieces++;
    }
    for (let i = 0; i < buffers; i++) {
      const offset = data + i * bytes % (dataBytes - bytes);
      driver.writable(offset, bytes);
      pieces += this.rig.pieces(offset, bytes).length;
    }
    // What never fits is a mistake, and not what this is about.
    if (pieces > (options.segments > 0 ? layout.segments : options.size)) return;
    if (driver.commit()) this.inFlight.set(cookie, buffers * bytes);
  }

  drain(): void {
    this.rig.driver.drain((cookie, written) => {
      const room = this.inFlight.get(cookie);
      assert(room !== undefined, `cookie ${cookie} came back and is not in flight`);
      assert(written >= 0 && written <= room, `${written} bytes in a room of ${room}`);
      this.inFlight.delete(cookie);
    });
    assertEquals(this.rig.driver.inFlight, this.inFlight.size);
  }

  /** A queue that is broken stays so, and does nothing more. */
  checkBroken(): void {
    const { driver, data } = this.rig;
    const fault = driver.broken;
    assert(fault && ["D-41", "D-42", "D-48"].includes(fault.rule), fault?.rule);
    assertEquals(driver.drain(() => assert(false, "a broken queue gave something back")), 0);
    assertEquals(driver.arm(), false);
    driver.begin(1);
    driver.writable(data, 1);
    assertEquals(driver.commit(), false);
    driver.publish();
    assertEquals(driver.broken, fault);
  }
}

/** One life of a queue whose device lies, until it breaks. Returns the used entries that were made up. */
function hostileLife(random: (below: number) => number, rules: Map<string, number>): number {
  const size = 1 << random(9);
  const rig = new Rig({
    size,
    segments: [0, 4, 32][random(3)]!,
    eventIndex: random(2) === 0,
    runPages: [1, 3, 1000][random(3)]!,
    dataPages: 4,
  });
  if (random(100) === 0) rig.advance(65536 - random(2 * size));
  const { driver, layout, words, halves } = rig;
  const books = new Accountant(rig);
  const usedRing = layout.device / 4 + 1;
  let index = halves[layout.device / 2 + 1]!;
  let made = 0;
  const element = (at: number, id: number, length: number) => {
    made++;
    words[usedRing + (at & size - 1) * 2] = id;
    words[usedRing + (at & size - 1) * 2 + 1] = length;
  };
  /** A head that may be in flight: as a rule those at the front of the ring are. */
  const plausible = () => halves[layout.driver / 2 + 2 + random(size)]!;
  const heads: number[] = [];
  for (let steps = 0; steps < 400 && !driver.broken; steps++) {
    switch (random(14)) {
      case 0:
      case 1:
      case 2:
        for (let i = random(8); i >= 0; i--) {
          books.submit(1 + random(2), 1 + random(2000), random(2) === 0);
        }
        driver.publish();
        break;
      case 3:
        driver.publish();
        break;
      case 4:
      case 5:
      case 6: {
        // Honest heads, any length: this keeps the queue alive for the rest.
        takeAll(rig, heads);
        const count = Math.min(heads.length, 1 + random(8));
        for (let i = 0; i < count; i++) {
          const [head] = heads.splice(random(heads.length), 1);
          element(index + i, head!, random(3) === 0 ? 0xffffffff - random(9) : random(5000));
        }
        index = index + count & 0xffff;
        halves[layout.device / 2 + 1] = index;
        break;
      }
      case 7:
        // Entries in advance of the index, behind it, and over those that were not looked at yet.
        element(index + random(2 * size) - size, plausible(), random(2 ** 32));
        break;
      case 8:
        if (random(6) > 0) break;
        element(index, [random(2 ** 32), size, size + random(9), 0xffffffff, 65536][random(5)]!, 1);
        index = index + 1 & 0xffff;
        halves[layout.device / 2 + 1] = index;
        break;
      case 9: {
        if (random(4) > 0) break;
        // Heads that may be free, middle descriptors, or used twice.
        const count = random(4);
        const head = plausible();
        for (let i = 0; i < count; i++) element(index + i, random(2) ? head : random(size), 1);
        index = index + count & 0xffff;
        halves[layout.device / 2 + 1] = index;
        break;
      }
      case 10:
        if (random(6) > 0) break;
        index = random(3) === 0 ? random(65536) : index + random(2 * size + 2) - 1 & 0xffff;
        halves[layout.device / 2 + 1] = index;
        break;
      case 11:
        // D-52, D-53, D-62: the device writes where only the driver should. Its own view is none of our business.
        for (let i = 0; i < 8; i++) {
          const [from, to] = layout.indirect === undefined || random(2) === 0
            ? [layout.descriptors, layout.device]
            : [layout.indirect, layout.indirect + 16 * layout.segments * size];
          words[from / 4 + random((to - from) / 4)] = random(2 ** 32);
        }
        heads.length = 0;
        // From here on the honest side of this device would only find nonsense.
        while (!driver.broken && made % 7 !== 0) {
          element(index, random(size), random(2 ** 32));
          if (random(3) === 0) {
            index = index + 1 & 0xffff;
            halves[layout.device / 2 + 1] = index;
          }
          books.drain();
        }
        if (driver.broken) break;
        rules.set("alive", (rules.get("alive") ?? 0) + 1);
        return made;
      case 12:
        // D-58, D-59: wishes about notifications.
        halves[layout.device / 2] = random(65536);
        halves[layout.device / 2 + 2 + 4 * size] = random(65536);
        driver.arm();
        break;
      default:
        books.drain();
    }
  }
  if (driver.broken) {
    rules.set(driver.broken.rule, (rules.get(driver.broken.rule) ?? 0) + 1);
    books.checkBroken();
  }
  return made;
}

Deno.test(`a hostile device gets nothing through (VIRTIO_FUZZ=${ENTRIES} VIRTIO_SEED=${SEED})`, () => {
  const numbers = new Random(SEED);
  const random = (below: number) => numbers.below(below);
  const rules = new Map<string, number>();
  let entries = 0;
  while (entries < ENTRIES) entries += hostileLife(random, rules);
  for (const rule of ["D-41", "D-42", "D-48"]) {
    assert(rules.has(rule), `no queue broke by ${rule} in ${entries} entries`);
  }
});

/** Takes what the driver made available, as far as that still makes sense to a device that lied before. */
function takeAll({ device, chain }: Rig, heads: number[]): void {
  try {
    while (device.take(chain)) heads.push(chain.head);
  } catch (error) {
    if (!(error instanceof DriverFault)) throw error;
    heads.length = 0;
  }
}

/** Writes used entries from another thread, so that they change between any two reads of the driver (D-51). */
const SCRIBBLER = `
  onmessage = ({ data: { memories, driver, device, size, stop } }) => {
    const words = memories.map((memory) => new Uint32Array(memory));
    const halves = memories.map((memory) => new Uint16Array(memory));
    postMessage("ready");
    for (let i = 0; Atomics.load(stop, 0) === 0; i++) {
      const at = device / 4 + 1 + (i % size) * 2;
      for (let k = 0; k < memories.length; k++) {
        words[k][at] = i * 7 % size;
        words[k][at + 1] = i;
        // The index alone is honest, or no entry would ever be looked at.
        const used = halves[k][device / 2 + 1];
        if (i % 20 === 0 && used !== Atomics.load(halves[k], driver / 2 + 1)) {
          Atomics.store(halves[k], device / 2 + 1, used + 1);
        }
      }
    }
  };
`;

Deno.test("a device that writes while the driver reads gets nothing through (D-51)", async () => {
  const url = URL.createObjectURL(new Blob([SCRIBBLER], { type: "text/javascript" }));
  let completed = 0;
  for (const size of [8, 64, 256]) {
    const rigs = Array.from(
      { length: 16 },
      () => new Rig({ size, segments: 0, eventIndex: true, dataPages: 1 }),
    );
    const books = rigs.map((rig) => new Accountant(rig));
    for (const each of books) for (let i = 0; i < size; i++) each.submit(1, 100, false);
    const worker = new Worker(url, { type: "module" });
    // A worker that is busy is not stopped by terminate().
    const stop = new Int32Array(new SharedArrayBuffer(4));
    await new Promise((resolve) => {
      worker.onmessage = resolve;
      const memories = rigs.map(({ memory }) => memory);
      const { driver, device } = rigs[0]!.layout;
      worker.postMessage({ memories, driver, device, size, stop });
    });
    const until = performance.now() + 150;
    while (performance.now() < until) {
      for (const each of books) {
        each.drain();
        each.submit(1, 100, false);
        each.rig.driver.publish();
      }
    }
    Atomics.store(stop, 0, 1);
    worker.terminate();
    for (const each of books) {
      if (each.rig.driver.broken) each.checkBroken();
      completed += each.rig.driver.counters.completed;
    }
  }
  assert(completed > 0, "nothing came through at all");
  URL.revokeObjectURL(url);
});

const lies: readonly {
  readonly name: string;
  readonly rule?: string;
  readonly lie: (rig: Rig, head: number, books: Accountant) => void;
}[] = [
  { name: "a used id of the ring's size", rule: "D-41", lie: ({ device }) => device.put(8, 0) },
  { name: "a used id of all ones", rule: "D-41", lie: ({ device }) => device.put(0xffffffff, 0) },
  { name: "a free descriptor", rule: "D-42", lie: ({ device }) => device.put(7, 0) },
  {
    name: "the middle of a chain",
    rule: "D-42",
    lie: ({ device }, head) => device.put(head + 1, 0),
  },
  {
    name: "the same request twice in a batch (D-43)",
    rule: "D-42",
    lie: ({ device }, head) => {
      device.put(head, 0);
      device.put(head, 0);
    },
  },
  {
    name: "the same request in two batches (D-43)",
    rule: "D-42",
    lie: ({ device }, head, books) => {
      device.put(head, 0);
      device.publish();
      books.drain();
      device.put(head, 0);
    },
  },
  {
    name: "an index that jumps",
    rule: "D-48",
    lie: ({ device }, head) => {
      for (let i = 0; i < 3; i++) device.put(head, 0);
    },
  },
  {
    name: "an index that goes backwards (D-49)",
    rule: "D-48",
    lie: ({ halves, layout }) => halves[layout.device / 2 + 1]!--,
  },
  { name: "an honest answer", lie: ({ device }, head) => device.put(head, 1) },
  { name: "too many bytes (D-45)", lie: ({ device }, head) => device.put(head, 0xffffffff) },
  {
    name: "a descriptor table full of ones (D-52)",
    lie: ({ device, words, layout }, head) => {
      words.fill(0xffffffff, layout.descriptors / 4, layout.driver / 4);
      device.put(head, 1);
    },
  },
  {
    name: "an available ring full of ones (D-53)",
    lie: ({ device, words, layout }, head) => {
      words.fill(0xffffffff, layout.driver / 4, layout.device / 4);
      device.put(head, 1);
    },
  },
];

for (const { name, rule, lie } of lies) {
  Deno.test(`a device that uses ${name} ${rule ? `breaks the queue (${rule})` : "does no harm"}`, () => {
    const rig = new Rig({ size: 8, segments: 0, eventIndex: false });
    const books = new Accountant(rig);
    books.submit(2, 100, true);
    // Beside it one whose head does not follow the first one's.
    books.rig.driver.begin(77);
    books.rig.driver.writable(rig.data, 1);
    books.rig.driver.commit();
    books.inFlight.set(77, 1);
    rig.driver.publish();
    assert(rig.device.take(rig.chain));
    lie(rig, rig.chain.head, books);
    rig.device.publish();
    books.drain();
    assertEquals(rig.driver.broken?.rule, rule);
    if (rule) return books.checkBroken();
    assertEquals([...books.inFlight.keys()], [77]);
    assertEquals(rig.driver.counters.overlong, name.startsWith("too many") ? 1 : 0);
    // All descriptors of the chain are there again.
    for (let i = 0; i < 5; i++) books.submit(1, 1, false);
    assertEquals(books.inFlight.size, 6);
  });
}

Deno.test("a request that was never published does not come back (D-42)", () => {
  const rig = new Rig({ size: 8, segments: 0, eventIndex: false });
  rig.driver.begin(5);
  rig.driver.writable(rig.data, 1);
  assert(rig.driver.commit());
  rig.device.put(0, 1);
  rig.device.publish();
  const got: number[] = [];
  rig.driver.drain((cookie) => got.push(cookie));
  assertEquals(got, []);
  assert(rig.driver.broken);
});

/** One descriptor: address, length, flags, next. */
type Descriptor = readonly [address: number, length: number, flags: number, next: number];

/** A device before a ring that a hostile driver filled. */
function hostileRing(table: readonly Descriptor[], options: Partial<RigOptions> = {}): Rig {
  const rig = new Rig({ size: 4, segments: 0, eventIndex: false, dataPages: 1, ...options });
  write(rig, rig.layout.descriptors, table);
  rig.halves[rig.layout.driver / 2 + 1] = 1;
  return rig;
}

function write(rig: Rig, offset: number, table: readonly Descriptor[]): void {
  for (const [i, [address, length, flags, next]] of table.entries()) {
    const at = offset / 4 + 4 * i;
    rig.words.set(
      [address % 2 ** 32, Math.floor(address / 2 ** 32), length, flags | next << 16],
      at,
    );
  }
}

const faults: readonly {
  readonly name: string;
  readonly says: string;
  readonly table: readonly Descriptor[];
  /** A table behind the ring, for indirect descriptors. */
  readonly inner?: readonly Descriptor[];
  readonly indirect?: boolean;
}[] = [
  { name: "a loop of one", says: "has a loop", table: [[0, 1, NEXT, 0]] },
  {
    name: "a loop of two",
    says: "has a loop",
    table: [[0, 1, NEXT, 1], [0, 1, NEXT, 0]],
  },
  { name: "a chain out of the table", says: "outside a table of 4", table: [[0, 1, NEXT, 4]] },
  { name: "an empty buffer", says: "is empty", table: [[0, 0, 0, 0]] },
  {
    name: "a readable buffer behind a writable one",
    says: "follows a writable one",
    table: [[0, 1, WRITE | NEXT, 1], [0, 1, 0, 0]],
  },
  {
    name: "an indirect table that was not agreed",
    says: "was not agreed",
    table: [[0, 16, INDIRECT, 0]],
  },
  {
    name: "an indirect table with a successor",
    says: "has a successor",
    table: [[0, 16, INDIRECT | NEXT, 1]],
    indirect: true,
  },
  {
    name: "an indirect table of no bytes",
    says: "table of 0 bytes",
    table: [[0, 0, INDIRECT, 0]],
    indirect: true,
  },
  {
    name: "an indirect table with half a descriptor",
    says: "table of 24 bytes",
    table: [[0, 24, INDIRECT, 0]],
    indirect: true,
  },
  {
    name: "an indirect table outside the memory",
    says: "no 16 bytes",
    table: [[2 ** 60, 16, INDIRECT, 0]],
    indirect: true,
  },
  {
    name: "an indirect table at an odd address",
    says: "at an odd address",
    table: [[2 ** 32 + 2, 16, INDIRECT, 0]],
    indirect: true,
  },
  {
    name: "an indirect table in an indirect table",
    says: "was not agreed here",
    table: [[2 ** 32, 16, INDIRECT, 0]],
    inner: [[2 ** 32, 16, INDIRECT, 0]],
    indirect: true,
  },
  {
    name: "a loop in an indirect table",
    says: "has a loop",
    table: [[2 ** 32, 32, INDIRECT, 0]],
    inner: [[0, 1, NEXT, 1], [0, 1, NEXT, 0]],
    indirect: true,
  },
  {
    name: "a chain out of an indirect table",
    says: "outside a table of 1",
    table: [[2 ** 32, 16, INDIRECT, 0]],
    inner: [[0, 1, NEXT, 1]],
    indirect: true,
  },
];

for (const { name, says, table, inner = [], indirect = false } of faults) {
  Deno.test(`a driver's fault: ${name}`, () => {
    const rig = hostileRing(table, { segments: indirect ? 4 : 0 });
    // In a ring of one run, address 2³² is the first byte of the arena: put the table behind the ring instead.
    const offset = rig.layout.end;
    write(rig, offset, inner.map(([address, ...rest]) => [address + offset, ...rest]));
    const moved = table.map(([address, ...rest]): Descriptor => [address + offset, ...rest]);
    write(rig, rig.layout.descriptors, moved);
    const fault = assertThrows(() => rig.device.take(rig.chain), DriverFault, says);
    // It says the same again: nothing has moved on.
    assertThrows(() => rig.device.take(rig.chain), DriverFault, fault.message);
  });
}

Deno.test("a driver's fault: more requests than entries", () => {
  const rig = hostileRing([[0, 1, 0, 0]]);
  for (const available of [5, 0x8000, 0xffff]) {
    rig.halves[rig.layout.driver / 2 + 1] = available;
    assertThrows(() => rig.device.take(rig.chain), DriverFault, "requests are available");
  }
});

Deno.test("a driver's fault: a head outside the table", () => {
  const rig = hostileRing([[0, 1, 0, 0]]);
  rig.halves[rig.layout.driver / 2 + 2] = 4;
  assertThrows(() => rig.device.take(rig.chain), DriverFault, "Descriptor 4 is outside");
});

Deno.test("a driver's fault: more buffers than the device has room for", () => {
  const rig = hostileRing([[0, 1, NEXT, 1], [0, 1, NEXT, 2], [0, 1, 0, 0]]);
  assertThrows(() => rig.device.take(chain(2)), DriverFault, "more than 2 buffers");
  assert(rig.device.take(chain(3)));
});

Deno.test("whatever a driver writes, the device throws DriverFault only", () => {
  const word = fc.oneof(
    fc.nat(0xffffffff),
    fc.nat(20),
    fc.constantFrom(16, 32, 4096, 1 << 16 | NEXT, 2 << 16 | NEXT | WRITE, INDIRECT, WRITE),
  );
  const ring = fc.array(word, { minLength: 64, maxLength: 64, size: "max" });
  fc.assert(
    fc.property(ring, fc.boolean(), fc.nat(0xffff), (ring, indirect, available) => {
      const memory = new SharedArrayBuffer(8192);
      const words = new Uint32Array(memory);
      words.set(ring);
      const device = new SplitDevice({
        memory,
        size: 8,
        descriptors: 0,
        driver: 128,
        device: 4096,
        translate: (address, length) => {
          if (address + length <= memory.byteLength) return address;
          throw new DriverFault("outside");
        },
        indirect,
        eventIndex: false,
      });
      new Uint16Array(memory)[65] = available % 16;
      const into = chain(8);
      try {
        while (device.take(into)) {
          assert(into.count > 0 && into.count <= 8 && into.readable <= into.count);
          for (let i = 0; i < into.count; i++) assert(into.length[i]! > 0);
          device.put(into.head, 0);
        }
      } catch (error) {
        if (!(error instanceof DriverFault)) throw error;
      }
      device.publish();
    }),
    { numRuns: 5000 },
  );
});
