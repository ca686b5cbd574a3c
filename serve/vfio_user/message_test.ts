import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  decodeHeader,
  decodeReply,
  decodeRequest,
  encodeError,
  encodeHeader,
  encodeReply,
  encodeRequest,
  type Header,
  Malformed,
  MULTI_BYTES,
  type Reply,
  type Request,
  REQUEST_NAMES,
  type RequestName,
} from "./message.ts";
import { Command, HEADER_BYTES, MOST_BYTES, SetIrqs } from "./protocol.ts";

const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const bytes = fc.uint8Array({ maxLength: 64 });
const range = { argsz: u32, flags: u32, address: u64, size: u64 };
const info = { argsz: u32, flags: u32, regions: u32, irqs: u32 };
const counted = { argsz: u32, flags: u32, index: u32, count: u32 };
const region = { argsz: u32, flags: u32, index: u32, capOffset: u32, size: u64, offset: u64 };
const access = { offset: u64, region: u32 };

/** A message whose data have as many bytes as a field says. */
const withCount = (fields: object, command: string) =>
  fc.record({ ...fields, data: bytes }).map((it) => ({ command, ...it, count: it.data.length }));

const REQUESTS = {
  VERSION: fc.record({ major: u16, minor: u16, data: bytes }),
  DMA_MAP: fc.record({ ...range, offset: u64 }),
  DMA_UNMAP: fc.record(range),
  DEVICE_GET_INFO: fc.record(info),
  DEVICE_GET_REGION_INFO: fc.record(region),
  DEVICE_GET_REGION_IO_FDS: fc.record(counted),
  DEVICE_GET_IRQ_INFO: fc.record(counted),
  DEVICE_SET_IRQS: withCount({ argsz: u32, index: u32, start: u32 }, "DEVICE_SET_IRQS")
    .map((it) => ({ ...it, flags: SetIrqs.BOOL | SetIrqs.TRIGGER })),
  REGION_READ: fc.record({ ...access, count: u32 }),
  REGION_WRITE: withCount(access, "REGION_WRITE"),
  DEVICE_RESET: fc.record({}),
  REGION_WRITE_MULTI: fc.integer({ min: 0, max: 4 })
    .map((n) => ({ count: BigInt(n), data: new Uint8Array(n * MULTI_BYTES).fill(n) })),
} satisfies Record<RequestName, fc.Arbitrary<object>>;

const request = fc.oneof(
  ...REQUEST_NAMES.map((command) => REQUESTS[command].map((it) => ({ ...it, command }))),
) as fc.Arbitrary<Request>;

const REPLIES = {
  VERSION: REQUESTS.VERSION,
  DMA_MAP: fc.record({}),
  DMA_UNMAP: REQUESTS.DMA_UNMAP,
  DEVICE_GET_INFO: REQUESTS.DEVICE_GET_INFO,
  DEVICE_GET_REGION_INFO: REQUESTS.DEVICE_GET_REGION_INFO,
  DEVICE_GET_REGION_IO_FDS: REQUESTS.DEVICE_GET_REGION_IO_FDS,
  DEVICE_GET_IRQ_INFO: REQUESTS.DEVICE_GET_IRQ_INFO,
  DEVICE_SET_IRQS: fc.record({}),
  REGION_READ: withCount(access, "REGION_READ"),
  REGION_WRITE: REQUESTS.REGION_READ,
  DEVICE_RESET: fc.record({}),
  REGION_WRITE_MULTI: fc.record({}),
} satisfies Record<RequestName, fc.Arbitrary<object>>;

const reply = fc.oneof(
  ...REQUEST_NAMES.map((command) => REPLIES[command].map((it) => ({ ...it, command }))),
) as fc.Arbitrary<Reply>;

function split(message: Uint8Array): [Header, Uint8Array] {
  const header = decodeHeader(message);
  assertEquals(header.size, message.length);
  return [header, message.subarray(HEADER_BYTES)];
}

Deno.test("requests: what was encoded is decoded #core:vfio_user_codec", () => {
  fc.assert(fc.property(u16, request, fc.boolean(), (id, request, wantsReply) => {
    const [header, payload] = split(encodeRequest(id, request, wantsReply));
    assertEquals([header.id, header.isReply, header.wantsReply], [id, false, wantsReply]);
    assertEquals(decodeRequest(header, payload), request);
  }));
});

