import { assert, assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { COMMAND, COMMAND_BUS_MASTER } from "../core/pci/config_space.ts";
import { bit, Feature } from "../core/virtio/features.ts";
import { DeviceStatus } from "../core/virtio/status.ts";
import { DriverFault } from "../core/virtqueue/device_queue.ts";
import { NO_VECTOR } from "./common_config.ts";
import {
  ACCESS_PLATFORM,
  type DeviceHandle,
  type DeviceModel,
  EVENT_IDX,
  fitted,
  IN_ORDER,
  INDIRECT_DESC,
  MACHINE_FEATURES,
  NOTIF_CONFIG_DATA,
  NOTIFICATION_DATA,
  OPTIONAL_FEATURES,
  type Request,
  RING_PACKED,
  RING_RESET,
  VERSION_1,
} from "./model.ts";
import { TestMachine } from "./test_machine_test.ts";

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET } = DeviceStatus;

/** Writes "!" behind a copy of what it reads. */
const echo: DeviceModel = {
  id: 42,
  queues: [8, 4],
  features: 1n << 3n | 1n << 100n,
  handle(_queue, request) {
    const bytes = new Uint8Array(request.readable);
    request.read(bytes);
    request.write(bytes);
    request.write(Uint8Array.of(33));
    return request.written;
  },
};

Deno.test("features are offered in four words, and none behind them", () => {
  const machine = new TestMachine(echo);
  assertEquals(machine.offered(), 1n << 3n | 1n << 100n | MACHINE_FEATURES);
  machine.write("device_feature_select", 4);
  assertEquals(machine.read("device_feature"), 0);
});

Deno.test("a model can do without features of the machine", () => {
  assertEquals(new TestMachine({ ...echo, without: EVENT_IDX }).offered() & EVENT_IDX, 0n);
});

Deno.test("FEATURES_OK stays for a subset with VERSION_1 only", () => {
  const machine = new TestMachine(echo);
  const before = ACKNOWLEDGE | DRIVER;
  assertEquals(machine.agree(VERSION_1 | 1n << 3n), before | FEATURES_OK);
  assertEquals(machine.agree(1n << 3n), before);
  assertEquals(machine.agree(VERSION_1 | 1n << 4n), before);
  assertEquals(machine.agree(VERSION_1 | 1n << 127n), before);
});

Deno.test("agreed features cannot be changed", () => {
  const machine = new TestMachine(echo);
  machine.agree(VERSION_1);
  machine.write("driver_feature_select", 0);
  machine.write("driver_feature", 8);
  assertEquals(machine.read("driver_feature"), 0);
});

Deno.test("DRIVER_OK needs FEATURES_OK", () => {
  const machine = new TestMachine(echo);
  machine.write("device_status", ACKNOWLEDGE | DRIVER | DRIVER_OK);
  assertEquals(machine.read("device_status"), ACKNOWLEDGE | DRIVER);
});

Deno.test("queues show their size, and 0 where there is none", () => {
  const machine = new TestMachine(echo);
  assertEquals(machine.read("num_queues"), 2);
  const sizes = [0, 1, 2].map((index) => {
    machine.write("queue_select", index);
    return machine.read("queue_size");
  });
  assertEquals(sizes, [8, 4, 0]);
  machine.write("queue_select", 1);
  assertEquals(machine.read("queue_notify_off"), 1);
});

Deno.test("a queue takes a smaller power of two as its size, and nothing else", () => {
  const machine = new TestMachine(echo);
  machine.write("queue_size", 2);
  for (const size of [0, 3, 16, 65535]) {
    machine.write("queue_size", size);
    assertEquals(machine.read("queue_size"), 2);
  }
});

Deno.test("vectors that the device does not have read back as NO_VECTOR", () => {
  const machine = new TestMachine(echo);
  for (const field of ["config_msix_vector", "queue_msix_vector"] as const) {
    assertEquals(machine.read(field), NO_VECTOR);
    machine.write(field, 2);
    assertEquals(machine.read(field), 2);
    machine.write(field, 3);
    assertEquals(machine.read(field), NO_VECTOR);
  }
});

