import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { COMMAND, COMMAND_BUS_MASTER, COMMAND_MEMORY } from "../../core/pci/config_space.ts";
import type { FunctionModel } from "../../simulation/function_model.ts";
import { SimulatedFunction } from "../../simulation/pci_function.ts";
import {
  decodeHeader,
  decodeReply,
  encodeRequest,
  Malformed,
  type Reply,
  type Request,
} from "./message.ts";
import { DmaFlag, Errno, HEADER_BYTES, Irq, IrqFlag, Region, SetIrqs } from "./protocol.ts";
import { Session } from "./session.ts";
import { encodeCapabilities } from "./version.ts";

const PAGE = 4096;
const GREETING: Request<"VERSION"> = {
  command: "VERSION",
  major: 0,
  minor: 1,
  data: encodeCapabilities({ max_msg_fds: 16 }),
};
/** Descriptors of a test: of memory, and of interrupts. */
const MEMORY = 100, LINE = 200;

/** A session with a device that has one of everything; all that it does to the system is noted. */
class Rig {
  readonly done: string[] = [];
  readonly open = new Set<number>();
  readonly memory = new SharedArrayBuffer(2 ** 21);
  size = 10 * PAGE;
  readonly device: SimulatedFunction;
  readonly session: Session;
  asserts: (on: boolean) => void = () => {};
  happened: () => void = () => {};

  constructor(model: Partial<FunctionModel> = {}) {
    this.device = new SimulatedFunction({
      vendor: 0x1234,
      device: 1,
      bars: { 0: { bytes: PAGE }, 2: { bytes: 64, kind: "ports" } },
      msix: { vectors: 3, bar: 4 },
      msi: 2,
      attach: (handle) => this.asserts = (on) => handle.pin(on),
      read: (bar, offset, width) => (bar << 24 | offset << 8 | width) >>> 0,
      write: (bar, offset, width, value) =>
        void this.done.push(`${bar}+${offset} ${width} = 0x${value.toString(16)}`),
      ...model,
    }, {
      interrupt: (vector) => this.session.interrupt(vector),
      pin: (asserted) => this.session.pin(asserted),
      failed: (error) => this.done.push(`failed: ${error.message}`),
    });
    const line = (descriptor: number) => ({
      signal: () => void this.done.push(`signal ${descriptor}`),
      [Symbol.dispose]: () => void this.open.delete(descriptor),
    });
    this.session = new Session(this.device, {
      close: (descriptor) => {
        assert(this.open.delete(descriptor), `${descriptor} is closed twice`);
      },
      memoryFile: () => ({ memory: this.memory, size: this.size }),
      line,
      listen: (descriptor, happened) => {
        this.happened = happened;
        return line(descriptor);
      },
      rung: () => this.done.push("rung"),
      notice: (sentence) => this.done.push(sentence),
    });
  }

  /** Sends bytes, whatever they are. */
  bytes(
    message: Uint8Array<ArrayBuffer>,
    descriptors: readonly number[] = [],
  ): Uint8Array | undefined {
    descriptors.forEach((descriptor) => this.open.add(descriptor));
    return this.session.answer({
      header: decodeHeader(message),
      payload: message.slice(HEADER_BYTES),
      descriptors,
    });
  }

  /** Sends a request. */
  ask<R extends Request>(request: R, descriptors: readonly number[] = []): Reply<R["command"]> {
    const reply = this.bytes(encodeRequest(9, request), descriptors)!;
    const header = decodeHeader(reply);
    assertEquals([header.id, header.error], [9, 0]);
    return decodeReply(header, reply.subarray(HEADER_BYTES)) as Reply<R["command"]>;
  }

  refuses(request: Request, why: string, descriptors: readonly number[] = []): void {
    const before = new Set(this.open);
    assertThrows(() => this.bytes(encodeRequest(1, request), descriptors), Malformed, why);
    assertEquals(this.open, before, "descriptors are open");
  }

