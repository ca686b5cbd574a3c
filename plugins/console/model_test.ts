import { assert, assertEquals, assertThrows } from "@std/assert";
import { ask, DriverFault, type Request } from "@virtio/deno/simulation";
import { ConsoleModel, controlMessage } from "./model.ts";
import * as wire from "./wire.ts";

const NOTHING = new Uint8Array();
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Lends a buffer, and gives what was put into it; undefined while nothing was. */
function lend(model: ConsoleModel, queue: number, room = 64): () => Uint8Array | undefined {
  const bytes = new Uint8Array(new SharedArrayBuffer(room));
  let written: number | undefined;
  const request = {
    readable: 0,
    get writable() {
      return room - this.written;
    },
    written: 0,
    write(piece: Uint8Array) {
      const count = Math.min(piece.length, room - this.written);
      bytes.set(piece.subarray(0, count), this.written);
      this.written += count;
      return count;
    },
    complete: (count: number) => void (written = count),
  };
  assertEquals(model.handle(queue, request as unknown as Request), undefined);
  return () => written === undefined ? undefined : bytes.slice(0, written);
}

function say(model: ConsoleModel, id: number, event: number, value: number): void {
  assertEquals(
    ask(model, controlMessage(id, event, value), 0, { queue: wire.CONTROL_TRANSMITQ })?.written,
    0,
  );
}

Deno.test("wire.receiveq() leaves the control queues between port 0 and the others", () => {
  assertEquals([0, 1, 2, 31].map(wire.receiveq), [0, 4, 6, 64]);
});

Deno.test("ConsoleModel with one port gives and takes bytes in any pieces", () => {
  const model = new ConsoleModel({ emergencyWrite: false });
  assertEquals([model.features, model.queues.length], [0n, 2]);
  const [first, second] = [lend(model, 0, 3), lend(model, 0, 16)];
  model.send(0, "hello");
  assertEquals([text(first()!), text(second()!)], ["hel", "lo"]);
  model.send(0, "kept");
  assertEquals(model.unsent(0), 4);
  assertEquals(text(lend(model, 0)()!), "kept");
  ask(model, new TextEncoder().encode("world"), 0, { queue: 1, pieceBytes: 2 });
  assertEquals(text(model.take(0)), "world");
});

Deno.test("ConsoleModel announces its ports when it is told to, and each when the driver is ready", () => {
  const model = new ConsoleModel({
    ports: { 0: { console: true }, 2: { name: "two", open: false } },
    size: [80, 25],
  });
  assertEquals(model.queues.length, 10);
  const buffers = Array.from({ length: 8 }, () => lend(model, wire.CONTROL_RECEIVEQ));
  const heard = () => buffers.map((buffer) => buffer()).filter((message) => message !== undefined);
  model.add(1);
  assertEquals(heard(), [], "not before the driver is ready");
  say(model, 0xffffffff, wire.DEVICE_READY, 1);
  say(model, 2, wire.PORT_READY, 1);
  say(model, 0, wire.PORT_READY, 1);
  assertEquals(heard(), [
    controlMessage(0, wire.DEVICE_ADD, 1),
    controlMessage(2, wire.DEVICE_ADD, 1),
    controlMessage(1, wire.DEVICE_ADD, 1),
    controlMessage(2, wire.PORT_NAME, 1, new TextEncoder().encode("two")),
    controlMessage(0, wire.CONSOLE_PORT, 1),
    controlMessage(0, wire.RESIZE, 0, Uint8Array.of(80, 0, 25, 0)),
    controlMessage(0, wire.PORT_OPEN, 1),
  ]);
});

Deno.test("ConsoleModel sends nothing to a port that is not open, and loses what comes to a closed side", () => {
  const model = new ConsoleModel({ ports: { 1: { open: false } } });
  const buffer = lend(model, wire.receiveq(1));
  model.send(1, "wait");
  assertEquals(buffer(), undefined);
  say(model, 1, wire.PORT_OPEN, 1);
  assertEquals(text(buffer()!), "wait");
  ask(model, new Uint8Array(7), 0, { queue: wire.receiveq(1) + 1 });
  assertEquals([model.lost, model.take(1).length], [7, 0]);
});

Deno.test("ConsoleModel forgets buffers with a reset, and keeps what was sent", () => {
  const model = new ConsoleModel({ ports: { 1: {} } });
  const before = lend(model, wire.receiveq(1));
  model.send(1, "bytes");
  model.reset();
  say(model, 1, wire.PORT_OPEN, 1);
  assertEquals([before(), model.unsent(1)], [undefined, 5]);
  assertEquals(text(lend(model, wire.receiveq(1))()!), "bytes");
});

Deno.test("ConsoleModel refuses buffers that are for the other direction (5.3.6.1)", () => {
  const model = new ConsoleModel({ ports: { 1: {} } });
  assertThrows(() => ask(model, NOTHING, 8, { queue: 1 }), DriverFault, "5.3.6.1");
  assertThrows(() => ask(model, new Uint8Array(8), 0, { queue: 0 }), DriverFault, "5.3.6.1");
  assertThrows(
    () => ask(model, new Uint8Array(7), 0, { queue: wire.CONTROL_TRANSMITQ }),
    DriverFault,
  );
});

Deno.test("ConsoleModel takes emergency writes, and only there", () => {
  const model = new ConsoleModel();
  assert(model.features & wire.F_EMERG_WRITE);
  model.configWrite(wire.CONFIG_EMERG_WR, 0x141);
  model.configWrite(wire.CONFIG_COLS, 1);
  assertEquals(model.emergency, [0x41]);
});