Deno.test("a reset forgets everything and tells the model", () => {
  let resets = 0;
  const machine = new TestMachine({ ...echo, reset: () => resets++ });
  machine.start(8);
  assertEquals([machine.read("queue_enable"), resets], [1, 1]);
  machine.write("device_status", 0);
  assertEquals(resets, 2);
  for (const field of ["device_status", "queue_enable", "queue_desc_low"] as const) {
    assertEquals(machine.read(field), 0);
  }
  assertEquals(machine.read("queue_msix_vector"), NO_VECTOR);
  assertEquals(machine.read("driver_feature"), 0);
});

Deno.test("fields answer to their natural width only", () => {
  const machine = new TestMachine(echo);
  assertEquals(machine.common.read8(0x12), 0);
  assertEquals(machine.common.read32(0x10), 0);
  assertEquals(machine.common.read16(0x12), 2);
});

const RING_FEATURES = [INDIRECT_DESC, EVENT_IDX, IN_ORDER, RING_PACKED, NOTIFICATION_DATA];
const combinations = Array.from(
  { length: 2 ** RING_FEATURES.length },
  (_, i) => RING_FEATURES.reduce((all, feature, n) => i >> n & 1 ? all | feature : all, VERSION_1),
);
for (const features of [...combinations, MACHINE_FEATURES | OPTIONAL_FEATURES]) {
  Deno.test(`requests are answered with features ${features.toString(16)}`, () => {
    let device: DeviceHandle | undefined;
    const machine = new TestMachine({
      ...echo,
      with: OPTIONAL_FEATURES,
      attach: (handle) => device = handle,
    });
    const driver = machine.start(8, features);
    const bytes = new Uint8Array(machine.memory);
    const answers: number[][] = [];
    for (let round = 0; round < 100; round++) {
      bytes.set([round, 2, 3], 0x4000);
      driver.begin(round);
      driver.readable(0x4000, 3);
      // Across the place where an address of 32 bits overflows.
      driver.writable(0x4ffe, 10);
      assert(driver.commit());
      driver.arm();
      driver.publish();
      driver.drain((cookie, written) =>
        answers.push([cookie, written, ...bytes.slice(0x4ffe, 0x5002)])
      );
    }
    assertEquals(answers.length, 100);
    assertEquals(answers[99], [99, 4, 99, 2, 3, 33]);
    assertEquals(machine.interrupts, Array(100).fill(1));
    assertEquals(machine.failures, []);
    assertEquals(device!.counters, { notifications: 100, wrongNotifications: 0 });
  });
}

Deno.test("features that the machine has are offered as the model wants", () => {
  const without = new TestMachine({ ...echo, without: MACHINE_FEATURES, with: IN_ORDER });
  assertEquals(without.offered(), 1n << 3n | 1n << 100n | IN_ORDER);
  const foreign = new TestMachine(fitted({ ...echo }, { with: 1n << 50n }));
  assertEquals(foreign.offered() & 1n << 50n, 0n);
});

Deno.test("a device can insist on features", () => {
  const machine = new TestMachine(
    fitted({ ...echo }, { with: ACCESS_PLATFORM, insists: ACCESS_PLATFORM }),
  );
  const before = ACKNOWLEDGE | DRIVER;
  assertEquals(machine.agree(VERSION_1), before);
  assertEquals(machine.agree(VERSION_1 | ACCESS_PLATFORM), before | FEATURES_OK);
});

Deno.test("a packed queue takes any smaller size", () => {
  const machine = new TestMachine({ ...echo, with: RING_PACKED });
  const driver = machine.start(5, VERSION_1 | RING_PACKED);
  assertEquals([machine.read("queue_size"), driver.size], [5, 5]);
  for (let round = 0; round < 20; round++) {
    driver.begin(round);
    driver.readable(0x4000, 3);
    driver.writable(0x5000, 10);
    assert(driver.commit());
    driver.publish();
    assertEquals(driver.drain(() => {}), 1);
  }
});

