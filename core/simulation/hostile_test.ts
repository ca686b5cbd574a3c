import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { PciFault } from "../pci/fault.ts";
import { findStructures } from "../virtio/capabilities.ts";
import { DeviceFault } from "../virtio/fault.ts";
import { DeviceStatus } from "../virtio/status.ts";
import { lie, type LieId, LIES, lying } from "./hostile.ts";
import { type DeviceModel, VERSION_1 } from "./model.ts";
import { TestMachine } from "./test_machine.ts";

function machine(...lies: LieId[]): TestMachine {
  const model: DeviceModel = {
    id: 4,
    queues: [8],
    config: new Uint8Array(8),
    handle: (_queue, request) => request.write(Uint8Array.of(1, 2, 3, 4)),
  };
  return new TestMachine(lying(model, ...lies));
}

/** What a driver gets for `requests` of 16 bytes each, offered and drained one by one. */
function drive(device: TestMachine, requests: number) {
  const driver = device.start(8);
  const answers: number[][] = [];
  for (let cookie = 0; cookie < requests; cookie++) {
    driver.begin(cookie);
    driver.writable(0x4000, 16);
    driver.commit();
    driver.publish();
    driver.drain((cookie, written) => answers.push([cookie, written]));
  }
  return { answers, rule: driver.broken?.rule, overlong: driver.counters.overlong };
}

Deno.test("every lie has a number and a sentence", () => {
  for (const id of LIES) {
    assertEquals(lie(id).id, id);
    assert(lie(id).does.length > 5);
  }
  assertThrows(() => lie("D-999"), RangeError, "D-01");
});

const capabilityLies: Partial<Record<LieId, string>> = {
  "D-03": "D-03",
  "D-05": "D-05",
  "D-06": "D-06",
  "D-07": "D-07",
  "D-08": "D-07",
  "D-10": "D-10",
  "D-11": "D-11",
};
for (const [id, rule] of Object.entries(capabilityLies)) {
  Deno.test(`a device that lies as ${id} is refused`, () => {
    const { device } = machine(id as LieId);
    const find = () => findStructures(device.config, (bar) => device.bar(bar)?.size);
    assertEquals(assertThrows(find, DeviceFault).rule, rule);
  });
}

for (const id of ["D-01", "D-02"] as const) {
  Deno.test(`a device that lies as ${id} has no capability list`, () => {
    const { device } = machine(id);
    assertThrows(() => findStructures(device.config, () => 0x4000), PciFault);
  });
}

Deno.test("lies about status are visible", () => {
  const { ACKNOWLEDGE, DRIVER } = DeviceStatus;
  assertEquals(machine("D-19").agree(VERSION_1), 0);
  assertEquals(machine("D-20").agree(VERSION_1), ACKNOWLEDGE | DRIVER);
  assertEquals(machine("D-21").agree(VERSION_1), 0xff);
});

Deno.test("a reset that never ends begins after DRIVER_OK (D-24)", () => {
  const device = machine("D-24");
  device.write("device_status", 0);
  assertEquals(device.read("device_status"), 0);
  device.start(8);
  device.write("device_status", 0);
  assertEquals(device.read("device_status"), 1);
});

Deno.test("lies about features are visible", () => {
  assertEquals(machine("D-23").offered() & VERSION_1, 0n);
  const fickle = machine("D-26");
  const before = fickle.offered();
  assertNotEquals(fickle.offered(), before);
});

Deno.test("lies about queues are visible", () => {
  assertEquals(machine("D-31").read("num_queues"), 65535);
  assertEquals(machine("D-32").read("queue_size"), 0);
  assertEquals(machine("D-33").read("queue_size"), 3);
  assertEquals(machine("D-34").read("queue_size"), 32768);
  assertEquals(drive(machine("D-34"), 1).answers, [[0, 4]]);
});

Deno.test("a generation that never rests is visible (D-37)", () => {
  const device = machine("D-37");
  const before = device.read("config_generation");
  assertNotEquals(device.read("config_generation"), before);
});

Deno.test("lies in the used ring are seen by the driver", () => {
  assertEquals(drive(machine(), 3), {
    answers: [[0, 4], [1, 4], [2, 4]],
    rule: undefined,
    overlong: 0,
  });
  assertEquals(drive(machine("D-41"), 1).rule, "D-41");
  assertEquals(drive(machine("D-42"), 1).rule, "D-42");
  assertEquals(drive(machine("D-48"), 1).rule, "D-48");
  assertEquals(drive(machine("D-45"), 1), { answers: [[0, 16]], rule: undefined, overlong: 1 });
  assertEquals(drive(machine("D-46"), 1).answers, [[0, 0]]);
  assertEquals(drive(machine("D-64"), 3).answers, []);
});

Deno.test("a descriptor used twice is completed once (D-43)", () => {
  const { answers, rule } = drive(machine("D-43"), 3);
  assert(answers.length <= 1);
  assert(rule !== undefined);
});

Deno.test("lies add up", () => {
  const device = machine("D-33", "D-37");
  assertEquals(device.read("queue_size"), 3);
  const before = device.read("config_generation");
  assertNotEquals(device.read("config_generation"), before);
});
