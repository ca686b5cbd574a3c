import { assert, assertEquals } from "@std/assert";
import { AVAILABLE, USED, WRITE } from "./descriptor.ts";
import { DriverFault } from "./device_queue.ts";
import { Random } from "../../conform/random.ts";
import { Rig, type RigOptions } from "./rig_test.ts";

/** Used descriptors that the hostile device makes up; `VIRTIO_FUZZ` sets another number. */
const DESCRIPTORS = Number(Deno.env.get("VIRTIO_FUZZ") ?? 200_000);
/** What the hostile device does follows from this; `VIRTIO_SEED` repeats a run. */
const SEED = Number(Deno.env.get("VIRTIO_SEED") ?? Date.now() % 2 ** 32) >>> 0;

const STATE = AVAILABLE | USED;
const RULES = ["D-41", "D-42", "D-60"];

/** A driver that keeps account of its requests, so that whatever comes back can be held against it. */
class Accountant {
  readonly rig: Rig;
  /** Room of each request that the device may know of, and of the others, by cookie. */
  readonly published = new Map<number, number>();
  readonly committed = new Map<number, number>();
  /** Whether a finished request begins the next one. */
  again = false;
  #cookie = 0;

  constructor(rig: Rig) {
    this.rig = rig;
  }

  submit(buffers: number, bytes: number): void {
    const cookie = this.#cookie++;
    const { options, layout } = this.rig;
    const pieces = buffers * Math.ceil(bytes / 4096 + 1);
    if (pieces > (options.segments > 0 ? layout.segments : options.size)) return;
    if (this.rig.submit(cookie, buffers, bytes)) this.committed.set(cookie, buffers * bytes);
  }

  publish(): void {
    this.rig.driver.publish();
    for (const [cookie, room] of this.committed) this.published.set(cookie, room);
    this.committed.clear();
  }

  drain(): void {
    const { driver } = this.rig;
    driver.drain((cookie, written) => {
      const room = this.published.get(cookie);
      assert(room !== undefined, `cookie ${cookie} came back and is not in flight`);
      assert(written >= 0 && written <= room, `${written} bytes in a room of ${room}`);
      this.published.delete(cookie);
      if (this.again) this.submit(1, 1);
    });
    assertEquals(driver.inFlight, this.published.size + this.committed.size);
  }

  /** A queue that is broken stays so and does nothing more; a reset gives back what is left, and all is well. */
  checkBroken(): void {
    const { driver } = this.rig;
    const fault = driver.broken;
    assert(fault && RULES.includes(fault.rule), fault?.rule);
    assertEquals(driver.drain(() => assert(false, "a broken queue gave something back")), 0);
    assert(!driver.arm() && !this.rig.submit(1));
    driver.publish();
    assertEquals(driver.broken, fault);
    const left: number[] = [];
    driver.takeUnfinished((cookie) => left.push(cookie));
    assertEquals(left, [...this.published.keys(), ...this.committed.keys()]);
    assertEquals([driver.inFlight, driver.broken], [0, undefined]);
    assert(this.rig.submit(7));
  }
}

/** A device that knows where the driver looks, and writes what it likes there. */
class Liar {
  readonly rig: Rig;
  /** Buffers that are in flight: id, and slots where they matter. */
  live: { id: number; slots: number }[] = [];
  #use = 0;
  #used = STATE;
  #next = 0;
  made = 0;

  constructor(rig: Rig) {
    this.rig = rig;
  }

  take(): void {
    const { device, chain, options } = this.rig;
    try {
      while (device.take(chain)) {
        const slots = options.segments > 0 ? 1 : chain.count;
        this.live.push({ id: chain.head, slots });
        this.#next = (this.#next + slots) % options.size;
      }
    } catch (error) {
      if (!(error instanceof DriverFault)) throw error;
    }
  }

