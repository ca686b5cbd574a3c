import { assert, assertEquals, assertThrows } from "@std/assert";
import { addressTable } from "../core/dma/address_table.ts";
import { sizeBars } from "../core/pci/bars.ts";
import { capabilities, MSI_X } from "../core/pci/capabilities.ts";
import { COMMAND, COMMAND_BUS_MASTER, COMMAND_IO } from "../core/pci/config_space.ts";
import { virtioIdentity } from "../core/pci/virtio_identity.ts";
import { DeviceStatus } from "../core/virtio/status.ts";
import { makeDriverQueue } from "../core/virtqueue/driver_queue.ts";
import { type DeviceModel, EVENT_IDX, INDIRECT_DESC, VERSION_1 } from "./model.ts";
import { SimulatedFunction } from "./pci_function.ts";
import { VirtioFunction } from "./virtio_pci.ts";
import { TestMachine } from "./test_machine_test.ts";

const { ACKNOWLEDGE, DRIVER, DRIVER_OK } = DeviceStatus;

function model(generation: "transitional" | "legacy"): DeviceModel {
  return {
    id: 2,
    queues: [8, 8],
    generation,
    features: 1n << 9n | 1n << 40n,
    config: Uint8Array.of(1, 2, 3, 4),
    handle: (_queue, request) => request.write(Uint8Array.of(1, 2, 3, 4)),
  };
}

function ids({ config }: SimulatedFunction) {
  return {
    vendor: config.read16(0),
    device: config.read16(2),
    subsystem: config.read16(0x2e),
  };
}

const slot = { interrupt() {}, pin() {}, failed() {} };

Deno.test("a transitional device has an id of its own, and registers for both drivers", () => {
  const { device } = new TestMachine(model("transitional"));
  assertEquals(ids(device), { vendor: 0x1af4, device: 0x1001, subsystem: 2 });
  assertEquals(virtioIdentity(ids(device))?.generation, "transitional");
  assertEquals(device.config.read8(8), 0);
  const bars = sizeBars(device.config).map(({ index, size }) => [index, size]);
  assertEquals(bars, [[0, 32], [1, 0x1000], [4, 0x4000]]);
  assertThrows(
    () => new SimulatedFunction(new VirtioFunction({ ...model("legacy"), id: 42 }), slot),
    RangeError,
    "type 42",
  );
});

Deno.test("a legacy device has nothing of a modern one", () => {
  const device = new SimulatedFunction(new VirtioFunction(model("legacy")), slot);
  assertEquals(capabilities(device.config).map(({ id }) => id), [MSI_X]);
  assertEquals([device.bar(4), device.bar(0)?.size], [undefined, 32]);
  assertEquals(sizeBars(device.config).map(({ index }) => index), [0, 1]);
  // There is no capability by which registers could be reached, nor what it would lie over.
  for (let at = 0; at < 256; at += 4) device.config.read32(at);
});

Deno.test("a transitional device works for a modern driver", () => {
  const machine = new TestMachine(model("transitional"));
  const driver = machine.start(8);
  driver.begin(0);
  driver.writable(0x4000, 4);
  driver.commit();
  driver.publish();
  assertEquals([driver.drain(() => {}), machine.failures], [1, []]);
});

for (const generation of ["transitional", "legacy"] as const) {
  for (const msix of [true, false]) {
    Deno.test(`a ${generation} device works for a legacy driver, ${msix ? "" : "no "}MSI-X`, () => {
      const memory = new SharedArrayBuffer(65536);
      const runs = [{ address: 0x10_0000, length: 65536 }];
      const interrupts: number[] = [];
      const failures: Error[] = [];
      const device = new SimulatedFunction(new VirtioFunction(model(generation)), {
        ...slot,
        interrupt: (vector) => interrupts.push(vector),
        failed: (error) => failures.push(error),
      });
      device.memory.add(memory, runs);
      const io = device.bar(0)!;
      assertEquals(io.read16(0x0c), 0xffff, "I/O space is off");
      device.config.write16(COMMAND, COMMAND_IO | COMMAND_BUS_MASTER);
      device.signalBy(msix ? "msix" : "pin");

      io.write8(0x12, 0);
      io.write8(0x12, ACKNOWLEDGE | DRIVER);
      assertEquals(BigInt(io.read32(0)), INDIRECT_DESC | EVENT_IDX | 1n << 9n);
      io.write32(4, Number(EVENT_IDX));
      assertEquals([io.read32(4), io.read32(msix ? 0x18 : 0x14)], [2 ** 29, 0x04030201]);
      io.write16(0x0e, 7);
      assertEquals(io.read16(0x0c), 0, "no such queue");
      io.write16(0x0e, 1);
      io.write16(0x0c, 4);
      assertEquals([io.read16(0x0c), io.read32(8)], [8, 0]);
      if (msix) {
        io.write16(0x16, 1);
        assertEquals([io.read16(0x14), io.read16(0x16)], [0xffff, 1]);
      }
      io.write32(8, 0x101);
      assertEquals(io.read32(8), 0x101);
      const driver = makeDriverQueue({
        memory,
        layout: {
          kind: "split",
          size: 8,
          descriptors: 0x1000,
          driver: 0x1000 + 128,
          device: 0x2000,
          segments: 8,
          end: 0x3000,
        },
        addresses: addressTable(runs),
        eventIndex: true,
        notify: () => io.write16(0x10, 1),
      });
      io.write8(0x12, ACKNOWLEDGE | DRIVER | DRIVER_OK);
      for (let round = 0; round < 20; round++) {
        driver.begin(round);
        driver.writable(0x4000, 16);
        driver.commit();
        driver.arm();
        driver.publish();
        const answers: number[][] = [];
        driver.drain((...answer) => answers.push(answer));
        assertEquals(answers, [[round, 4]]);
      }
      assertEquals(failures, []);
      assertEquals(interrupts.length, msix ? 20 : 0);
      assertEquals([device.asserted, io.read8(0x13)], [!msix, msix ? 0 : 1]);
      assert(!device.asserted);

      io.write32(8, 0);
      assertEquals(io.read32(8), 0);
      io.write8(0x12, 0);
      assertEquals([io.read8(0x12), io.read32(4)], [0, 0]);
    });
  }
}

Deno.test("VERSION_1 is no legacy feature, and none that lie above 32 bits are", () => {
  const machine = new TestMachine(model("transitional"));
  assert(machine.offered() & VERSION_1);
  machine.write("device_feature_select", 1);
  machine.device.config.write16(COMMAND, 7);
  assertEquals(BigInt(machine.device.bar(0)!.read32(0)), INDIRECT_DESC | EVENT_IDX | 1n << 9n);
});
