import { assert, assertEquals, assertThrows } from "@std/assert";
import { sizeBars } from "../core/pci/bars.ts";
import { capabilities, MSI_X, VENDOR_SPECIFIC } from "../core/pci/capabilities.ts";
import {
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_INTX_DISABLE,
  COMMAND_MEMORY,
  INTERRUPT_PIN,
  STATUS,
  STATUS_INTERRUPT,
} from "../core/pci/config_space.ts";
import { findMsix } from "../core/pci/msix.ts";
import { findStructures } from "../core/virtio/capabilities.ts";
import type { DeviceModel } from "./model.ts";
import { SimulatedFunction } from "./pci_function.ts";
import { VirtioFunction } from "./virtio_pci.ts";
import { TestMachine } from "./test_machine_test.ts";

const model: DeviceModel = {
  id: 42,
  queues: [8, 8, 8],
  config: new Uint8Array(12),
  handle: () => 0,
};
const slot = { interrupt() {}, pin() {}, failed() {} };

Deno.test("a simulated device says what it is", () => {
  const { config } = new SimulatedFunction(
    new VirtioFunction({ ...model, classCode: 0x010203 }),
    slot,
  );
  assertEquals(config.read32(0), 0x106a_1af4);
  assertEquals(config.read32(8), 0x01020301);
});

Deno.test("a simulated device has the five structures and MSI-X, in this order", () => {
  const { config } = new SimulatedFunction(new VirtioFunction(model), slot);
  const found = capabilities(config).map(({ id, offset }) => [id, config.read8(offset + 3)]);
  const virtio = [1, 2, 3, 4, 5].map((type) => [VENDOR_SPECIFIC, type]);
  assertEquals(found.slice(0, 5), virtio);
  assertEquals(found.slice(5).map(([id]) => id), [MSI_X]);
});

Deno.test("a simulated device without a configuration has no structure for it", () => {
  const device = new SimulatedFunction(
    new VirtioFunction({ id: 4, queues: [8], handle: () => 0 }),
    slot,
  );
  const found = findStructures(device.config, (bar) => device.bar(bar)?.size);
  assertEquals(found.device, undefined);
});

Deno.test("the structures are where a transport looks for them", () => {
  const device = new SimulatedFunction(new VirtioFunction(model), slot);
  const found = findStructures(device.config, (bar) => device.bar(bar)?.size);
  assertEquals(found, {
    common: { bar: 4, offset: 0, length: 0x3c },
    notify: { bar: 4, offset: 0x3000, length: 12 },
    notifyMultiplier: 4,
    isr: { bar: 4, offset: 0x1000, length: 1 },
    device: { bar: 4, offset: 0x2000, length: 12 },
  });
});

Deno.test("BARs can be sized, also those of a device with many queues", () => {
  const sizes = (queues: number) => {
    const device = new SimulatedFunction(
      new VirtioFunction({ ...model, queues: Array(queues).fill(8) }),
      slot,
    );
    return sizeBars(device.config).map(({ index, bits, size }) => {
      assertEquals(device.bar(index)?.size, size);
      return [index, bits, size];
    });
  };
  assertEquals(sizes(3), [[1, 32, 0x1000], [4, 64, 0x4000]]);
  assertEquals(sizes(1500), [[1, 32, 0x8000], [4, 64, 0x8000]]);
});

Deno.test("what is read-only in the configuration space stays", () => {
  const { config } = new SimulatedFunction(new VirtioFunction(model), slot);
  const before = Array.from({ length: 64 }, (_, i) => config.read32(4 * i));
  for (const at of [0x00, 0x08, 0x2c, 0x34, 0x40]) config.write32(at, 0x5a5a5a5a);
  assertEquals(Array.from({ length: 64 }, (_, i) => config.read32(4 * i)), before);
});

Deno.test("nothing is behind the BARs while memory space is off", () => {
  const device = new SimulatedFunction(new VirtioFunction(model), slot);
  const bar = device.bar(4)!;
  assertEquals([bar.read8(0x14), bar.read16(0x12), bar.read32(0)], [0xff, 0xffff, 0xffffffff]);
  device.config.write16(COMMAND, COMMAND_MEMORY);
  assertEquals(bar.read16(0x12), 3);
});