for (const features of [VERSION_1, VERSION_1 | RING_PACKED]) {
  Deno.test(`a queue can be reset and have another size, features ${features.toString(16)}`, () => {
    const held: Request[] = [];
    const resets: number[] = [];
    const machine = new TestMachine({
      ...echo,
      with: RING_PACKED,
      handle: (_queue, request) => void held.push(request),
      queueReset: (queue) => resets.push(queue),
    });
    const driver = machine.start(8, features | RING_RESET);
    driver.begin(1);
    driver.writable(0x4000, 16);
    driver.commit();
    driver.publish();
    machine.write("queue_reset", 1);
    const fields = ["queue_reset", "queue_enable", "queue_size", "queue_desc_low"] as const;
    assertEquals(fields.map((field) => machine.read(field)), [0, 0, 8, 0]);
    assertEquals([machine.read("queue_msix_vector"), resets], [NO_VECTOR, [0]]);
    held[0]!.complete(1);
    assertEquals(driver.drain(() => {}), 0);

    const second = machine.enable(4, features);
    second.begin(2);
    second.writable(0x4000, 16);
    second.commit();
    second.publish();
    held[1]!.complete(2);
    const answers: number[][] = [];
    second.drain((...answer) => answers.push(answer));
    assertEquals([answers, machine.failures], [[[2, 2]], []]);
  });
}

Deno.test("a queue is not reset unless that was agreed", () => {
  const machine = new TestMachine(echo);
  machine.start(8);
  machine.write("queue_reset", 1);
  assertEquals(machine.read("queue_enable"), 1);
});

Deno.test("requests go back in their order where that was agreed", () => {
  const held: Request[] = [];
  const machine = new TestMachine({
    ...echo,
    with: IN_ORDER,
    handle: (_queue, request) => void held.push(request),
  });
  const driver = machine.start(8, VERSION_1 | IN_ORDER);
  for (const cookie of [1, 2, 3]) {
    driver.begin(cookie);
    driver.writable(0x4000, 16);
    driver.commit();
  }
  driver.publish();
  const answers: number[][] = [];
  const drain = () => driver.drain((...answer) => answers.push(answer));
  held[1]!.complete(5);
  assertEquals([drain(), machine.interrupts], [0, []]);
  held[0]!.complete(6);
  assertEquals([drain(), answers], [2, [[1, 6], [2, 5]]]);
});

Deno.test("notifications that cannot be true are counted", () => {
  let device: DeviceHandle | undefined;
  const wrong = (features: bigint, ring: (machine: TestMachine) => void) => {
    const machine = new TestMachine({
      ...echo,
      with: OPTIONAL_FEATURES,
      attach: (handle) => device = handle,
    });
    const driver = machine.prepare(8, features);
    machine.device.bar(4)!.write16(0x3000, 0);
    machine.write("device_status", machine.read("device_status") | DRIVER_OK);
    driver.begin(0);
    driver.writable(0x4000, 16);
    driver.commit();
    ring(machine);
    assertEquals(machine.failures, []);
    // The first came too early.
    return device!.counters.wrongNotifications - 1;
  };
  const write = (offset: number, value: number) => (machine: TestMachine) =>
    machine.device.bar(4)!.write32(offset, value);
  assertEquals(wrong(VERSION_1, write(0x3000, 0)), 0);
  assertEquals(wrong(VERSION_1, write(0x3000, 1)), 1);
  assertEquals(wrong(VERSION_1, write(0x3004, 1)), 1, "not enabled");
  assertEquals(wrong(VERSION_1, write(0x3ff8, 0)), 1, "no such queue");
  const split = VERSION_1 | NOTIFICATION_DATA;
  assertEquals(wrong(split, write(0x3000, 0)), 0);
  assertEquals(wrong(split, write(0x3000, 9 << 16)), 1, "ahead of the ring");
  const packed = split | RING_PACKED;
  assertEquals(wrong(packed, write(0x3000, 0x80000000)), 0);
  assertEquals(wrong(packed, write(0x3000, 0x80080000)), 1, "behind the end");
  assertEquals(wrong(packed, write(0x3000, 0x80020000)), 1, "not available");
  assertEquals(wrong(packed, write(0x3000, 0)), 1, "wrong wrap counter");
  assertEquals(wrong(VERSION_1 | NOTIF_CONFIG_DATA, write(0x3000, 0)), 1);
  assertEquals(
    wrong(VERSION_1 | NOTIF_CONFIG_DATA, (machine) => {
      machine.device.bar(4)!.write16(0x3000, machine.read("queue_notif_config_data"));
    }),
    0,
  );
});

