import { assert, assertEquals } from "@std/assert";
import type { Decline, Offer, Plan } from "@virtio/deno/plugin";
import { configView } from "@virtio/deno/testing";
import { addressOf, readLun, writeLun } from "./lun.ts";
import scsi from "./mod.ts";
import * as wire from "./wire.ts";

interface Adapter {
  readonly features?: bigint;
  readonly queues?: readonly number[];
  readonly fields?: Readonly<Record<number, number>>;
  readonly length?: number;
  readonly senseSize?: number;
}

function offer(
  { features = 0n, queues = [128, 128, 128], senseSize = 96, ...adapter }: Adapter,
): Offer {
  const view = new DataView(new ArrayBuffer(wire.CONFIG_BYTES));
  const fields = {
    [wire.CONFIG_NUM_QUEUES]: queues.length - wire.REQUEST_QUEUE,
    [wire.CONFIG_SEG_MAX]: 126,
    [wire.CONFIG_MAX_SECTORS]: 0xffff,
    [wire.CONFIG_CMD_PER_LUN]: 128,
    [wire.CONFIG_EVENT_INFO_SIZE]: 16,
    [wire.CONFIG_MAX_LUN]: 16383,
    ...adapter.fields,
  };
  for (const [at, value] of Object.entries(fields)) view.setUint32(Number(at), value, true);
  const config = configView(new Uint8Array(view.buffer, 0, adapter.length ?? wire.CONFIG_BYTES));
  const tunables = { bus_reset_disable: false, sense_size: senseSize };
  return { features, queues, config, tunables, legacy: false };
}

function plan(adapter: Adapter): Plan<string, string, string> {
  const answer = scsi.plan(offer(adapter));
  assert(!("decline" in answer), (answer as Decline).decline);
  return answer;
}

function decline(adapter: Adapter): string {
  const answer = scsi.plan(offer(adapter));
  assert("decline" in answer);
  return answer.decline;
}

Deno.test("the plan takes nothing that was not offered, and nothing that the driver does not know", () => {
  for (let i = 0n; i < 64n; i++) {
    const taken = plan({ features: 1n << i }).features ?? 0n;
    assertEquals(taken, i < 4n ? 1n << i : 0n);
  }
});

Deno.test("the plan has what one request needs", () => {
  const { queues, lanes, buffers } = plan({ senseSize: 252 });
  assertEquals(queues, {
    control: { index: 0, size: 32, buffers: 2 },
    event: { index: 1, size: 16 },
    requests0: { index: 2, size: 256, buffers: 6 },
  });
  assertEquals(lanes.requests, { slots: 128, slotBytes: 65536 + 4096 });
  // Events may take for ever, control requests may not.
  assertEquals([lanes.events!.deadline, lanes.control!.deadline], [0, 5000]);
  assertEquals(buffers!.responses, 128 * 320);
});

for (
  const [said, there, used] of [[1, 1, 1], [3, 3, 3], [9, 9, 4], [4, 2, 2], [2, 9, 2]] as const
) {
  Deno.test(`of ${said} request queues, ${there} of which are there, ${used} are used`, () => {
    const queues = Array(wire.REQUEST_QUEUE + there).fill(128);
    const { queues: planned } = plan({ queues, fields: { [wire.CONFIG_NUM_QUEUES]: said } });
    assertEquals(Object.keys(planned).length, 2 + used);
  });
}

Deno.test("limits of the device bound slots and their number", () => {
  const lanes = (fields: Readonly<Record<number, number>>, queue = 128) =>
    plan({ fields, queues: [128, 128, queue] }).lanes.requests!;
  assertEquals(lanes({ [wire.CONFIG_SEG_MAX]: 4 }).slotBytes, 16384 + 4096);
  assertEquals(lanes({ [wire.CONFIG_SEG_MAX]: 0 }).slotBytes, 4096 + 4096);
  assertEquals(lanes({ [wire.CONFIG_MAX_SECTORS]: 20 }).slotBytes, 8192 + 4096);
  assertEquals(lanes({ [wire.CONFIG_MAX_SECTORS]: 0 }).slotBytes, 65536 + 4096);
  assertEquals(lanes({ [wire.CONFIG_CMD_PER_LUN]: 5 }).slots, 5);
  assertEquals(lanes({ [wire.CONFIG_CMD_PER_LUN]: 0 }).slots, 1);
  assertEquals(lanes({}, 8).slots, 8);
});

Deno.test("event buffers are as large as the device wants them, within reason", () => {
  const events = (size: number) =>
    plan({ fields: { [wire.CONFIG_EVENT_INFO_SIZE]: size } }).buffers!.events;
  assertEquals([events(0), events(16), events(21)], [16 * 16, 16 * 16, 16 * 24]);
  const fields = { [wire.CONFIG_EVENT_INFO_SIZE]: 65537 };
  assertEquals(decline({ fields }), "it wants 65537 bytes for an event, which has 16");
});

Deno.test("an adapter that nothing can be done with is declined", () => {
  assertEquals(decline({ queues: [128, 128] }), "it has no request queue");
  assertEquals(decline({ fields: { [wire.CONFIG_NUM_QUEUES]: 0 } }), "it has no request queue");
  assertEquals(decline({ length: 35 }), "its configuration has 35 bytes instead of 36");
});

Deno.test("what the device says of targets and LUNs is believed as far as they can be addressed", () => {
  const fields = { [wire.CONFIG_MAX_CHANNEL]: 0xffff0000, [wire.CONFIG_MAX_LUN]: 0xffffffff };
  const { maxTarget, maxLun } = plan({ fields }).properties!;
  assertEquals([maxTarget, maxLun], [255, 16383]);
});

Deno.test("readLun() reads what writeLun() writes, and LUNs without a method (5.6.6.1)", () => {
  const bytes = new Uint8Array(10).fill(0xee);
  for (const [target, lun] of [[0, 0], [255, 16383], [7, 256]] as const) {
    writeLun(bytes, 1, addressOf(target, lun));
    assertEquals(readLun(bytes, 1), addressOf(target, lun));
    assertEquals([bytes[0], bytes[9]], [0xee, 0xee]);
  }
  assertEquals(bytes.slice(1, 9), Uint8Array.of(1, 7, 0x41, 0, 0, 0, 0, 0));
  assertEquals(readLun(Uint8Array.of(1, 3, 0, 9, 0, 0, 0, 0), 0), addressOf(3, 9));
});

Deno.test("readLun() refuses what is no LUN (D-96)", () => {
  for (
    const field of [
      [0, 0, 0x40, 0, 0, 0, 0, 0],
      [0xc1, 1, 0, 0, 0, 0, 0, 0],
      [1, 0, 0x80, 0, 0, 0, 0, 0],
      [1, 0, 0x20, 0, 0, 0, 0, 0],
      [1, 0, 0x40, 0, 1, 0, 0, 0],
      [1, 0, 0x40, 0, 0, 0, 0, 1],
      [255, 255, 255, 255, 255, 255, 255, 255],
    ]
  ) assertEquals(readLun(Uint8Array.from(field), 0), -1, String(field));
});