Deno.test("the registers can be reached by the configuration space", () => {
  const { config, bar } = (({ device }) => ({ config: device.config, bar: device.bar(4)! }))(
    new TestMachine(model),
  );
  const { offset } = capabilities(config).find(({ offset }) => config.read8(offset + 3) === 5)!;
  config.write8(offset + 4, 4);
  config.write32(offset + 8, 0x16);
  config.write32(offset + 12, 2);
  config.write32(offset + 16, 2);
  assertEquals(bar.read16(0x16), 2);
  config.write32(offset + 8, 0x12);
  assertEquals(config.read32(offset + 16), 3);
  // Nonsense: misaligned, no such BAR, behind the end.
  config.write32(offset + 8, 0x13);
  config.read32(offset + 16);
  config.write8(offset + 4, 9);
  config.write32(offset + 16, 1);
  config.write8(offset + 4, 4);
  config.write32(offset + 8, 0xfffffffe);
  config.read32(offset + 16);
});

Deno.test("without MSI-X a device sets its ISR and cannot interrupt", () => {
  const machine = new TestMachine({ ...model, vectors: 0 });
  const driver = machine.start(8);
  driver.begin(0);
  driver.writable(0x4000, 4);
  driver.commit();
  driver.publish();
  assertEquals(machine.interrupts, []);
  assertEquals(machine.device.bar(4)!.read8(0x1000), 1);
  assertEquals(capabilities(machine.device.config).length, 5);
});

Deno.test("without MSI-X a device asserts its pin until its ISR status is read", () => {
  const machine = new TestMachine({ ...model, vectors: 0 });
  const { config } = machine.device;
  const isr = machine.device.bar(4)!;
  assertEquals(config.read8(INTERRUPT_PIN), 1);
  const driver = machine.start(8);
  const ask = () => {
    driver.begin(0);
    driver.writable(0x4000, 4);
    driver.commit();
    driver.publish();
    driver.drain(() => {});
  };
  ask();
  ask();
  assertEquals([machine.pins, machine.device.asserted], [[true], true]);
  assert(config.read16(STATUS) & STATUS_INTERRUPT);
  assertEquals([isr.read8(0x1000), isr.read8(0x1000)], [1, 0]);
  assertEquals([machine.pins, machine.device.asserted], [[true, false], false]);
  assertEquals(config.read16(STATUS) & STATUS_INTERRUPT, 0);

  config.write16(COMMAND, COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE);
  ask();
  assertEquals(machine.pins.length, 2);
  assert(config.read16(STATUS) & STATUS_INTERRUPT, "it would if it might");
  config.write16(COMMAND, COMMAND_MEMORY | COMMAND_BUS_MASTER);
  assertEquals(machine.pins, [true, false, true]);
  machine.device.reset();
  assertEquals(machine.pins, [true, false, true, false]);
});

Deno.test("with MSI-X on, a device does not assert its pin", () => {
  const machine = new TestMachine(model);
  const driver = machine.start(8);
  driver.begin(0);
  driver.writable(0x4000, 4);
  driver.commit();
  driver.publish();
  assertEquals([machine.pins, machine.interrupts], [[], [1]]);
});

Deno.test("a device may have no pin, and as many vectors as it wants", () => {
  const machine = new TestMachine({ ...model, vectors: 0, pin: false });
  assertEquals(machine.device.config.read8(INTERRUPT_PIN), 0);
  for (const vectors of [1, 2, 64, 2048]) {
    const { device } = new TestMachine({ ...model, vectors });
    const msix = findMsix(device.config, (bar) => device.bar(bar)?.size);
    assertEquals([device.vectors, msix?.vectors], [vectors, vectors]);
  }
  assertEquals(
    new SimulatedFunction(new VirtioFunction({ ...model, vectors: 9999 }), slot).vectors,
    2048,
  );
});

Deno.test("a configuration of more than a page is refused", () => {
  const config = new Uint8Array(4097);
  assertThrows(
    () => new SimulatedFunction(new VirtioFunction({ ...model, config }), slot),
    RangeError,
    "4096 bytes",
  );
});
