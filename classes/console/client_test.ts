import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ConsoleOperation, consoleProperties, ConsoleWord, PortState } from "./protocol.ts";
import { ConsoleClient } from "./client.ts";
import { PORT_BYTES } from "./port.ts";
import { Pair } from "../../core/bus/fake_test.ts";
import { Status } from "../../core/bus/lane.ts";
import { RequestError } from "../../core/bus/request_error.ts";
import { readProperties } from "../../core/class/properties.ts";

const { present, connected, open, console: isConsole, begin, settled } = PortState;
const PORTS = 4;

/** The client, and a driver that does what a test says. */
class Bench {
  readonly receive = new Pair({ slots: 2 * PORTS, slotBytes: 16 });
  readonly transmit = new Pair({ slots: 2 * PORTS, slotBytes: 16 });
  readonly control = new Pair({ slots: 2, slotBytes: 4 });
  readonly events = new Pair({ slots: 4, slotBytes: 32 });
  readonly client: ConsoleClient;
  /** The driver was started anew, and its properties are what they are. */
  readonly update: () => void;
  /** Device or driver are gone for good. */
  readonly gone: () => void;
  #eventSlots: number[] = [];
  #lent: number[] = [];

  constructor(properties = { ports: PORTS, emergencyWrite: true }) {
    const { receive, transmit, control, events } = this;
    const lanes = {
      receive: receive.client,
      transmit: transmit.client,
      control: control.client,
      events: events.client,
    };
    const { client, update, gone } = ConsoleClient.open(lanes, properties);
    this.client = client;
    this.update = update!;
    this.gone = () => {
      for (const lane of Object.values(lanes)) lane.fail();
      gone!();
    };
  }

  /** Tells the client of a port, or of the driver itself. */
  tell(
    id: number,
    state: number,
    more: { name?: Uint8Array; size?: number; generation?: number } = {},
  ): void {
    const { name = new Uint8Array(), size = 0, generation = 1 } = more;
    this.#eventSlots.push(...this.events.take());
    const slot = this.#eventSlots.shift()!;
    this.events.data(slot).set(name);
    this.events.driver.setWord(slot, ConsoleWord.port, id);
    this.events.driver.setWord(slot, ConsoleWord.value, state);
    this.events.driver.setWord(slot, ConsoleWord.size, size);
    this.events.driver.setWord(slot, ConsoleWord.generation, generation);
    this.events.complete([slot], Status.ok, name.length);
    this.events.client.drain();
  }

  /** Slots that are lent to a port now. */
  lent(id: number): number[] {
    this.#lent.push(...this.receive.take());
    return this.#lent.filter((slot) => this.receive.driver.word(slot, ConsoleWord.port) === id);
  }

  /** Puts bytes into a slot that a port has lent. Returns false if there is none. */
  put(id: number, bytes: readonly number[], drain = true): boolean {
    const [slot] = this.lent(id);
    if (slot === undefined) return false;
    this.#lent.splice(this.#lent.indexOf(slot), 1);
    this.receive.data(slot).set(bytes);
    this.receive.complete([slot], Status.ok, bytes.length);
    if (drain) this.receive.client.drain();
    return true;
  }

  /** What the client wants of the driver; all of it is done. */
  obey(status: number = Status.ok): number[][] {
    const { driver, client } = this.control;
    const asked = this.control.take().map((slot) => {
      this.control.complete([slot], status);
      return [ConsoleWord.operation, ConsoleWord.port, ConsoleWord.value].map((word) =>
        driver.word(slot, word)
      );
    });
    client.drain();
    return asked;
  }

  /** A port that is open. */
  async open(id = 1) {
    this.tell(id, present | connected);
    const port = this.client.port(id)!;
    const opening = port.open();
    this.obey();
    await opening;
    return port;
  }
}

Deno.test("consoleProperties refuses what is not a console's", () => {
  const read = (told: Record<string, unknown>) =>
    readProperties(consoleProperties, told, "console");
  assertEquals(read({ ports: 32, emergencyWrite: false, more: 1 }), {
    ports: 32,
    emergencyWrite: false,
  });
  for (const ports of [undefined, 0, 33, 1.5, NaN, "1"]) {
    assertThrows(
      () => read({ ports, emergencyWrite: true }),
      TypeError,
      "property ports of the driver console: it is",
    );
  }
  assertThrows(
    () => read({ ports: 1, emergencyWrite: 1 }),
    TypeError,
    "property emergencyWrite of the driver console: it is 1, wanted true or false",
  );
});

