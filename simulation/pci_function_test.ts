import { assert, assertEquals, assertThrows } from "@std/assert";
import { sizeBars } from "../core/pci/bars.ts";
import { capabilities } from "../core/pci/capabilities.ts";
import {
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_INTX_DISABLE,
  COMMAND_IO,
  COMMAND_MEMORY,
  INTERRUPT_PIN,
  STATUS,
  STATUS_INTERRUPT,
} from "../core/pci/config_space.ts";
import { readIdentity } from "../core/pci/identity.ts";
import { enableMsi, findMsi } from "../core/pci/msi.ts";
import { enableMsix, findMsix } from "../core/pci/msix.ts";
import { DriverFault } from "../core/virtqueue/device_queue.ts";
import type { FunctionHandle, FunctionModel } from "./function_model.ts";
import { SimulatedFunction } from "./pci_function.ts";

const ALL = COMMAND_MEMORY | COMMAND_IO | COMMAND_BUS_MASTER;
const RUNS = [{ address: 0x1_0000_0000, length: 4096 }, { address: 0x9000, length: 4096 }];

/** A function with a driver's hands on it. */
class Bench {
  readonly memory = new SharedArrayBuffer(8192);
  readonly function: SimulatedFunction;
  readonly interrupts: number[] = [];
  readonly pins: boolean[] = [];
  readonly failures: Error[] = [];
  /** Accesses as the model saw them. */
  readonly seen: (readonly number[])[] = [];
  resets = 0;
  #handle: FunctionHandle | undefined;

  constructor(parts: Partial<FunctionModel> = {}) {
    this.function = new SimulatedFunction({
      vendor: 0x1234,
      device: 0x5678,
      bars: { 0: { bytes: 256 } },
      attach: (handle) => this.#handle = handle,
      read: (bar, offset, width) => {
        this.seen.push([bar, offset, width]);
        return 0x1_2345_6789;
      },
      write: (...access) => void this.seen.push(access),
      reset: () => this.resets++,
      ...parts,
    }, {
      interrupt: (vector) => this.interrupts.push(vector),
      pin: (asserted) => this.pins.push(asserted),
      failed: (error) => this.failures.push(error),
    });
    this.function.memory.add(this.memory, RUNS);
    this.function.config.write16(COMMAND, ALL);
  }

  get handle(): FunctionHandle {
    return this.#handle!;
  }
}

Deno.test("a simulated function says what it is, and its BARs can be sized #core:function_model", () => {
  const { config } = new Bench({
    subsystemVendor: 0x1111,
    subsystem: 0x2222,
    classCode: 0x010802,
    revision: 3,
    bars: {
      0: { bytes: 16384, kind: "memory64" },
      2: { bytes: 64, kind: "ports" },
      3: { bytes: 65536 },
    },
    pin: false,
  }).function;
  const { vendor, device, subsystemVendor, subsystem, revision } = readIdentity(config);
  assertEquals([vendor, device, revision], [0x1234, 0x5678, 3]);
  assertEquals([subsystemVendor, subsystem], [0x1111, 0x2222]);
  assertEquals(config.read32(8), 0x01080203);
  assertEquals(config.read8(INTERRUPT_PIN), 0);
  assertEquals(
    sizeBars(config).map(({ index, bits, size }) => [index, bits, size]),
    [[0, 64, 16384], [2, 32, 64], [3, 32, 65536]],
  );
  assertEquals(capabilities(config), []);
});

Deno.test("registers of a model are reached while their space is on #core:function_model", () => {
  const bench = new Bench({ bars: { 0: { bytes: 256 }, 1: { bytes: 32, kind: "ports" } } });
  const [memory, ports] = [bench.function.bar(0)!, bench.function.bar(1)!];
  assertEquals([memory.read8(1), memory.read16(2), memory.read32(4)], [0x89, 0x6789, 0x23456789]);
  ports.write16(30, 0x12345);
  bench.function.ring(0, 252, 4, 9);
  assertEquals(bench.seen, [[0, 1, 1], [0, 2, 2], [0, 4, 4], [1, 30, 2, 0x2345], [0, 252, 4, 9]]);
  assertThrows(() => memory.read32(254), RangeError);

  bench.function.config.write16(COMMAND, COMMAND_MEMORY);
  ports.write8(0, 1);
  assertEquals([ports.read8(0), bench.seen.length], [0xff, 5]);
  bench.function.config.write16(COMMAND, COMMAND_IO);
  bench.function.ring(0, 252, 4, 9);
  assertEquals([memory.read32(0), bench.seen.length], [0xffffffff, 5]);
  assertEquals(bench.function.bar(2), undefined);
});