Deno.test("a queue that was not notified waits", () => {
  let asked = 0;
  const machine = new TestMachine({ ...echo, handle: () => asked++ });
  const driver = machine.start(8);
  driver.begin(0);
  driver.writable(0x4000, 16);
  driver.commit();
  new Uint16Array(machine.memory, 8 * 16)[1] = 1;
  machine.device.ring(4, 0x3004, 2, 1);
  assertEquals([machine.device.process(), asked], [false, 0]);
  machine.device.ring(4, 0x3000, 2, 0);
  assertEquals([machine.device.process(), asked], [false, 1]);
});

Deno.test("a notification that comes while the device may not look is not lost", () => {
  let asked = 0;
  const machine = new TestMachine({ ...echo, handle: () => asked++ });
  const driver = machine.start(8);
  const { config } = machine.device;
  const command = config.read16(COMMAND);
  config.write16(COMMAND, command & ~COMMAND_BUS_MASTER);
  driver.begin(0);
  driver.writable(0x4000, 16);
  driver.commit();
  driver.publish();
  assertEquals(asked, 0);
  config.write16(COMMAND, command);
  assertEquals([machine.device.process(), asked], [false, 1]);
});

Deno.test("nothing is consumed before DRIVER_OK", () => {
  let asked = 0;
  const machine = new TestMachine({ ...echo, handle: () => asked++ });
  const driver = machine.prepare(8);
  driver.begin(0);
  driver.writable(0x4000, 16);
  driver.commit();
  driver.publish();
  assertEquals(asked, 0);
  machine.write("device_status", machine.read("device_status") | DRIVER_OK);
  machine.look();
  assertEquals(asked, 1);
});

Deno.test("a request of one queue that is answered while another is looked at is shown at once", () => {
  let waiting: Request | undefined;
  const machine = new TestMachine({
    ...echo,
    handle(queue, request) {
      if (queue === 0) {
        waiting = request;
        return undefined;
      }
      waiting!.write(Uint8Array.of(42));
      waiting!.complete(1);
      return 0;
    },
  });
  const first = machine.prepare(8);
  const second = machine.enable(4, VERSION_1, 1);
  machine.write("device_status", machine.read("device_status") | DRIVER_OK);
  first.begin(7);
  first.writable(0x4000, 16);
  first.commit();
  first.publish();
  machine.look();
  second.begin(9);
  second.readable(0x4100, 16);
  second.commit();
  second.publish();
  machine.device.process();
  const done: number[][] = [];
  first.drain((cookie, written) => done.push([cookie, written]));
  assertEquals(done, [[7, 1]]);
});

Deno.test("a model answers later, in another order, and not after a reset", () => {
  const held: Request[] = [];
  const machine = new TestMachine({
    ...echo,
    handle(_queue, request) {
      held.push(request);
      return undefined;
    },
  });
  const driver = machine.start(8);
  for (const cookie of [1, 2, 3]) {
    driver.begin(cookie);
    driver.writable(0x4000, 16);
    driver.commit();
  }
  driver.publish();
  assertEquals(machine.interrupts, []);
  held[1]!.complete(5);
  held[0]!.complete(6);
  const answers: number[][] = [];
  driver.drain((cookie, written) => answers.push([cookie, written]));
  assertEquals(answers, [[2, 5], [1, 6]]);
  assertEquals(machine.interrupts, [1, 1]);
  machine.write("device_status", 0);
  held[2]!.complete(7);
  assertEquals(driver.drain(() => {}), 0);
});

Deno.test("a changed configuration bumps the generation and interrupts", () => {
  let device: DeviceHandle | undefined;
  const config = Uint8Array.of(1, 2, 3, 4);
  const machine = new TestMachine({ ...echo, config, attach: (handle) => device = handle });
  device!.configChanged();
  assertEquals(machine.interrupts, []);
  machine.start(8);
  assertEquals(device!.features, bit(Feature.VERSION_1));
  const before = machine.read("config_generation");
  config[0] = 9;
  device!.configChanged();
  assert(machine.read("config_generation") !== before);
  assertEquals(machine.interrupts, [0]);
  assertEquals(machine.device.bar(4)!.read32(0x2000), 0x04030209);
  assertEquals(machine.device.bar(4)!.read8(0x1000), 2);
  assertEquals(machine.device.bar(4)!.read8(0x1000), 0);
});