  /** Takes what was done so far. */
  take(): string[] {
    return this.done.splice(0);
  }
}

/** One that has begun. */
function rig(model: Partial<FunctionModel> = {}): Rig {
  const made = new Rig(model);
  made.ask(GREETING);
  return made;
}

const map = (
  address: bigint,
  size: bigint,
  offset = 0n,
  flags: number = DmaFlag.READ | DmaFlag.WRITE,
): Request<"DMA_MAP"> => ({ command: "DMA_MAP", argsz: 32, flags, offset, address, size });
const unmap = (address: bigint, size: bigint, flags = 0): Request<"DMA_UNMAP"> => ({
  command: "DMA_UNMAP",
  argsz: 24,
  flags,
  address,
  size,
});
const setIrqs = (
  flags: number,
  index: number,
  start: number,
  count: number,
  data = new Uint8Array(),
): Request<"DEVICE_SET_IRQS"> => ({
  command: "DEVICE_SET_IRQS",
  argsz: 20,
  flags,
  index,
  start,
  count,
  data,
});
const write = (region: number, offset: number, ...data: number[]): Request<"REGION_WRITE"> => ({
  command: "REGION_WRITE",
  offset: BigInt(offset),
  region,
  count: data.length,
  data: Uint8Array.from(data),
});
const command = (bits: number) => write(Region.CONFIG, COMMAND, bits & 0xff, bits >> 8);
const read = (region: number, offset: number, count: number): Request<"REGION_READ"> => ({
  command: "REGION_READ",
  offset: BigInt(offset),
  region,
  count,
});

Deno.test("a client says its version first, once, and one that is known", () => {
  const made = new Rig();
  made.refuses({ command: "DEVICE_RESET" }, "DEVICE_RESET came before VERSION");
  made.refuses({ ...GREETING, major: 1 }, "speaks version 1.1: this is 0.1");
  for (
    const [text, why] of [
      ["{", "no NUL"],
      ["[1\0", "no JSON object"],
      ["1\0", "no JSON object"],
      ['{"capabilities":7}\0', "capabilities of VERSION are no object"],
      ['{"capabilities":{"max_msg_fds":-1}}\0', "max_msg_fds of VERSION is no count"],
    ]
  ) {
    const data = new TextEncoder().encode(text);
    made.refuses({ ...GREETING, data }, why === "no NUL" ? "do not end with a NUL" : why!);
  }
  const { minor, data } = made.ask({ ...GREETING, minor: 0 });
  assertEquals(minor, 0);
  assert(data.length <= 194, `QEMU has room for 194 bytes, not ${data.length}`);
  made.refuses(GREETING, "VERSION came twice");
  assertEquals(new Rig().ask({ ...GREETING, minor: 7, data: new Uint8Array() }).minor, 1);
});

Deno.test("a session describes the function", () => {
  const made = rig();
  const info = { command: "DEVICE_GET_INFO", argsz: 16, flags: 0, regions: 0, irqs: 0 } as const;
  assertEquals(made.ask(info), { ...info, flags: 3, regions: 9, irqs: 5 });
  const sizes = Array.from({ length: Region.COUNT }, (_, index) => {
    const command = "DEVICE_GET_REGION_INFO";
    const ask = {
      command,
      argsz: 32,
      flags: 0,
      index,
      capOffset: 0,
      size: 0n,
      offset: 0n,
    } as const;
    const { size, flags } = made.ask(ask);
    assertEquals(flags, size > 0n ? 3 : 0);
    return Number(size);
  });
  assertEquals(sizes, [PAGE, 0, 64, 0, PAGE, 0, 0, 256, 0]);
  const counts = Array.from({ length: Irq.COUNT }, (_, index) => {
    const ask = { command: "DEVICE_GET_IRQ_INFO", argsz: 16, flags: 0, index, count: 0 } as const;
    const { count, flags } = made.ask(ask);
    assertEquals((flags & IrqFlag.EVENTFD) !== 0, count > 0);
    return count;
  });
  assertEquals(counts, [1, 2, 3, 1, 0]);
  const fds = {
    command: "DEVICE_GET_REGION_IO_FDS",
    argsz: 16,
    flags: 0,
    index: 0,
    count: 0,
  } as const;
  assertEquals(made.ask(fds).count, 0);
});