Deno.test("a driver that comes back may do less, and must not have more ports than before", () => {
  const properties = { ports: PORTS, emergencyWrite: true };
  const bench = new Bench(properties);
  Object.assign(properties, { emergencyWrite: false, ports: PORTS - 1 });
  bench.update();
  assertEquals(bench.client.canEmergencyWrite, false);
  properties.ports = PORTS + 1;
  assertThrows(() => bench.update(), TypeError, `${PORTS + 1} ports instead of ${PORTS}`);
});

Deno.test("a driver must plan slots for each of its ports", () => {
  assertThrows(
    () => new Bench({ ports: 9, emergencyWrite: true }),
    TypeError,
    "each of its 9 ports",
  );
});

Deno.test("all slots are lent, to each port as many as to each other", () => {
  const bench = new Bench();
  assertEquals([0, 1, 2, 3].map((id) => bench.lent(id).length), [2, 2, 2, 2]);
});

Deno.test("find() and announced() wait, and no longer than they are told to", async () => {
  const bench = new Bench();
  assertEquals(await bench.client.find("late", 5), undefined);
  assertEquals(await bench.client.announced(5), []);
  const found = bench.client.find("late");
  const all = bench.client.announced();
  bench.tell(0, begin);
  bench.tell(2, present);
  bench.tell(2, present, { name: new TextEncoder().encode("late") });
  assertEquals((await found)?.id, 2);
  bench.tell(0, settled);
  assertEquals((await all).map(({ id, name }) => [id, name]), [[2, "late"]]);
});

Deno.test("ports that cannot be, states of nothing and sizes of nothing are no ports and no sizes (D-91)", () => {
  const bench = new Bench();
  for (const id of [PORTS, 255, 2 ** 32 - 1]) bench.tell(id, present | connected | open);
  bench.tell(1, 0);
  bench.tell(1, connected | open | isConsole);
  assertEquals(bench.client.ports, []);
  for (const size of [0, 80, 25 << 16]) {
    bench.tell(1, present, { size });
    assertEquals(bench.client.port(1)?.size, undefined);
  }
});

Deno.test("changes() tells once of what has changed, and never of what has not", async () => {
  const bench = new Bench();
  const changes = bench.client.changes();
  bench.tell(1, present);
  bench.tell(1, present);
  bench.tell(1, present | connected);
  bench.tell(1, present | connected, { size: 80 + (25 << 16) });
  bench.tell(1, present | connected, { size: 80 + (25 << 16) });
  bench.tell(1, 0);
  bench.tell(1, 0);
  bench.gone();
  const seen = await Array.fromAsync(changes, ({ type, port }) => `${type} ${port.id}`);
  assertEquals(seen, ["added 1", "changed 1", "changed 1", "removed 1"]);
  assertEquals(await bench.client.changes().next(), { value: undefined, done: true });
});

Deno.test("what came before an event is read before it, whichever lane is drained first", async () => {
  const bench = new Bench();
  const port = await bench.open();
  assert(bench.put(1, [1, 2, 3], false));
  bench.tell(1, present);
  assertEquals([...(await port.read())!], [1, 2, 3]);
  assertEquals(await port.read(), null);
});

Deno.test("a reader that gives up takes nothing with it, and others still read", async () => {
  const bench = new Bench();
  const port = await bench.open();
  const impatient = new AbortController();
  const first = port.read(impatient.signal);
  const second = port.read();
  impatient.abort(new Error("enough"));
  await assertRejects(() => first, Error, "enough");
  bench.put(1, [7]);
  assertEquals([...(await second)!], [7]);
});

Deno.test("a port keeps 1 MiB, then its slots, and lends them again as it is read (D-92)", async () => {
  const bench = new Bench();
  const port = await bench.open();
  let sent = 0;
  while (bench.put(1, Array.from({ length: 16 }, (_, i) => (sent + i) & 0xff))) sent += 16;
  assertEquals([port.readableBytes, sent], [PORT_BYTES, PORT_BYTES + 32]);
  assertEquals(bench.lent(1), []);
  assertEquals(bench.lent(2).length, 2, "others lose nothing");
  let at = 0;
  while (at < sent) {
    for (const byte of (await port.read())!) assert(byte === (at++ & 0xff));
  }
  assertEquals(bench.lent(1).length, 2);
});