  /** Writes a used descriptor where the driver looks. */
  write(id: number, length: number, flags: number): void {
    const { words, layout } = this.rig;
    this.made++;
    words[layout.descriptors / 4 + this.#use * 4 + 2] = length;
    words[layout.descriptors / 4 + this.#use * 4 + 3] = id & 0xffff | flags << 16;
  }

  /** Uses a buffer as it should be, with any length. */
  honest(pick: number, length: number, inOrder: boolean): void {
    const [buffer] = this.live.splice(inOrder ? 0 : pick % this.live.length, 1);
    if (!buffer) return;
    this.write(buffer.id, length, this.flags);
    this.#use += buffer.slots;
    if (this.#use < this.rig.options.size) return;
    this.#use -= this.rig.options.size;
    this.#used ^= STATE;
  }

  /** Flags of a used descriptor in this round. */
  get flags(): number {
    return this.#used | WRITE;
  }
}

/** One life of a queue whose device lies, until it breaks. Returns how many used descriptors were made up. */
function hostileLife(random: (below: number) => number, rules: Map<string, number>): number {
  const options: RigOptions = {
    kind: "packed",
    size: random(2) ? 1 + random(300) : 1 + random(12),
    segments: [0, 4, 32][random(3)]!,
    eventIndex: random(2) === 0,
    inOrder: random(3) === 0,
    runPages: [1, 3, 1000][random(3)]!,
  };
  const rig = new Rig(options);
  const { driver, layout, words } = rig;
  const books = new Accountant(rig);
  const liar = new Liar(rig);
  const anyWord = () => random(2 ** 32);
  for (let step = 0; step < 600 && !driver.broken; step++) {
    switch (random(14)) {
      case 0:
      case 1:
      case 2:
        for (let i = random(8); i >= 0; i--) books.submit(1 + random(3), 1 + random(2000));
        if (random(4) > 0) books.publish();
        break;
      case 3:
        books.publish();
        books.again = random(2) === 0;
        break;
      case 4:
      case 5:
      case 6:
      case 7:
        // Honest buffers, any length: this keeps the queue alive for the rest.
        liar.take();
        for (let i = random(8); i >= 0; i--) {
          liar.honest(random(300), random(3) ? random(5000) : anyWord(), options.inOrder === true);
        }
        break;
      case 8:
        // D-41 and D-42: any id. It may be right by chance; then this life has no honest end.
        if (random(8) > 0) break;
        liar.write(random(3) ? random(options.size) : random(65536), anyWord(), liar.flags);
        if (!breaks(books)) return liar.made;
        break;
      case 9:
        // D-60: any flags.
        if (random(8) > 0) break;
        liar.write(random(options.size), anyWord(), random(65536));
        if (!breaks(books)) return liar.made;
        break;
      case 10:
        // D-63, D-52: all of the ring.
        if (random(30) > 0) break;
        words.fill(
          [0, 0xffffffff, anyWord()][random(3)]!,
          layout.descriptors / 4,
          layout.device / 4,
        );
        liar.made += options.size;
        if (!breaks(books)) return liar.made;
        break;
      case 11:
        // D-52, D-53, D-62: where only the driver should write.
        if (random(30) > 0) break;
        for (let i = 0; i < 64; i++) {
          words[layout.descriptors / 4 + random((layout.end - layout.descriptors) / 4)] = anyWord();
          liar.made++;
          if (breaks(books)) break;
        }
        if (!driver.broken) return liar.made;
        break;
      case 12:
        // D-58, D-59, D-61: wishes about notifications.
        words[layout.device / 4] = anyWord();
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
  return liar.made;
}

/** Whether the driver noticed; if not, it still lost nothing and made nothing up. */
function breaks(books: Accountant): boolean {
  for (let i = 0; i < 4; i++) {
    books.drain();
    books.submit(1, 100);
    books.publish();
  }
  return books.rig.driver.broken !== undefined;
}

Deno.test(`a hostile packed device gets nothing through (VIRTIO_FUZZ=${DESCRIPTORS} VIRTIO_SEED=${SEED})`, () => {
  console.log(`VIRTIO_SEED=${SEED}`);
  const numbers = new Random(SEED);
  const random = (below: number) => numbers.below(below);
  const rules = new Map<string, number>();
  let made = 0;
  while (made < DESCRIPTORS) made += hostileLife(random, rules);
  for (const rule of RULES) assert(rules.has(rule), `no queue broke by ${rule}`);
});

const lies: readonly {
  readonly name: string;
  readonly rule?: string;
  /** Makes the used descriptor in the first slot; the first request has two descriptors and the id `id`. */
  readonly lie: (write: (id: number, length: number, flags: number) => void, id: number) => void;
}[] = [
  { name: "an id of the ring's size", rule: "D-41", lie: (write) => write(8, 0, STATE) },
  { name: "an id of all ones", rule: "D-41", lie: (write) => write(0xffff, 0, STATE) },
  { name: "an id that is free", rule: "D-42", lie: (write) => write(7, 0, STATE) },
  { name: "an id that is not published", rule: "D-42", lie: (write) => write(2, 0, STATE) },
  { name: "neither flag", rule: "D-60", lie: (write, id) => write(id, 0, 0) },
  { name: "the flags of the next round", rule: "D-60", lie: (write, id) => write(id, 0, USED) },
  { name: "an available descriptor", lie: (write, id) => write(id, 0, AVAILABLE) },
  { name: "an honest answer", lie: (write, id) => write(id, 5, STATE | WRITE) },
  { name: "too many bytes (D-45)", lie: (write, id) => write(id, 0xffffffff, STATE | WRITE) },
  { name: "bytes without WRITE, as QEMU does", lie: (write, id) => write(id, 5, STATE) },
  { name: "NEXT and INDIRECT", lie: (write, id) => write(id, 5, STATE | WRITE | 5) },
];

for (const { name, rule, lie } of lies) {
  Deno.test(`a packed device that uses ${name} ${rule ? `breaks the queue (${rule})` : "does no harm"}`, () => {
    const options = { segments: 0, eventIndex: false, inOrder: false, runPages: 1000 };
    const rig = new Rig({ ...options, kind: "packed", size: 8 });
    const books = new Accountant(rig);
    books.submit(2, 100);
    books.submit(1, 100);
    books.publish();
    books.submit(1, 100);
    const [id] = rig.takeAll();
    const liar = new Liar(rig);
    lie((...used) => liar.write(...used), id!);
    books.drain();
    assertEquals(rig.driver.broken?.rule, rule);
    if (rule) return books.checkBroken();
    const open = name === "an available descriptor";
    assertEquals(rig.driver.inFlight, open ? 3 : 2);
    assertEquals(rig.driver.counters.overlong, name.startsWith("too many") ? 1 : 0);
  });
}

/** Writes used descriptors from another thread, so that they change between any two reads of the driver (D-51). */
const SCRIBBLER = `
  onmessage = ({ data: { memory, descriptors, size, stop } }) => {
    const words = new Uint32Array(memory);
    postMessage("ready");
    for (let i = 0; Atomics.load(stop, 0) === 0; i++) {
      const at = descriptors / 4 + i % size * 4;
      words[at + 2] = i;
      words[at + 3] = i * 7 % size | (i % 3 ? 0x8082 : 2) << 16;
    }
  };
`;

Deno.test("a packed device that writes while the driver reads gets nothing through (D-51)", async () => {
  const url = URL.createObjectURL(new Blob([SCRIBBLER], { type: "text/javascript" }));
  for (const size of [8, 61]) {
    const options = { segments: 0, eventIndex: true, inOrder: false, runPages: 1000 };
    const rig = new Rig({ ...options, kind: "packed", size });
    let books = new Accountant(rig);
    const worker = new Worker(url, { type: "module" });
    // A worker that is busy is not stopped by terminate().
    const stop = new Int32Array(new SharedArrayBuffer(4));
    await new Promise((resolve) => {
      worker.onmessage = resolve;
      const { descriptors } = rig.layout;
      worker.postMessage({ memory: rig.memory, descriptors, size, stop });
    });
    const start = performance.now();
    const passed = () => performance.now() - start;
    // On a busy machine the device may not have its turn in so short a time.
    while (passed() < 200 || rig.driver.counters.completed === 0 && passed() < 30_000) {
      books.submit(1, 100);
      books.publish();
      books.drain();
      if (!rig.driver.broken) continue;
      books.checkBroken();
      rig.driver.takeUnfinished(() => {});
      books = new Accountant(rig);
    }
    Atomics.store(stop, 0, 1);
    worker.terminate();
    assert(rig.driver.counters.completed > 0, "nothing came through at all");
  }
  URL.revokeObjectURL(url);
});
