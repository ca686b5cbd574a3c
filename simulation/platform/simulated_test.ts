import { assert, assertEquals, assertThrows } from "@std/assert";
import { addressTable } from "../../core/dma/address_table.ts";
import { clear, writeAll } from "../../core/linux/fd.ts";
import { libc } from "../../core/linux/libc.ts";
import { mapShared } from "../../core/linux/memory.ts";
import { InterruptLoop } from "../../core/irq/interrupt_loop.ts";
import { OsError } from "../../core/linux/os_error.ts";
import { lying } from "../hostile.ts";
import { type DeviceHandle, type DeviceModel, NOTIFICATION_DATA } from "../model.ts";
import { bit, Feature, has } from "../../core/virtio/features.ts";
import { legacyTransport } from "../../core/virtio/legacy.ts";
import { modernTransport } from "../../core/virtio/modern.ts";
import { agree } from "../../core/virtio/negotiate.ts";
import { DeviceStatus } from "../../core/virtio/status.ts";
import { makeDriverQueue } from "../../core/virtqueue/driver_queue.ts";
import { layoutSplit } from "../../core/virtqueue/layout.ts";
import { SplitDriver } from "../../core/virtqueue/split_driver.ts";
import type { DriverQueue } from "../../core/virtqueue/virtqueue.ts";
import { NO_VECTOR } from "../../core/virtio/transport.ts";
import type { OpenFunction } from "../../core/pci/function.ts";
import { openSimulated } from "./simulated.ts";
import { written } from "../../core/platform/written_test.ts";

// Opened once for the whole process, so not by a test.
libc();

/** Answers with the sum of the bytes that it reads. */
function adder(): DeviceModel {
  return {
    id: 42,
    queues: [16],
    handle(_queue, request) {
      const bytes = new Uint8Array(request.readable);
      request.read(bytes);
      request.write(new Uint8Array(Uint32Array.of(bytes.reduce((a, b) => a + b, 0)).buffer));
      return request.written;
    },
  };
}

Deno.test("openSimulated() gives each model an address", async () => {
  await using loop = new InterruptLoop();
  await using one = openSimulated({ devices: [adder()], loop });
  assertEquals(one.description, "simulated machine, 1 device");
  await using many = openSimulated({ devices: Array.from({ length: 31 }, adder), loop });
  assertEquals(many.description, "simulated machine, 31 devices");
  assertEquals(many.functions[0]?.address, "0000:00:01.0");
  assertEquals(many.functions[30]?.address, "0000:00:1f.0");
  assertThrows(
    () => openSimulated({ devices: Array.from({ length: 32 }, adder), loop }),
    RangeError,
    "room for 31",
  );
});

Deno.test("a simulated function is opened once at a time", async () => {
  await using loop = new InterruptLoop();
  await using machine = openSimulated({ devices: [adder()], loop });
  const [pci] = machine.functions;
  const open = pci!.open();
  assertThrows(() => pci!.open(), Error, "opened already");
  assertEquals(pci!.config.read16(4), 6);
  open[Symbol.dispose]();
  open[Symbol.dispose]();
  assertEquals(pci!.config.read16(4), 0);
  pci!.open()[Symbol.dispose]();
});

Deno.test("a simulated function has no more vectors than its device", async () => {
  await using loop = new InterruptLoop();
  await using machine = openSimulated({
    devices: [adder(), { ...adder(), vectors: 0 }],
    loop,
  });
  using first = machine.functions[0]!.open();
  using second = machine.functions[1]!.open();
  assertEquals(first.vectors(7).length, 2);
  assertEquals(second.vectors(7).length, 0);
});

Deno.test("DMA memory is above 4 GiB, in one run or many", async () => {
  await using loop = new InterruptLoop();
  await using whole = openSimulated({ devices: [adder()], loop });
  using open = whole.functions[0]!.open();
  const [first, second] = [open.dma(131072), open.dma(65536)];
  assertEquals(first.runs.length, 1);
  assert(first.runs[0]!.address > 2 ** 32);
  assert(second.runs[0]!.address >= first.runs[0]!.address + 131072);

  await using cut = openSimulated({ devices: [adder()], loop, runBytes: 12288 });
  using other = cut.functions[0]!.open();
  const { runs } = other.dma(65536);
  assertEquals(runs.map(({ length }) => length), [12288, 12288, 12288, 12288, 12288, 4096]);
  const neighbours = runs.some((run) =>
    runs.some(({ address }) => address === run.address + run.length)
  );
  assert(!neighbours);
});

