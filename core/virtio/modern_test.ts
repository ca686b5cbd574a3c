import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { COMMON, FakeDevice, type FakeOptions, ISR, NOTIFY, SPECIFIC } from "./fake_test.ts";
import { DeviceFault } from "../pci/device_fault.ts";
import { modernTransport } from "./modern.ts";
import { DeviceStatus } from "./status.ts";
import { NO_VECTOR, type QueueAddresses } from "./transport.ts";
import { until } from "./until.ts";
import { written } from "../platform/written_test.ts";

function fake(options: FakeOptions = {}) {
  const device = new FakeDevice(options);
  const transport = modernTransport(device);
  device.log.length = 0;
  return { device, transport };
}

const queue: QueueAddresses = {
  size: 8,
  descriptors: 0x12_3456_7000,
  driver: 0x1000,
  device: 2 ** 52 + 4096,
};

/** Checks the rule that a fault names. */
function breaks(rule: string, act: () => unknown): void {
  assertEquals(assertThrows(act, DeviceFault).rule, rule);
}

Deno.test("a device has 1 to 1024 queues (D-31)", () => {
  const queues = (count: number) => ({
    read: (offset: number) => offset === 0x12 ? count : undefined,
  });
  for (const count of [1, 1024]) assertEquals(fake(queues(count)).transport.queues, count);
  for (const count of [0, 1025, 65535]) breaks("D-31", () => fake(queues(count)));
});

Deno.test("structures that are not there keep a device out (D-11)", () => {
  breaks("D-11", () => fake({ capabilities: [COMMON, NOTIFY] }));
});

Deno.test("status bits are added to those that are set", () => {
  const { device, transport } = fake();
  transport.addStatus(DeviceStatus.ACKNOWLEDGE);
  transport.addStatus(DeviceStatus.DRIVER);
  assertEquals(transport.status(), 3);
  assertEquals(device.log, ["w8 0x14 = 1", "w8 0x14 = 3"]);
});

Deno.test("a status of all ones is a device that is gone (D-21)", async () => {
  const { device, transport } = fake({ read: (offset) => offset === 0x14 ? 0xff : undefined });
  breaks("D-21", () => transport.status());
  breaks("D-21", () => transport.addStatus(1));
  assertEquals(device.log, [], "a device that is gone is not written to");
  const error = await assertRejects(() => transport.reset(), DeviceFault, "gone");
  assertEquals(error.rule, "D-21");
});

Deno.test("a reset waits until the status is 0", async () => {
  let reads = 0;
  const { device, transport } = fake({
    read: (offset) => offset === 0x14 ? (++reads < 5 ? 0x0f : 0) : undefined,
  });
  await transport.reset();
  assertEquals(reads, 5);
  assertEquals(device.log, ["w8 0x14 = 0"]);
});

Deno.test("a reset that never ends has a deadline (D-24)", async () => {
  const { transport } = fake({ read: (offset) => offset === 0x14 ? 1 : undefined });
  const original = performance.now;
  let time = 0;
  performance.now = () => time += 400;
  try {
    const error = await assertRejects(() => transport.reset(), DeviceFault, "within 5000 ms");
    assertEquals(error.rule, "D-24");
    assert(time >= 5000 && time < 8000);
  } finally {
    performance.now = original;
  }
});

Deno.test("until() looks first, and once more than it waits", async () => {
  await until(() => true, 0, () => new Error("late"));
  await assertRejects(() => until(() => false, 3, () => new Error("late")), Error, "late");
  let looks = 0;
  await until(() => ++looks === 3, 1000, () => new Error("late"));
  const broken = () => {
    throw new Error("broken");
  };
  await assertRejects(() => until(broken, 1000, () => new Error("late")), Error, "broken");
});

Deno.test("features have 128 bits each way", () => {
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), (features) => {
    let select = 0;
    const accepted: number[] = [];
    const { transport } = fake({
      read: (offset) =>
        offset === 0x04 ? Number(features >> BigInt(32 * select) & 0xffffffffn) : undefined,
      write: (offset, value) => {
        if (offset === 0x00 || offset === 0x08) select = value;
        if (offset === 0x0c) accepted[select] = value;
        return undefined;
      },
    });
    assertEquals(transport.offeredFeatures(), features);
    transport.acceptFeatures(features);
    const words = Array.from(
      { length: 4 },
      (_, i) => Number(features >> BigInt(32 * i) & 0xffffffffn),
    );
    assertEquals(accepted, words);
  }));
});