Deno.test("after each write the model has its turn until it has done all #core:function_model", () => {
  let left = 0;
  const bench = new Bench({ write: () => left = 3, process: () => --left > 0 });
  bench.function.bar(0)!.write32(0, 1);
  assertEquals(left, 0);
  bench.function.ring(0, 0, 4, 1);
  assertEquals([left, bench.function.process(), bench.function.process()], [3, true, true]);
  assertEquals([bench.function.process(), left], [false, 0]);
});

Deno.test("what a model throws is reported, and no error of the driver's #core:function_model", () => {
  const bench = new Bench({
    read() {
      throw new DriverFault("no such register");
    },
    write() {
      throw new Error("oh");
    },
  });
  const bar = bench.function.bar(0)!;
  assertEquals(bar.read16(0), 0xffff);
  bar.write8(0, 1);
  assertEquals(bench.failures.map(({ message }) => message), ["no such register", "oh"]);
});

Deno.test("a function reaches its driver's memory while it may master the bus #core:function_model", () => {
  const bench = new Bench();
  const { memory } = bench.handle;
  memory.write(0x1_0000_0ffe, Uint8Array.of(1, 2));
  assertThrows(
    () => memory.write(0x1_0000_0ffe, Uint8Array.of(1, 2, 3)),
    DriverFault,
    "cannot reach",
  );
  memory.write(0x9000, Uint8Array.of(3, 4));
  assertEquals([...new Uint8Array(bench.memory, 4094, 4)], [1, 2, 3, 4]);
  memory.view(0x9001, 1)[0] = 9;
  const into = new Uint8Array(3);
  memory.read(0x9000, into);
  assertEquals([...into], [3, 9, 0]);
  assertThrows(() => memory.view(0x9fff, 2), DriverFault, "cannot reach 2 bytes at address 0x9fff");
  bench.function.config.write16(COMMAND, COMMAND_MEMORY);
  assertThrows(() => memory.read(0x9000, into), DriverFault, "may not master the bus");
});

Deno.test("bytes that are one after the other for the device may be in several pieces", () => {
  const bench = new Bench();
  bench.function.memory.clear();
  bench.function.memory.add(bench.memory, [
    { address: 0x2000, length: 4096 },
    { address: 0x1000, length: 4096 },
  ]);
  bench.handle.memory.write(0x1fff, Uint8Array.of(7, 8));
  const bytes = new Uint8Array(bench.memory);
  assertEquals([bytes[8191], bytes[0]], [7, 8]);
});

for (const inside of [true, false]) {
  const where = inside ? "in a BAR of the model's" : "in a BAR of its own";
  Deno.test(`MSI-X vectors that are masked wait, with a table ${where} #core:function_model`, () => {
    const bench = new Bench({
      bars: { 0: { bytes: 4096 } },
      msix: inside ? { vectors: 70, bar: 0, offset: 2048 } : { vectors: 70, bar: 3 },
    });
    const { config } = bench.function;
    const msix = findMsix(config, (bar) => bench.function.bar(bar)?.size)!;
    assertEquals([msix.vectors, msix.bar, msix.offset], inside ? [70, 0, 2048] : [70, 3, 0]);
    bench.handle.interrupt(3);
    assertEquals([bench.handle.signals, bench.interrupts], ["pin", []]);

    const table = bench.function.bar(msix.bar)!;
    const message = { address: 0xfee00000, data: 0 };
    enableMsix(config, msix, table, Array.from({ length: 69 }, () => message));
    assertEquals(table.read32(msix.offset), 0xfee00000);
    assertEquals(bench.seen, []);
    for (const vector of [0, 68, 69, 69, 70]) bench.handle.interrupt(vector);
    assertEquals([bench.handle.signals, bench.interrupts], ["msix", [0, 68]]);
    const pending = msix.offset + 16 * 70;
    assertEquals(table.read8(pending + 8), 1 << 5);
    table.write8(pending + 8, 0);
    table.write32(msix.offset + 16 * 69 + 12, 0);
    assertEquals([bench.interrupts, table.read8(pending + 8)], [[0, 68, 69], 0]);

    const control = msix.capability + 2;
    config.write16(control, config.read16(control) | 1 << 14);
    bench.handle.interrupt(1);
    assertEquals(bench.interrupts.length, 3);
    config.write16(control, config.read16(control) & ~(1 << 14));
    assertEquals(bench.interrupts, [0, 68, 69, 1]);
    config.write16(COMMAND, COMMAND_MEMORY);
    bench.handle.interrupt(1);
    assertEquals(bench.interrupts.length, 4, "a message is a write to memory");
  });
}