Deno.test("registers are read and written by accesses that are natural", () => {
  const made = rig();
  assertEquals(made.ask(read(0, 0, 4)).data, new Uint8Array(4).fill(0xff)); // memory is off
  made.ask(command(0x3 | COMMAND_BUS_MASTER));
  made.take();
  assertEquals(made.ask(read(0, 6, 8)).data, Uint8Array.of(2, 6, 4, 8, 0, 0, 2, 12));
  made.ask(write(0, 1, 1, 2, 3, 4, 5, 6, 7));
  assertEquals(made.take(), ["0+1 1 = 0x1", "0+2 2 = 0x302", "0+4 4 = 0x7060504", "rung"]);
  made.ask(write(2, 8, 0xff, 0xee));
  assertEquals(made.take(), ["2+8 2 = 0xeeff", "rung"]);
  const whole = made.ask(read(Region.CONFIG, 0, 256)).data;
  assertEquals(whole.slice(0, 4), Uint8Array.of(0x34, 0x12, 1, 0));
  const many = new Uint8Array(48);
  const view = new DataView(many.buffer);
  for (const at of [0, 24]) {
    view.setBigUint64(at, BigInt(at), true);
    view.setUint32(at + 12, 2, true);
    many[at + 16] = at + 1;
  }
  made.ask({ command: "REGION_WRITE_MULTI", count: 2n, data: many });
  assertEquals(made.take(), ["0+0 2 = 0x1", "rung", "0+24 2 = 0x19", "rung"]);
});

Deno.test("accesses that are nowhere end the session #core:vfio_user_bounds", () => {
  const made = rig();
  for (const region of [1, 3, 5, 6, 8, 9, 0xffffffff]) {
    made.refuses(read(region, 0, 1), "region");
    made.refuses(write(region, 0, 1), "region");
  }
  made.refuses(read(0, PAGE - 1, 2), `2 bytes at ${PAGE - 1} of region 0, which has ${PAGE}`);
  made.refuses({ ...read(0, 0, 4), offset: 2n ** 64n - 4n }, "region 0");
  made.refuses(read(0, 0, 0), "0 bytes");
  made.refuses(read(0, 0, 0xffffffff), "4294967295 bytes");
  made.refuses(read(Region.CONFIG, 255, 2), "which has 256 bytes");
  const many = new Uint8Array(24);
  new DataView(many.buffer).setUint32(12, 9, true);
  made.refuses({ command: "REGION_WRITE_MULTI", count: 1n, data: many }, "a write of 9 bytes");
});

Deno.test("memory is mapped and taken away by range, before the reply #core:vfio_user_ranges", () => {
  const made = rig();
  made.ask(command(COMMAND_BUS_MASTER));
  const { memory } = made.device;
  const there = (address: number) => {
    try {
      return memory.find(address, 1).offset;
    } catch {
      return undefined;
    }
  };
  made.ask(map(0x10000n, 0x4000n, 0x1000n), [MEMORY]);
  assertEquals(made.open.size, 0, "the descriptor is closed");
  assertEquals(there(0x12345), 0x3345);
  // QEMU takes away what it never mapped as one.
  assertEquals(made.ask(unmap(0x11000n, 0x1000n)), unmap(0x11000n, 0x1000n));
  assertEquals([there(0x10fff), there(0x11000), there(0x12000)], [0x1fff, undefined, 0x3000]);
  made.ask(unmap(0xfef00000n, 0xffffffff01100000n));
  made.ask(unmap(0n, 0xfee00000n));
  assertEquals(memory.count, 0);
  made.ask(map(0n, 0x1000n), [MEMORY]);
  made.ask(unmap(0n, 0n, 2));
  assertEquals(memory.count, 0);
  made.ask(map(0n, 0x1000n, 0n, DmaFlag.READ), [MEMORY]);
  assertThrows(() => memory.find(0, 1, true), Error, "may not write");
  made.ask(map(0xfffc0000n, 0x40000n, 0n, DmaFlag.READ)); // a ROM comes without a descriptor
  assertEquals(there(0xfffc0000), undefined);
});