Deno.test("the configuration is read field by field, in the width of each", () => {
  const widths: string[] = [];
  const { device, transport } = fake({
    read: (offset, _, width) => {
      if (offset >= 0x2000 && offset < 0x2040) widths.push(`${offset - 0x2000}:${width}`);
      return undefined;
    },
  });
  for (let i = 0; i < 0x40; i++) device.bytes[0x2000 + i] = i + 1;
  const config = transport.config([8, 4, 2, 1, 1, 4]);
  assertEquals([...config.subarray(0, 21)], Array.from({ length: 20 }, (_, i) => i + 1).concat(0));
  assertEquals(config.length, 0x40);
  assertEquals(widths, ["0:4", "4:4", "8:4", "12:2", "14:1", "15:1", "16:4"]);
});

Deno.test("a field of the configuration is written in its width", () => {
  const { device, transport } = fake({});
  transport.writeConfig(4, 4, 0x04030201);
  transport.writeConfig(8, 2, 0x0605);
  transport.writeConfig(10, 1, 0x07);
  assertEquals([...device.bytes.subarray(0x2004, 0x200c)], [1, 2, 3, 4, 5, 6, 7, 0]);
  assertThrows(() => transport.writeConfig(0x3e, 4, 0), RangeError);
  const without = fake({ capabilities: [COMMON, NOTIFY, ISR] }).transport;
  breaks("D-40", () => without.writeConfig(0, 1, 1));
});

Deno.test("a configuration is as long as the device says, up to 1024 bytes (D-40)", () => {
  for (
    const [length, expected] of [[1, 1], [3, 3], [7, 7], [1024, 1024], [0x1000, 1024]] as const
  ) {
    const capabilities = [COMMON, NOTIFY, ISR, { ...SPECIFIC, length }];
    const config = fake({ capabilities }).transport.config([4, 2, 1, 1, 8]);
    assertEquals(config.length, expected);
  }
  assertEquals(fake({ capabilities: [COMMON, NOTIFY, ISR] }).transport.config([8]).length, 0);
});

Deno.test("a configuration that changes is read again, but not for ever (D-37)", () => {
  for (const changes of [0, 1, 9, 10, 1000]) {
    let generation = 0;
    let reads = 0;
    const { transport, device } = fake({
      read: (offset) => {
        if (offset === 0x15) return generation & 0xff;
        if (offset === 0x2000) {
          if (reads++ < changes) generation++;
          device.bytes[0x2000] = generation;
        }
        return undefined;
      },
    });
    if (changes >= 10) {
      breaks("D-37", () => transport.config([1]));
      assertEquals(reads, 10);
    } else {
      transport.config([1]);
      assertEquals(reads, changes + 1);
    }
  }
});

Deno.test("queues say how large they can be", () => {
  let selected = -1;
  const { transport } = fake({
    read: (offset) => offset === 0x18 ? [256, 0][selected] : undefined,
    write: (offset, value) => offset === 0x16 ? selected = value : undefined,
  });
  assertEquals([transport.queueMaximum(0), transport.queueMaximum(1)], [256, 0]);
  assertThrows(() => transport.queueMaximum(2), RangeError, "the device has 2");
});

Deno.test("a queue is described in full before it is enabled", () => {
  const { device, transport } = fake();
  transport.enableQueue(1, queue);
  assertEquals(device.log, [
    "w16 0x16 = 1",
    "w16 0x18 = 8",
    `w32 0x20 = ${0x3456_7000}`,
    `w32 0x24 = ${0x12}`,
    "w32 0x28 = 4096",
    "w32 0x2c = 0",
    "w32 0x30 = 4096",
    `w32 0x34 = ${2 ** 20}`,
    "w16 0x1c = 1",
  ]);
});

const refusals: readonly { rule: string; why: string; options: FakeOptions }[] = [
  {
    rule: "D-35",
    why: "keeps its own size",
    options: { read: (offset) => offset === 0x18 ? 4 : undefined },
  },
  {
    rule: "D-36",
    why: "is enabled already",
    options: { read: (offset) => offset === 0x1c ? 1 : undefined },
  },
  {
    rule: "D-36",
    why: "does not let itself be enabled",
    options: { read: (offset) => offset === 0x1c ? 0 : undefined },
  },
];

