import { assert, assertEquals, assertThrows } from "@std/assert";
import { addressTable } from "../../dma/address_table.ts";
import { clear, writeAll } from "../../host/fd.ts";
import { libc } from "../../host/libc.ts";
import { mapShared } from "../../host/memory.ts";
import { InterruptLoop } from "../../irq/interrupt_loop.ts";
import type { DeviceModel } from "../../simulation/model.ts";
import { bit, Feature } from "../../virtio/features.ts";
import { modernTransport } from "../../virtio/modern.ts";
import { agree } from "../../virtio/negotiate.ts";
import { DeviceStatus } from "../../virtio/status.ts";
import { layoutSplit } from "../../virtqueue/layout.ts";
import { SplitDriver } from "../../virtqueue/split_driver.ts";
import { openSimulated } from "./simulated.ts";

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
    await transport.reset();
    transport.addStatus(DeviceStatus.ACKNOWLEDGE);
    transport.addStatus(DeviceStatus.DRIVER);
    const features = bit(Feature.VERSION_1) | bit(Feature.EVENT_IDX) | bit(Feature.INDIRECT_DESC);
    agree(transport, features & transport.offeredFeatures());

    const dma = open.dma(65536);
    const memory = mapShared(dma.fd, dma.offset, dma.size);
    const layout = layoutSplit(0, 16, 8);
    const addresses = addressTable(dma.runs);
    const at = (offset: number) =>
      addresses.high[offset >>> 12]! * 2 ** 32 + addresses.low[offset >>> 12]! + (offset & 4095);
    const [changed, ready] = open.vectors(2);
    transport.setConfigVector(0);
    transport.enableQueue(0, {
      size: 16,
      descriptors: at(layout.descriptors),
      driver: at(layout.driver),
      device: at(layout.device),
      vector: 1,
    });
    const doorbell = transport.doorbell(0);
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
      loop.turn(1000);
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