Deno.test("maps that cannot be end the session, and keep no descriptor #core:vfio_user_ranges", () => {
  const made = rig();
  made.ask(map(0x10000n, 0x4000n), [MEMORY]);
  made.refuses(map(0x13000n, 0x1000n), "overlaps what is mapped", [MEMORY]);
  made.refuses(map(0x0n, 0x11000n), "goes beyond its 40960 bytes", [MEMORY]);
  made.refuses(map(0x20000n, 0x1000n, 0xa000n), "goes beyond its 40960 bytes", [MEMORY]);
  made.refuses(map(0x20000n, 0n), "is empty", [MEMORY]);
  made.refuses(map(2n ** 64n - 0x1000n, 0x2000n), "beyond the last address", [MEMORY]);
  made.refuses(map(2n ** 60n, 0x1000n), "is beyond what is reached", [MEMORY]);
  made.refuses(map(0x20001n, 0x1000n), "is not of whole pages", [MEMORY]);
  made.refuses(map(0x20000n, 0x1000n, 1n), "is not of whole pages", [MEMORY]);
  made.refuses(map(0x20000n, 0x1000n), "came with 2 descriptors, not 1", [MEMORY, MEMORY + 1]);
  made.refuses(unmap(2n ** 64n - 1n, 2n), "wraps around");
  assertEquals(made.device.memory.count, 1);
});

Deno.test("descriptors where none belong end the session and are closed #core:vfio_user_descriptors", () => {
  const made = rig();
  const all: Request[] = [
    unmap(0n, 0n),
    read(0, 0, 1),
    write(0, 0, 1),
    { command: "DEVICE_RESET" },
    setIrqs(SetIrqs.NONE | SetIrqs.TRIGGER, Irq.MSIX, 0, 0),
  ];
  for (const request of all) made.refuses(request, "descriptors", [MEMORY]);
  made.refuses(
    setIrqs(SetIrqs.BOOL | SetIrqs.TRIGGER, Irq.MSIX, 0, 1, new Uint8Array(1)),
    "1 desc",
    [
      LINE,
    ],
  );
  made.refuses(setIrqs(SetIrqs.EVENTFD | SetIrqs.TRIGGER, Irq.MSIX, 0, 3), "2 descriptors for 3", [
    LINE,
    LINE + 1,
  ]);
});