for (const { rule, why, options } of refusals) {
  Deno.test(`a queue that ${why} is refused (${rule})`, () => {
    const { transport } = fake(options);
    breaks(rule, () => transport.enableQueue(0, queue));
  });
}

Deno.test("a queue says whether it takes its vector (D-70)", () => {
  const { device, transport } = fake();
  assert(transport.setQueueVector(0, NO_VECTOR));
  assert(device.log.includes("w16 0x1a = 65535"));
  const full = fake({ write: (offset) => offset === 0x1a ? NO_VECTOR : undefined }).transport;
  assertEquals(full.setQueueVector(0, 1), false);
  assertEquals(full.setQueueVector(0, NO_VECTOR), true);
});

Deno.test("doorbells are where the device says, inside the notification structure (D-13)", () => {
  const at = (notifyOff: number, multiplier = 4) => {
    const capabilities = [COMMON, { ...NOTIFY, multiplier }, ISR];
    const read = (offset: number) => offset === 0x1e ? notifyOff : undefined;
    return written(fake({ capabilities, read }).transport.doorbell(1, 0n));
  };
  assertEquals([...at(0).message], [0x30, 0x00, 1, 2]);
  assertEquals([...at(3).message], [0x30, 0x0c, 1, 2]);
  assertEquals([...at(63).message], [0x30, 0xfc, 1, 2]);
  assertEquals([...at(65535, 0).message], [0x30, 0x00, 1, 2]);
  assertEquals([...at(127, 2).message], [0x30, 0xfe, 1, 2]);
  for (const [off, multiplier] of [[64, 4], [128, 2], [65535, 4], [1, 2 ** 31], [65535, 2 ** 31]]) {
    breaks("D-13", () => at(off!, multiplier));
  }
});

Deno.test("a device says whether it takes the vector for changed configuration", () => {
  assertEquals(fake().transport.setConfigVector(0), true);
  const { transport } = fake({ write: (offset) => offset === 0x10 ? NO_VECTOR : undefined });
  assertEquals(transport.setConfigVector(0), false);
  assertEquals(transport.setConfigVector(NO_VECTOR), true);
});

Deno.test("the interrupt status is read where the device has it", () => {
  const { transport } = fake({ read: (offset) => offset === 0x1000 ? 3 : undefined });
  assertEquals(transport.interruptStatus(), 3);
});

Deno.test("a queue is reset, and is not enabled afterwards", async () => {
  let left = 3;
  const { device, transport } = fake({
    read: (offset) => offset === 0x3a ? (left-- > 0 ? 1 : 0) : undefined,
  });
  await transport.resetQueue(1);
  assertEquals(device.log.slice(0, 2), ["w16 0x16 = 1", "w16 0x3a = 1"]);
  const still = fake({
    read: (offset) => offset === 0x3a ? 0 : offset === 0x1c ? 1 : undefined,
  });
  const error = await assertRejects(() => still.transport.resetQueue(0), DeviceFault, "still");
  assertEquals(error.rule, "D-36");
});

Deno.test("a queue's reset that never ends has a deadline (D-24)", async () => {
  const { transport } = fake({ read: (offset) => offset === 0x3a ? 1 : undefined });
  const original = performance.now;
  let time = 0;
  performance.now = () => time += 200;
  try {
    const error = await assertRejects(() => transport.resetQueue(0), DeviceFault, "within 1000 ms");
    assertEquals(error.rule, "D-24");
  } finally {
    performance.now = original;
  }
});

Deno.test("a queue is not reset through a structure that is too short for it (D-10)", async () => {
  const capabilities = [{ ...COMMON, length: 0x38 }, NOTIFY, ISR];
  const { transport } = fake({ capabilities });
  const error = await assertRejects(() => transport.resetQueue(0), DeviceFault, "too short");
  assertEquals(error.rule, "D-10");
});

Deno.test("a modern transport says what it is", () => {
  const { transport } = fake();
  assertEquals([transport.kind, transport.resizable], ["modern", true]);
});