Deno.test("writes to the configuration reach the model, those behind its end do not", () => {
  const writes: number[][] = [];
  const machine = new TestMachine({
    ...echo,
    config: new Uint8Array(4),
    configWrite: (...write) => writes.push(write),
  });
  machine.device.bar(4)!.write16(0x2002, 0x1234);
  machine.device.bar(4)!.write32(0x2004, 1);
  assertEquals(writes, [[2, 0x1234, 2]]);
});

Deno.test("a driver that breaks the ring stops the device until a reset", () => {
  const machine = new TestMachine(echo);
  const driver = machine.start(8);
  // The first available entry names a descriptor that points nowhere.
  new Uint32Array(machine.memory).set([0xdead0000, 0, 16, 2]);
  new Uint16Array(machine.memory, 8 * 16, 4).set([0, 1, 0]);
  machine.look();
  assertInstanceOf(machine.failures[0], DriverFault);
  assertStringIncludes(machine.failures[0].message, "0xdead0000");
  assert(machine.read("device_status") & DEVICE_NEEDS_RESET);
  assertEquals(machine.interrupts, [0]);
  machine.look();
  assertEquals([machine.failures.length, driver.drain(() => {})], [1, 0]);
  machine.write("device_status", 0xff);
  assert(machine.read("device_status") & DEVICE_NEEDS_RESET, "the driver cannot clear it");
  machine.write("device_status", 0);
  assertEquals(machine.read("device_status"), 0);
});

Deno.test("a model that throws stops its device only", () => {
  const machine = new TestMachine({
    ...echo,
    handle() {
      throw new TypeError("oops");
    },
  });
  const driver = machine.start(8);
  driver.begin(0);
  driver.writable(0x4000, 16);
  driver.commit();
  driver.publish();
  assertEquals(machine.failures.map(({ message }) => message), ["oops"]);
  assert(machine.read("device_status") & DEVICE_NEEDS_RESET);
});

Deno.test("a model that throws in a reset or a write needs another reset", () => {
  let angry = true;
  const oops = () => {
    if (angry) throw new TypeError("oops");
  };
  const config = new Uint8Array(4);
  const machine = new TestMachine({ ...echo, config, reset: oops, configWrite: oops });
  machine.write("device_status", 0);
  assertEquals(machine.read("device_status"), DEVICE_NEEDS_RESET);
  angry = false;
  machine.write("device_status", 0);
  assertEquals(machine.read("device_status"), 0);
  angry = true;
  machine.device.bar(4)!.write8(0x2000, 1);
  assertEquals(machine.read("device_status"), DEVICE_NEEDS_RESET);
  assertEquals(machine.failures.length, 2);
});

Deno.test("queues that cannot be stop the device", () => {
  const cases: [string, (machine: TestMachine) => void][] = [
    ["before the features", (machine) => machine.write("queue_enable", 1)],
    ["multiple of 16", (machine) => {
      machine.agree(VERSION_1);
      machine.place(8, 0x200, 0x400);
      machine.write("queue_enable", 1);
    }],
    ["cannot reach", (machine) => {
      machine.agree(VERSION_1);
      machine.place(0, 0x200, 65536 - 4);
      machine.write("queue_enable", 1);
    }],
  ];
  for (const [why, act] of cases) {
    const machine = new TestMachine(echo);
    act(machine);
    assertStringIncludes(machine.failures[0]?.message ?? "", why);
    assertEquals(machine.read("queue_enable"), 0);
  }
});

Deno.test("a device answers a bounded number of requests at once", () => {
  const machine = new TestMachine({
    ...echo,
    handle(_queue, request) {
      // A driver on another processor that never stops asking.
      const ring = new Uint16Array(machine.memory, 8 * 16);
      ring[1] = ring[1]! + 1;
      return request.writable && 0;
    },
  });
  const driver = machine.start(8);
  driver.begin(0);
  driver.writable(0x4000, 16);
  driver.commit();
  new Uint16Array(machine.memory, 8 * 16)[1] = 1;
  assertEquals(machine.look(), true);
});