/** Sets a device up with one queue, as plain as can be. */
async function start(open: OpenFunction, features: bigint, vector: number): Promise<DriverQueue> {
  const transport = modernTransport(open);
  const greet = async () => {
    await transport.reset();
    transport.addStatus(DeviceStatus.ACKNOWLEDGE);
    transport.addStatus(DeviceStatus.DRIVER);
  };
  await greet();
  assertEquals(await agree(transport, features, greet), features);
  const dma = open.dma(65536);
  const layout = layoutSplit(0, 16, 0);
  const { address } = dma.runs[0]!;
  assert(transport.setQueueVector(0, vector));
  transport.enableQueue(0, {
    size: 16,
    descriptors: address + layout.descriptors,
    driver: address + layout.driver,
    device: address + layout.device,
  });
  const width = has(features, Feature.NOTIFICATION_DATA) ? 4 : 2;
  const doorbell = written(open.doorbell(4, 0x3000, 0, width));
  transport.addStatus(DeviceStatus.DRIVER_OK);
  return makeDriverQueue({
    memory: mapShared(dma.fd, dma.offset, dma.size),
    layout,
    addresses: addressTable(dma.runs),
    eventIndex: false,
    notify: (data) => {
      const message = doorbell.message.slice();
      if (doorbell.data) new DataView(message.buffer).setInt32(doorbell.data.at, data, true);
      writeAll(doorbell.fd, message);
    },
  });
}

function request(driver: DriverQueue): void {
  driver.begin(0);
  driver.readable(0x8000, 100);
  driver.writable(0xa000, 4);
  driver.commit();
  driver.publish();
}

Deno.test("a function without vectors interrupts by its pin, masked until it is unmasked", async () => {
  await using loop = new InterruptLoop();
  await using machine = openSimulated({ devices: [{ ...adder(), vectors: 0 }], loop });
  using open = machine.functions[0]!.open();
  assertEquals(open.vectors(2), []);
  const pin = open.intx!()!;
  assertEquals(open.intx!(), pin);
  const driver = await start(open, bit(Feature.VERSION_1), NO_VECTOR);
  const turn = () => {
    request(driver);
    loop.runOnce(1000);
  };
  turn();
  assert(clear(pin));
  // It is asserted still, and masked.
  turn();
  assert(!clear(pin));
  open.unmaskIntx!();
  assert(clear(pin), "unmasked while it is asserted");
  assertEquals(open.bar(4)!.read8(0x1000), 1);
  open.unmaskIntx!();
  assert(!clear(pin));
  turn();
  assert(clear(pin));
});

Deno.test("a function without a pin has none", async () => {
  await using loop = new InterruptLoop();
  await using machine = openSimulated({ devices: [{ ...adder(), pin: false }], loop });
  using open = machine.functions[0]!.open();
  assertEquals(open.intx!(), undefined);
});

Deno.test("a doorbell carries notification data where there is some", async () => {
  await using loop = new InterruptLoop();
  let device: DeviceHandle | undefined;
  const model: DeviceModel = {
    ...adder(),
    with: NOTIFICATION_DATA,
    attach: (handle) => device = handle,
  };
  await using machine = openSimulated({ devices: [model], loop });
  using open = machine.functions[0]!.open();
  assertEquals(written(open.doorbell(4, 0x3000, 0, 2)).data, undefined);
  assertEquals(written(open.doorbell(4, 0x3000, 0, 4)).data, { at: 12, form: "u32" });
  const driver = await start(open, bit(Feature.VERSION_1) | NOTIFICATION_DATA, NO_VECTOR);
  for (let round = 1; round <= 40; round++) {
    request(driver);
    loop.runOnce(1000);
    assertEquals(driver.drain(() => {}), 1);
    assertEquals(device!.counters, { notifications: round, wrongNotifications: 0 });
  }
});

Deno.test("no request is lost where notifications are", async () => {
  await using loop = new InterruptLoop();
  await using machine = openSimulated({ devices: [adder()], loop });
  using open = machine.functions[0]!.open();
  const driver = await start(open, bit(Feature.VERSION_1), NO_VECTOR);
  // A driver gone mad fills the pipe with other things.
  const { fd } = open.doorbell(4, 0x3000, 0, 2);
  const noise = new Uint8Array(4096).fill(0x55);
  for (let i = 0; i < 16; i++) writeAll(fd, noise);
  assertThrows(() => request(driver), OsError);
  loop.runOnce(1000);
  assertEquals(driver.drain(() => {}), 1);
});

Deno.test("an interrupt storm goes on until the function is closed (D-67)", async () => {
  await using loop = new InterruptLoop();
  await using machine = openSimulated({ devices: [lying(adder(), "D-67")], loop });
  using open = machine.functions[0]!.open();
  const [fd] = open.vectors(1);
  const driver = await start(open, bit(Feature.VERSION_1), 0);
  assert(!clear(fd!));
  request(driver);
  loop.runOnce(1000);
  for (let i = 0; i < 5000; i++) assert(clear(fd!), `${i}`);
  while (clear(fd!));
  await new Promise((done) => setTimeout(done, 20));
  assert(clear(fd!));
});