Deno.test("interrupts go where the client wants them", () => {
  const made = rig();
  const { device } = made;
  const eventfd = SetIrqs.EVENTFD | SetIrqs.TRIGGER;
  made.ask(setIrqs(eventfd, Irq.MSIX, 0, 2), [LINE, LINE + 1]);
  made.ask(command(COMMAND_BUS_MASTER | COMMAND_MEMORY));
  device.signalBy("msix");
  made.take();
  device.interrupt(0);
  device.interrupt(1);
  device.interrupt(2); // has no line
  assertEquals(made.take(), [`signal ${LINE}`, `signal ${LINE + 1}`]);
  // What the client masks by taking its line is told when there is one again.
  made.ask(setIrqs(eventfd, Irq.MSIX, 0, 1));
  assertEquals([...made.open], [LINE + 1]);
  device.interrupt(0);
  assertEquals(made.take(), []);
  made.ask(setIrqs(eventfd, Irq.MSIX, 0, 1), [LINE + 2]);
  assertEquals(made.take(), [`signal ${LINE + 2}`]);
  // The client asks for one, of its own.
  made.ask(setIrqs(SetIrqs.NONE | SetIrqs.TRIGGER, Irq.MSIX, 1, 1));
  made.ask(setIrqs(SetIrqs.BOOL | SetIrqs.TRIGGER, Irq.MSIX, 0, 2, Uint8Array.of(1, 0)));
  assertEquals(made.take(), [`signal ${LINE + 1}`, `signal ${LINE + 2}`]);
  // A reset of the device is none of its interrupts.
  made.ask({ command: "DEVICE_RESET" });
  made.ask(command(COMMAND_BUS_MASTER | COMMAND_MEMORY));
  device.signalBy("msix");
  made.take();
  device.interrupt(1);
  assertEquals(made.take(), [`signal ${LINE + 1}`]);
  made.ask(setIrqs(eventfd, Irq.MSI, 1, 1), [LINE + 3]);
  device.signalBy("msi");
  device.space.setUint16(0x40 + 12 + 2, 0x81 | 1 << 4, true);
  device.interrupt(1);
  assertEquals(made.take(), [`signal ${LINE + 3}`]);
  made.ask(setIrqs(SetIrqs.NONE | SetIrqs.TRIGGER, Irq.MSIX, 0, 0));
  assertEquals([...made.open], [LINE + 3]);
});

Deno.test("the pin is told once, until the client unmasks it", () => {
  const made = rig();
  made.ask(setIrqs(SetIrqs.EVENTFD | SetIrqs.TRIGGER, Irq.INTX, 0, 1), [LINE]);
  made.asserts(true);
  made.asserts(false);
  made.asserts(true);
  assertEquals(made.take(), [`signal ${LINE}`]);
  const unmask = setIrqs(SetIrqs.NONE | SetIrqs.UNMASK, Irq.INTX, 0, 1);
  made.ask(unmask); // still asserted
  assertEquals(made.take(), [`signal ${LINE}`]);
  made.asserts(false);
  made.ask(unmask);
  assertEquals(made.take(), []);
  made.ask(setIrqs(SetIrqs.NONE | SetIrqs.MASK, Irq.INTX, 0, 1));
  made.asserts(true);
  assertEquals(made.take(), []);
  made.ask(setIrqs(SetIrqs.EVENTFD | SetIrqs.UNMASK, Irq.INTX, 0, 1), [LINE + 1]);
  made.happened();
  assertEquals(made.take(), [`signal ${LINE}`]);
  made.ask(setIrqs(SetIrqs.NONE | SetIrqs.TRIGGER, Irq.INTX, 0, 0));
  assertEquals([...made.open], []);
});

Deno.test("interrupts that are none end the session", () => {
  const made = rig();
  const trigger = SetIrqs.NONE | SetIrqs.TRIGGER;
  made.refuses(setIrqs(trigger, 5, 0, 1), "no interrupt index 5");
  made.refuses(setIrqs(trigger, Irq.MSIX, 2, 2), "names 2 vectors from 2 of index 2, which has 3");
  made.refuses(setIrqs(trigger, Irq.MSIX, 0xffffffff, 0), "from 4294967295");
  made.refuses(setIrqs(trigger, Irq.MSIX, 0xffffffff, 0xffffffff), "which has 3");
  made.refuses(setIrqs(trigger, Irq.REQ, 0, 1), "which has 0");
  for (const flags of [0, SetIrqs.NONE, SetIrqs.TRIGGER, 0x7f, 0x100 | trigger]) {
    made.refuses(setIrqs(flags, Irq.MSIX, 0, 0), "it has one kind of data and one action");
  }
  made.refuses(setIrqs(SetIrqs.BOOL | SetIrqs.TRIGGER, Irq.MSIX, 0, 2, Uint8Array.of(1)), "data");
});