Deno.test("replies: what was encoded is decoded #core:vfio_user_codec", () => {
  fc.assert(fc.property(u16, reply, (id, reply) => {
    const [header, payload] = split(encodeReply(id, reply));
    assertEquals([header.id, header.isReply, header.error], [id, true, 0]);
    assertEquals(decodeReply(header, payload), reply);
  }));
  const [header] = split(encodeError(7, Command.DMA_MAP, 22));
  assertEquals(header, {
    id: 7,
    command: Command.DMA_MAP,
    size: HEADER_BYTES,
    isReply: true,
    wantsReply: false,
    error: 22,
  });
});

Deno.test("headers: what was encoded is decoded", () => {
  const any = fc.record({
    id: u16,
    command: u16,
    size: fc.integer({ min: HEADER_BYTES, max: MOST_BYTES }),
    isReply: fc.boolean(),
    wantsReply: fc.boolean(),
    error: u32,
  }).map((it) => ({
    ...it,
    wantsReply: it.wantsReply && !it.isReply,
    error: it.isReply ? it.error : 0,
  }));
  fc.assert(fc.property(any, (header) => {
    const bytes = new Uint8Array(HEADER_BYTES);
    encodeHeader(header, bytes);
    assertEquals(decodeHeader(bytes), header);
  }));
});

Deno.test("headers of no message are refused by what is wrong #core:vfio_user_sizes", () => {
  const header = (size: number, flags: number) => {
    const bytes = new Uint8Array(HEADER_BYTES);
    new DataView(bytes.buffer).setUint16(2, Command.REGION_READ, true);
    new DataView(bytes.buffer).setUint32(4, size, true);
    new DataView(bytes.buffer).setUint32(8, flags, true);
    return bytes;
  };
  for (const size of [0, 1, HEADER_BYTES - 1, MOST_BYTES + 1, 2 ** 31, 2 ** 32 - 1]) {
    assertThrows(
      () => decodeHeader(header(size, 0)),
      Malformed,
      `REGION_READ, says that it has ${size} bytes: it may have 16 to ${MOST_BYTES}`,
    );
  }
  for (let type = 2; type < 16; type++) {
    assertThrows(() => decodeHeader(header(16, type)), Malformed, `is of type ${type}`);
  }
});

Deno.test("requests and replies of every wrong size are refused by name #core:vfio_user_sizes", () => {
  const fitting = (command: RequestName): Request =>
    fc.sample(REQUESTS[command], { numRuns: 1, seed: 1 }).map((it) =>
      ({ ...it, command }) as Request
    )[0]!;
  for (const command of REQUEST_NAMES) {
    const whole = encodeRequest(1, fitting(command));
    const header = decodeHeader(whole);
    const takes: number[] = [];
    for (let size = 0; size <= 4096; size++) {
      const payload = new Uint8Array(size);
      payload.set(whole.subarray(HEADER_BYTES, HEADER_BYTES + size));
      try {
        decodeRequest(header, payload);
        takes.push(size);
      } catch (error) {
        assert(error instanceof Malformed, String(error));
        assert(error.message.includes(command), error.message);
      }
    }
    // VERSION has text, as long as it likes.
    const wanted = whole.length - HEADER_BYTES;
    if (command === "VERSION") assertEquals(takes[0], 4);
    else assertEquals(takes, [wanted], command);
  }
});

Deno.test("commands that are none are refused, those of others are told apart", () => {
  const header = (command: number): Header => ({
    id: 0,
    command,
    size: 16,
    isReply: false,
    wantsReply: true,
    error: 0,
  });
  for (const command of [0, 14, 19, 38, 0xffff]) {
    assertThrows(
      () => decodeRequest(header(command), new Uint8Array()),
      Malformed,
      `Command ${command} is unknown`,
    );
  }
  for (const name of ["DMA_READ", "DMA_WRITE", "DEVICE_FEATURE", "MIG_DATA_READ"] as const) {
    assertEquals(decodeRequest(header(Command[name]), new Uint8Array(9)), undefined);
  }
});