Deno.test("an MSI-X table that cannot be gives no vectors (D-17)", async () => {
  await using loop = new InterruptLoop();
  await using machine = openSimulated({ devices: [lying(adder(), "D-17")], loop });
  using open = machine.functions[0]!.open();
  assertEquals(open.vectors(2), []);
});

for (const generation of ["transitional", "legacy"] as const) {
  Deno.test(`a legacy transport works on a ${generation} device`, async () => {
    await using loop = new InterruptLoop();
    await using machine = openSimulated({ devices: [{ ...adder(), id: 4, generation }], loop });
    using open = machine.functions[0]!.open();
    const transport = legacyTransport(open);
    assertEquals([transport.queues, transport.queueMaximum(0)], [1, 16]);
    await transport.reset();
    transport.addStatus(DeviceStatus.ACKNOWLEDGE);
    transport.addStatus(DeviceStatus.DRIVER);
    transport.acceptFeatures(0n);
    const dma = open.dma(65536);
    const [ready] = open.vectors(1);
    assert(transport.setQueueVector(0, 0));
    const layout = { ...layoutSplit(0, 16, 0), driver: 256, device: 4096 };
    const { address } = dma.runs[0]!;
    transport.enableQueue(0, {
      size: 16,
      descriptors: address,
      driver: address + 256,
      device: address + 4096,
    });
    transport.addStatus(DeviceStatus.DRIVER_OK);
    const doorbell = written(transport.doorbell(0, 0n));
    const driver = makeDriverQueue({
      memory: mapShared(dma.fd, dma.offset, dma.size),
      layout,
      addresses: addressTable(dma.runs),
      eventIndex: false,
      notify: () => writeAll(doorbell.fd, doorbell.message),
    });
    request(driver);
    loop.runOnce(1000);
    assert(clear(ready!));
    assertEquals(driver.drain(() => {}), 1);
  });
}

Deno.test("restore() turns the function on again", async () => {
  await using loop = new InterruptLoop();
  await using machine = openSimulated({ devices: [adder()], loop });
  using open = machine.functions[0]!.open();
  open.config.write16(4, 0);
  assertEquals(open.bar(4)!.read32(0), 0xffffffff);
  open.restore!();
  assertEquals(open.bar(4)!.read32(0), 0);
});

for (const runBytes of [undefined, 4096]) {
  Deno.test(`a driver works on a simulated device, runs of ${runBytes ?? "all"} bytes`, async () => {
    await using loop = new InterruptLoop();
    const failures: string[] = [];
    await using machine = openSimulated({
      devices: [adder()],
      loop,
      failed: (address, error) => failures.push(`${address} ${error.message}`),
      ...(runBytes === undefined ? {} : { runBytes }),
    });
    using open = machine.functions[0]!.open();
    const transport = modernTransport(open);
    const greet = async () => {
      await transport.reset();
      transport.addStatus(DeviceStatus.ACKNOWLEDGE);
      transport.addStatus(DeviceStatus.DRIVER);
    };
    await greet();
    const features = bit(Feature.VERSION_1) | bit(Feature.EVENT_IDX) | bit(Feature.INDIRECT_DESC);
    await agree(transport, features & transport.offeredFeatures(), greet);

    const dma = open.dma(65536);
    const memory = mapShared(dma.fd, dma.offset, dma.size);
    const layout = layoutSplit(0, 16, 8);
    const addresses = addressTable(dma.runs);
    const at = (offset: number) =>
      addresses.high[offset >>> 12]! * 2 ** 32 + addresses.low[offset >>> 12]! + (offset & 4095);
    const [changed, ready] = open.vectors(2);
    transport.setConfigVector(0);
    assert(transport.setQueueVector(0, 1));
    transport.enableQueue(0, {
      size: 16,
      descriptors: at(layout.descriptors),
      driver: at(layout.driver),
      device: at(layout.device),
    });
    const doorbell = written(transport.doorbell(0, 0n));
    const driver = new SplitDriver({
      memory,
      layout,
      addresses,
      eventIndex: true,
      notify: () => writeAll(doorbell.fd, doorbell.message),
    });
    transport.addStatus(DeviceStatus.DRIVER_OK);

    // Longer than a page, so that it takes more than one buffer where memory is cut.
    new Uint8Array(memory).fill(1, 0x8000, 0x8000 + 6000);
    const sums: number[] = [];
    for (let round = 0; round < 50; round++) {
      driver.begin(round);
      driver.readable(0x8000, 6000);
      driver.writable(0xa000, 4);
      driver.commit();
      driver.arm();
      driver.publish();
      loop.runOnce(1000);
      assert(clear(ready!), "the device interrupts");
      driver.drain((_cookie, written) =>
        sums.push(written, new Uint32Array(memory, 0xa000, 1)[0]!)
      );
    }
    assertEquals(sums, Array(50).fill([4, 6000]).flat());
    assertEquals(clear(changed!), false);
    assertEquals(failures, []);
    assertEquals(driver.broken, undefined);
  });
}
