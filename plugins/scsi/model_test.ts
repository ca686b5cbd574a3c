import { assert, assertEquals, assertThrows } from "@std/assert";
import { ask, DriverFault } from "@virtio/deno/simulation";
import { addressOf, writeLun } from "./lun.ts";
import { ScsiModel, type ScsiOptions } from "./model.ts";
import { guard } from "./model/unit.ts";
import * as wire from "./wire.ts";

const MIB = 2 ** 20;

function adapter(options: Partial<ScsiOptions> = {}): ScsiModel {
  const model = new ScsiModel({ units: [{ capacity: MIB, serial: "S" }], ...options });
  for (const unit of model.units.values()) unit.attentions.length = 0;
  return model;
}

/** Puts a command to a unit, without a driver. */
function command(
  model: ScsiModel,
  cdb: readonly number[],
  { address = addressOf(0, 0), out = new Uint8Array(), inBytes = 0, pieceBytes = Infinity } = {},
) {
  const bytes = new Uint8Array(wire.HEADER_CDB + wire.CDB_SIZE + out.length);
  writeLun(bytes, wire.HEADER_LUN, address);
  bytes.set(cdb, wire.HEADER_CDB);
  bytes.set(out, wire.HEADER_CDB + wire.CDB_SIZE);
  const responseBytes = wire.RESPONSE_SENSE + wire.SENSE_SIZE;
  const answer = ask(model, bytes, responseBytes + inBytes, { queue: 2, pieceBytes });
  if (!answer) return undefined;
  const view = new DataView(answer.bytes.buffer);
  const senseLength = view.getUint32(wire.RESPONSE_SENSE_LEN, true);
  return {
    response: answer.bytes[wire.RESPONSE_RESPONSE],
    status: answer.bytes[wire.RESPONSE_STATUS],
    residual: view.getUint32(wire.RESPONSE_RESIDUAL, true),
    sense: answer.bytes.slice(wire.RESPONSE_SENSE, wire.RESPONSE_SENSE + senseLength),
    data: answer.bytes.slice(responseBytes, answer.written),
  };
}

/** Sense key, additional sense code and qualifier of a command that was refused. */
function refused(...args: Parameters<typeof command>): number[] {
  const answer = command(...args);
  assertEquals([answer?.response, answer?.status], [wire.S_OK, 2]);
  return [answer!.sense[2]!, answer!.sense[12]!, answer!.sense[13]!];
}

Deno.test("ScsiModel keeps what was written, in whatever pieces", () => {
  for (const pieceBytes of [7, 512, Infinity]) {
    const model = adapter();
    const out = crypto.getRandomValues(new Uint8Array(1024));
    const written = command(model, [0x2a, 0, 0, 0, 0, 5, 0, 0, 2], { out, pieceBytes });
    assertEquals([written?.response, written?.status, written?.residual], [0, 0, 0]);
    const read = command(model, [0x28, 0, 0, 0, 0, 5, 0, 0, 2], { inBytes: 1024, pieceBytes });
    assertEquals([read?.status, read?.residual, read?.data], [0, 0, out]);
  }
});

Deno.test("ScsiModel tells what is wrong with a command", () => {
  const model = adapter();
  assertEquals(refused(model, [0xff]), [5, 0x20, 0]);
  assertEquals(refused(model, [0x28, 0, 0, 0, 8, 0, 0, 0, 1], { inBytes: 512 }), [5, 0x21, 0]);
  assertEquals(refused(model, [0x12, 1, 0xd0, 0, 255], { inBytes: 255 }), [5, 0x24, 0]);
  assertEquals(refused(model, [0], { address: addressOf(0, 1) }), [5, 0x25, 0]);
  assertEquals(refused(model, [0x42, 0, 0, 0, 0, 0, 0, 0, 4], { out: new Uint8Array(4) }), [
    5,
    0x26,
    0,
  ]);
  assertEquals(command(model, [0], { address: addressOf(1, 0) })?.response, wire.S_BAD_TARGET);
  const short = command(model, [0x28, 0, 0, 0, 0, 0, 0, 0, 2], { inBytes: 512 });
  assertEquals(short?.response, wire.S_OVERRUN);
});

Deno.test("ScsiModel tells of a reset and of changes by a unit attention, once", () => {
  const model = new ScsiModel({ units: [{ capacity: MIB }] });
  assertEquals(refused(model, [0]), [6, 0x29, 0]);
  assertEquals(command(model, [0])?.status, 0);
  model.resize(0, 0, 2 * MIB);
  // These are not touched.
  assertEquals(command(model, [0x12, 0, 0, 0, 36], { inBytes: 36 })?.status, 0);
  assertEquals(refused(model, [0]), [6, 0x2a, 9]);
  assertEquals(
    command(model, [0x25], { inBytes: 8 })?.data.slice(0, 4),
    Uint8Array.of(0, 0, 15, 255),
  );
});

Deno.test("ScsiModel holds commands until they are aborted", () => {
  const model = adapter({ hold: (cdb) => cdb[0] === 0x28 });
  assertEquals(command(model, [0x28, 0, 0, 0, 0, 0, 0, 0, 1], { inBytes: 512 }), undefined);
  const manage = (subtype: number) => {
    const bytes = new Uint8Array(wire.TMF_BYTES);
    bytes[wire.TMF_SUBTYPE] = subtype;
    writeLun(bytes, wire.TMF_LUN, addressOf(0, 0));
    return ask(model, bytes, 1, { queue: 0 })?.bytes[0];
  };
  assertEquals(manage(wire.T_TMF_QUERY_TASK_SET), wire.S_FUNCTION_SUCCEEDED);
  assertEquals(manage(wire.T_TMF_ABORT_TASK_SET), wire.S_OK);
  assertEquals(manage(wire.T_TMF_QUERY_TASK_SET), wire.S_OK);
  assertEquals(manage(99), wire.S_FUNCTION_REJECTED);
});

Deno.test("ScsiModel lets sizes be written, and nothing else, and forgets them", () => {
  const model = adapter();
  const before = model.config.slice();
  model.configWrite(wire.CONFIG_NUM_QUEUES, 9, 4);
  assertEquals(model.config, before);
  model.configWrite(wire.CONFIG_SENSE_SIZE, 20, 4);
  assert(model.config[wire.CONFIG_SENSE_SIZE] === 20);
  model.reset();
  assertEquals(model.config, before);
});

Deno.test("ScsiModel does not take what is no request", () => {
  const model = adapter();
  assertThrows(() => ask(model, new Uint8Array(50), 200, { queue: 2 }), DriverFault);
  assertThrows(() => ask(model, new Uint8Array(51), 107, { queue: 2 }), DriverFault);
  assertThrows(() => ask(model, new Uint8Array(23), 1, { queue: 0 }), DriverFault);
  assertThrows(() => ask(model, new Uint8Array(), 15, { queue: 1 }), DriverFault);
  assertThrows(() => new ScsiModel({ units: [{ capacity: 100 }] }), RangeError, "512");
});

Deno.test("guard() is the CRC of the standard (SBC-3, 4.22.4.3)", () => {
  assertEquals(guard(new Uint8Array(32).fill(0xff)), 0xa293);
  assertEquals(guard(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x0224);
});