Deno.test("what the protocol has and the server has not is an error, and the session goes on", () => {
  const made = rig();
  for (const number of [11, 12, 16, 17, 18]) {
    const message = encodeRequest(3, { command: "DEVICE_RESET" });
    new DataView(message.buffer).setUint16(2, number, true);
    const header = decodeHeader(made.bytes(message)!);
    assertEquals([header.id, header.error], [3, Errno.EOPNOTSUPP]);
    new DataView(message.buffer).setUint32(8, 0x10, true);
    assertEquals(made.bytes(message), undefined, "no reply is wanted");
  }
  const dirty = made.bytes(encodeRequest(4, unmap(0n, 0n, 1)))!;
  assertEquals(decodeHeader(dirty).error, Errno.EOPNOTSUPP);
  made.ask({ command: "DEVICE_RESET" });
});

Deno.test("what is wrong with a guest's memory is said once the device may use it", () => {
  const master = command(COMMAND_BUS_MASTER);
  const none = rig();
  none.ask(map(0n, 0x100000n));
  none.ask(master);
  none.ask(command(0));
  none.ask(master);
  const [why, ...more] = none.take().filter((text) => text !== "rung");
  assert(why!.includes("1048576 bytes came without a descriptor"), why);
  assertEquals(more, []);

  const withMemory = (bytes: bigint, last: number) => {
    const made = rig();
    made.size = 2 ** 21;
    new Uint8Array(made.memory)[Number(bytes) - 1] = last;
    made.ask(map(0n, bytes), [MEMORY]);
    made.ask(master);
    return made.take().filter((text) => text !== "rung");
  };
  assert(withMemory(0x200000n, 0).some((text) => text.includes("share=on is missing")));
  assertEquals(withMemory(0x200000n, 1), []);
  // A few pages may be blank: an IOMMU of the guest's shows no more.
  assertEquals(withMemory(0x4000n, 0), []);
});

Deno.test("a session that ends leaves nothing", () => {
  const made = rig();
  made.ask(command(COMMAND_BUS_MASTER));
  made.ask(map(0n, 0x4000n), [MEMORY]);
  made.ask(setIrqs(SetIrqs.EVENTFD | SetIrqs.TRIGGER, Irq.MSIX, 0, 2), [LINE, LINE + 1]);
  made.ask(setIrqs(SetIrqs.EVENTFD | SetIrqs.UNMASK, Irq.INTX, 0, 1), [LINE + 2]);
  made.session[Symbol.dispose]();
  assertEquals([...made.open], []);
  assertEquals(made.device.memory.count, 0);
  assertEquals(made.device.config.read16(COMMAND), 0);
});

Deno.test("any messages are answered, refused or end the session, and leak nothing #core:vfio_user_hostile", () => {
  const payload = fc.uint8Array({ maxLength: 60 });
  const few = fc.array(fc.constant(0), { maxLength: 3 });
  const small = fc.integer({ min: 0, max: 9 });
  const message = fc.tuple(fc.integer({ min: 1, max: 19 }), payload, few, fc.boolean(), small);
  fc.assert(
    fc.property(fc.array(message, { maxLength: 30 }), (messages) => {
      const made = rig();
      let descriptor = 1000;
      for (const [number, payload, few, sparse, index] of messages) {
        // Fields are small more often than chance would have it.
        if (sparse) payload.forEach((byte, i) => payload[i] = i % 4 === 0 ? byte % 8 : 0);
        if (sparse && payload.length > 8) payload[8] = index;
        const bytes = new Uint8Array(HEADER_BYTES + payload.length);
        const view = new DataView(bytes.buffer);
        view.setUint16(2, number, true);
        view.setUint32(4, bytes.length, true);
        bytes.set(payload, HEADER_BYTES);
        const before = made.open.size;
        try {
          const reply = made.bytes(bytes, few.map(() => descriptor++));
          assertEquals(decodeHeader(reply!).isReply, true);
        } catch (error) {
          assert(error instanceof Malformed, String(error));
          assert(made.open.size <= before, "a refused message keeps a descriptor");
        }
      }
      made.session[Symbol.dispose]();
      assertEquals(made.open.size, 0);
    }),
    { numRuns: 400 },
  );
});