Deno.test("MSI has the vectors that were turned on, and takes the pin's place #core:function_model", () => {
  const bench = new Bench({ msi: 4 });
  const { config } = bench.function;
  const msi = findMsi(config)!;
  assert(msi.wide);
  bench.handle.pin(true);
  bench.handle.interrupt(0);
  assertEquals([bench.pins, bench.interrupts], [[true], []]);
  enableMsi(config, msi, { address: 2 ** 33 + 4, data: 7 });
  assertEquals([bench.pins, bench.handle.signals], [[true, false], "msi"]);
  for (const vector of [0, 3]) bench.handle.interrupt(vector);
  assertEquals(bench.interrupts, [0, 0]);
  config.write16(msi.capability + 2, config.read16(msi.capability + 2) | 1 << 4);
  for (const vector of [0, 1, 3]) bench.handle.interrupt(vector);
  assertEquals(bench.interrupts, [0, 0, 0, 1, 1]);
  assertEquals(config.read32(msi.capability + 8), 2);
});

Deno.test("the pin is asserted while the model says so and INTx is not disabled", () => {
  const bench = new Bench();
  const { config } = bench.function;
  config.write16(COMMAND, ALL | COMMAND_INTX_DISABLE);
  bench.handle.pin(true);
  assertEquals(bench.pins, []);
  assert(config.read16(STATUS) & STATUS_INTERRUPT);
  config.write16(COMMAND, ALL);
  bench.handle.pin(true);
  bench.handle.pin(false);
  assertEquals(bench.pins, [true, false]);
  assertEquals(config.read16(STATUS) & STATUS_INTERRUPT, 0);
});

Deno.test("a function that can be reset alone forgets what the driver did #core:function_model", () => {
  const bench = new Bench({ flr: true, msi: 1 });
  const { config } = bench.function;
  const { offset } = capabilities(config).find(({ id }) => id === 0x10)!;
  assert(config.read32(offset + 4) & 1 << 28);
  bench.function.signalBy("msi");
  config.write16(offset + 8, 1 << 15);
  assertEquals([bench.resets, config.read16(COMMAND), config.read16(offset + 8)], [1, 0, 0]);
  assertEquals(bench.handle.signals, "pin");
});

Deno.test("what was to happen later does not after a reset, nor when the device is gone", async () => {
  let gone = false;
  const bench = new Bench({ gone: () => gone });
  const happened: string[] = [];
  bench.handle.later(0, () => happened.push("never"));
  bench.function.reset();
  bench.function.config.write16(COMMAND, ALL);
  const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  bench.handle.later(0, () => happened.push("yes"));
  await after(5);
  gone = true;
  assertEquals(bench.function.config.read32(0), 0xffffffff);
  bench.handle.later(0, () => happened.push("gone"));
  await after(5);
  bench.handle.interrupt(0);
  assertEquals([happened, bench.handle.mayMaster], [["yes"], false]);
});

const IMPOSSIBLE: readonly (readonly [what: string, Partial<FunctionModel>])[] = [
  ["a BAR of 100 bytes", { bars: { 0: { bytes: 100 } } }],
  ["a BAR of 8 bytes", { bars: { 0: { bytes: 8 } } }],
  ["a BAR 6", { bars: { 6: { bytes: 4096 } } }],
  ["a BAR 5", { bars: { 5: { bytes: 4096, kind: "memory64" } } }],
  ["an MSI-X table of 2049 vectors", { msix: { vectors: 2049, bar: 1 } }],
  ["an MSI-X table of 0 vectors", { msix: { vectors: 0, bar: 1 } }],
  ["an MSI-X table that ends behind BAR 0", { msix: { vectors: 16, bar: 0, offset: 128 } }],
  ["so many capabilities", { capabilities: [{ id: 9, bytes: new Uint8Array(200) }] }],
];

Deno.test("a function that cannot be is refused #core:function_model", () => {
  for (const [what, parts] of IMPOSSIBLE) {
    assertThrows(
      () => new Bench(parts),
      RangeError,
      `the PCI function 1234:5678: none can have ${what}`,
    );
  }
});