Deno.test("writes go in order, in as many slots as a port may have, and only while the other side is open", async () => {
  const bench = new Bench();
  bench.tell(1, present);
  const port = bench.client.port(1)!;
  const opening = port.open();
  bench.obey();
  await opening;
  const writes = [port.write(new Uint8Array(20).fill(1)), port.write(new Uint8Array(20).fill(2))];
  assertEquals(bench.transmit.take(), [], "the other side is closed");
  bench.tell(1, present | connected | open);
  const seen: number[][] = [];
  for (;;) {
    const slots = bench.transmit.take();
    if (slots.length === 0) break;
    assert(slots.length <= 2);
    for (const slot of slots) {
      const length = bench.transmit.driver.word(slot, ConsoleWord.length);
      assertEquals(bench.transmit.driver.word(slot, ConsoleWord.port), 1);
      seen.push([bench.transmit.data(slot)[0]!, length]);
    }
    bench.transmit.complete(slots);
    bench.transmit.client.drain();
  }
  await Promise.all(writes);
  assertEquals(seen, [[1, 16], [1, 4], [2, 16], [2, 4]]);
});

Deno.test("a write of which a part fails is refused as a whole, and the next one goes", async () => {
  const bench = new Bench();
  const port = await bench.open();
  const long = port.write(new Uint8Array(100));
  const next = port.write(Uint8Array.of(9));
  const [first, second] = bench.transmit.take();
  bench.transmit.complete([first!], Status.ok);
  bench.transmit.complete([second!], Status.unknown);
  bench.transmit.client.drain();
  const rest = bench.transmit.take();
  bench.transmit.complete(rest);
  bench.transmit.client.drain();
  const error = await assertRejects(
    () => long,
    RequestError,
    "Cannot write 100 bytes to port 1: the device was started anew",
  );
  assertEquals(error.status, Status.unknown);
  for (let slots = bench.transmit.take(); slots.length > 0; slots = bench.transmit.take()) {
    bench.transmit.complete(slots);
    bench.transmit.client.drain();
  }
  await next;
});

Deno.test("a port that refuses to open is not open", async () => {
  const bench = new Bench();
  bench.tell(1, present);
  const port = bench.client.port(1)!;
  const opening = port.open();
  bench.obey(Status.failed);
  await assertRejects(() => opening, RequestError, "Cannot open port 1");
  assert(!port.isOpen);
});

Deno.test("more control requests than slots wait for their turn", async () => {
  const bench = new Bench();
  const writes = [1, 2, 3, 4, 5].map((byte) => bench.client.emergencyWrite(byte));
  const seen: number[] = [];
  for (let i = 0; i < 10; i++) {
    seen.push(
      ...bench.obey().map(([operation, , value]) => {
        assertEquals(operation, ConsoleOperation.emergencyWrite);
        return value!;
      }),
    );
    await Promise.resolve();
  }
  await Promise.all(writes);
  assertEquals(seen, [1, 2, 3, 4, 5]);
});

Deno.test("a driver that begins anew finds open ports to open, and consoles that were closed to close", async () => {
  const bench = new Bench();
  bench.tell(0, present | isConsole | open | connected);
  const tty = bench.client.port(0)!;
  assert(tty.isOpen);
  const closing = tty.close();
  bench.obey();
  await closing;
  const port = await bench.open(1);
  bench.tell(0, begin);
  assert(!port.connected && port.isOpen);
  assertEquals(bench.obey(), [[ConsoleOperation.open, 1, 0]]);
  bench.tell(0, present);
  bench.tell(1, present | open | connected);
  bench.tell(0, present | isConsole | open | connected);
  assertEquals(bench.obey(), [[ConsoleOperation.close, 0, 0]]);
  assert(port.connected && !tty.isOpen);
  assertEquals(bench.client.ports, [tty, port]);
});

Deno.test("a driver that is gone ends all", async () => {
  const bench = new Bench();
  const port = await bench.open();
  const ends = Promise.allSettled([port.read(), port.write(new Uint8Array(100))]);
  bench.gone();
  for (const end of await ends) {
    assert(end.status === "rejected" && (end.reason as RequestError).status === Status.gone);
  }
  assert(port.isGone);
  assertEquals(bench.client.ports, []);
  assertEquals(await bench.client.announced(), []);
});

Deno.test("slots that the driver refuses are not lent again", () => {
  const bench = new Bench();
  const slots = bench.receive.take();
  bench.receive.complete(slots, Status.failed);
  bench.receive.client.drain();
  assertEquals(bench.receive.take(), []);
});
