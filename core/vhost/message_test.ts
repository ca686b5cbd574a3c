import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { VhostFault } from "./fault.ts";
import {
  decodeAcknowledgement,
  decodeAnswer,
  decodeMessage,
  encodeAcknowledgement,
  encodeAnswer,
  encodeMessage,
  type Frame,
  Framing,
  HEADER_BYTES,
  MOST_DESCRIPTORS,
} from "./message.ts";
import { MOST_CONFIG, MOST_TABLE_REGIONS } from "./payload.ts";
import { BACK_END, FRONT_END, type Kind, type Kinds } from "./protocol.ts";

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const u16 = fc.integer({ min: 0, max: 65535 });
const nothing = fc.constant(undefined);
const state = fc.record({ index: u32, value: u32 });
const region = fc.record({ guest: u64, size: u64, user: u64, offset: u64 });
const ring = fc.record({ index: fc.integer({ min: 0, max: 255 }), none: fc.boolean() });
const config = fc.integer({ min: 1, max: MOST_CONFIG }).chain((length) =>
  fc.record({
    offset: fc.integer({ min: 0, max: MOST_CONFIG - length }),
    flags: u32,
    bytes: fc.uint8Array({ minLength: length, maxLength: length }),
  })
);
const inFlight = fc.record({
  size: u64,
  offset: u64,
  queues: u16,
  queueSize: u16,
  padded: fc.boolean(),
});
const addresses = fc.record({
  index: u32,
  flags: u32,
  descriptors: u64,
  used: u64,
  available: u64,
  log: u64,
});

/** What each kind of message, and its answer, may carry. */
const BODIES: Readonly<Record<string, readonly [fc.Arbitrary<unknown>, fc.Arbitrary<unknown>?]>> = {
  GET_FEATURES: [nothing, u64],
  SET_FEATURES: [u64],
  SET_OWNER: [nothing],
  RESET_OWNER: [nothing],
  SET_MEM_TABLE: [fc.array(region, { maxLength: MOST_TABLE_REGIONS })],
  SET_VRING_NUM: [state],
  SET_VRING_ADDR: [addresses],
  SET_VRING_BASE: [state],
  GET_VRING_BASE: [state, state],
  SET_VRING_KICK: [ring],
  SET_VRING_CALL: [ring],
  SET_VRING_ERR: [ring],
  GET_PROTOCOL_FEATURES: [nothing, u64],
  SET_PROTOCOL_FEATURES: [u64],
  GET_QUEUE_NUM: [nothing, u64],
  SET_VRING_ENABLE: [state],
  NET_SET_MTU: [u64],
  SET_BACKEND_REQ_FD: [nothing],
  GET_CONFIG: [config, fc.option(config, { nil: undefined })],
  SET_CONFIG: [config],
  GET_INFLIGHT_FD: [inFlight, inFlight],
  SET_INFLIGHT_FD: [inFlight],
  RESET_DEVICE: [nothing],
  GET_MAX_MEM_SLOTS: [nothing, u64],
  ADD_MEM_REG: [region],
  REM_MEM_REG: [region],
  SET_STATUS: [u64],
  GET_STATUS: [nothing, u64],
  CONFIG_CHANGE_MSG: [nothing],
};

// deno-lint-ignore no-explicit-any
const KINDS: Readonly<Record<string, readonly [Kinds, Kind<any, any>]>> = Object.fromEntries(
  [FRONT_END, BACK_END].flatMap((kinds: Kinds) =>
    Object.entries(kinds).map(([name, kind]) => [name, [kinds, kind] as const])
  ),
);

/** Puts bytes through a framing in pieces of so many, each with descriptors. */
function* frames(
  framing: Framing<Kinds>,
  bytes: Uint8Array,
  pieces: readonly number[] = [4096],
): Generator<Frame> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const { room } = framing;
    assert(room.length > 0);
    const part = bytes.subarray(at, at + Math.min(room.length, pieces[i % pieces.length]!));
    room.set(part);
    at += part.length;
    const frame = framing.received(part.length);
    if (frame) yield frame;
  }
}

function one(framing: Framing<Kinds>, bytes: Uint8Array): Frame {
  const all = [...frames(framing, bytes)];
  assertEquals([all.length, framing.inside], [1, false]);
  return all[0]!;
}

Deno.test("all messages have a body here, and each a number of its own", () => {
  assertEquals(Object.keys(BODIES).sort(), Object.keys(KINDS).sort());
  const numbers = Object.values(FRONT_END).map(({ number }) => number);
  assertEquals(new Set(numbers).size, numbers.length);
});

for (const [name, [bodies, answers]] of Object.entries(BODIES)) {
  const [kinds, kind] = KINDS[name]!;

  Deno.test(`vhost-user ${name} is what was put into it, in pieces of any size #core:vhost_messages`, () => {
    const pieces = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 });
    fc.assert(fc.property(bodies, fc.boolean(), pieces, (body, needReply, sizes) => {
      const bytes = encodeMessage(kind, body, needReply);
      const framing = new Framing(kinds, "messages");
      const all = [...frames(framing, new Uint8Array([...bytes, ...bytes]), sizes)];
      assertEquals(all.length, 2);
      const [least] = kind.descriptors(body);
      const descriptors = Array.from({ length: least }, (_, i) => i);
      for (const frame of all) {
        const message = decodeMessage(kinds, { ...frame, descriptors });
        assertEquals(message, { name, body, needReply, descriptors });
      }
    }));
    if (!answers) return;
    fc.assert(fc.property(answers, (answer) => {
      const frame = one(new Framing(kinds, "answers"), encodeAnswer(kind as never, answer));
      assertEquals(decodeAnswer(kind as never, frame), answer);
    }));
  });

  Deno.test(`vhost-user ${name} of any other size is refused by name #core:vhost_messages`, () => {
    for (let size = 0; size <= 4096; size++) {
      for (const what of ["messages", "answers"] as const) {
        const payload = what === "messages" ? kind.body : kind.answer;
        if (payload?.fits(size) ?? size === 8) continue;
        const header = new Uint8Array(
          new Uint32Array([kind.number, what === "messages" ? 1 : 5, size]).buffer,
        );
        const framing = new Framing(kinds, what);
        assertThrows(
          () => [...frames(framing, header)],
          VhostFault,
          `${name} has a payload of ${size} bytes: it has `,
        );
      }
    }
  });

  Deno.test(`vhost-user ${name} that is cut off never ends #core:vhost_messages`, () => {
    fc.assert(
      fc.property(bodies, (body) => {
        const bytes = encodeMessage(kind, body);
        for (let length = 1; length < bytes.length; length++) {
          const framing = new Framing(kinds, "messages");
          assertEquals([...frames(framing, bytes.subarray(0, length))], []);
          assert(framing.inside);
        }
      }),
      { numRuns: 20 },
    );
  });

  Deno.test(`vhost-user ${name} has just the descriptors that belong to it #core:vhost_messages`, () => {
    fc.assert(
      fc.property(bodies, (body) => {
        const frame = one(new Framing(kinds, "messages"), encodeMessage(kind, body));
        const [least, most] = kind.descriptors(body);
        for (let count = 0; count <= MOST_DESCRIPTORS; count++) {
          const descriptors = Array.from({ length: count }, (_, i) => i);
          const decode = () => decodeMessage(kinds, { ...frame, descriptors });
          if (count >= least && count <= most) assertEquals(decode().descriptors, descriptors);
          else {assertThrows(
              decode,
              VhostFault,
              `${name} came with ${count} descriptors instead of`,
            );}
        }
      }),
      { numRuns: 20 },
    );
  });
}

Deno.test("vhost-user acknowledgements say yes or no", () => {
  for (const result of [0n, 1n, 2n ** 64n - 1n]) {
    const bytes = encodeAcknowledgement(FRONT_END.SET_OWNER, result);
    const frame = one(new Framing<Kinds>(FRONT_END, "answers"), bytes);
    assertEquals([frame.name, decodeAcknowledgement(frame)], ["SET_OWNER", result]);
  }
});

Deno.test("vhost-user headers that cannot be are refused by name #core:vhost_messages", () => {
  const cases = [
    [1, 0, 0, "messages", "GET_FEATURES is of version 0, not 1"],
    [1, 2, 0, "messages", "GET_FEATURES is of version 2, not 1"],
    [1, 5, 8, "messages", "GET_FEATURES says that it is an answer, and nothing was asked"],
    [1, 1, 0, "answers", "GET_FEATURES came instead of an answer"],
    [99, 1, 0, "messages", "Message 99 is not known here"],
    [0, 1, 0, "messages", "Message 0 is not known here"],
    [0xffffffff, 0xffffffff, 0xffffffff, "messages", "Message 4294967295 is of version 3"],
  ] as const;
  for (const [number, flags, size, what, sentence] of cases) {
    const header = new Uint8Array(new Uint32Array([number, flags, size]).buffer);
    const framing = new Framing<Kinds>(FRONT_END, what);
    assertThrows(() => [...frames(framing, header)], VhostFault, sentence);
  }
});

Deno.test("vhost-user messages that contradict themselves are refused by name #core:vhost_messages", () => {
  const patched = (bytes: Uint8Array, at: number, value: number) => {
    new DataView(bytes.buffer as ArrayBuffer).setUint32(HEADER_BYTES + at, value, true);
    return bytes;
  };
  const table = encodeMessage(FRONT_END.SET_MEM_TABLE, [
    { guest: 0n, size: 4096n, user: 0n, offset: 0n },
  ]);
  const part = encodeMessage(FRONT_END.SET_CONFIG, {
    offset: 0,
    flags: 0,
    bytes: new Uint8Array(8),
  });
  const kick = encodeMessage(FRONT_END.SET_VRING_KICK, { index: 0, none: true });
  for (
    const [bytes, sentence] of [
      [patched(table, 0, 2), "SET_MEM_TABLE is wrong: it says 2 regions and has 1"],
      [patched(table.slice(), 0, 0xffffffff), "it says 4294967295 regions"],
      [patched(part, 4, 9), "SET_CONFIG is wrong: it says 9 bytes and has 8"],
      [patched(patched(part.slice(), 4, 8), 0, 249), "8 bytes at 249 are behind the 256"],
      [patched(part.slice(), 0, 0xffffffff), "SET_CONFIG is wrong"],
      [patched(kick, 0, 0x200), "SET_VRING_KICK is wrong: it has bits that mean nothing (0x200)"],
      [patched(kick.slice(), 4, 1), "SET_VRING_KICK is wrong"],
    ] as const
  ) {
    const frame = one(new Framing<Kinds>(FRONT_END, "messages"), bytes);
    assertThrows(() => decodeMessage(FRONT_END, frame), VhostFault, sentence);
  }
});

Deno.test("any bytes are messages or a fault, and a framing holds no more than one #core:vhost_messages", () => {
  const numbers = Object.values(FRONT_END).map(({ number }) => number);
  // So that some come through.
  const header = fc.tuple(fc.constantFrom(...numbers), fc.constantFrom(1, 9, 1, 5), fc.nat(300))
    .map((words) => [...new Uint8Array(new Uint32Array(words).buffer)]);
  const stream = fc.array(fc.oneof(header, fc.array(fc.nat(255), { maxLength: 40 })), {
    maxLength: 8,
  }).map((parts) => new Uint8Array(parts.flat()));
  fc.assert(fc.property(stream, fc.integer({ min: 1, max: 64 }), (bytes, size) => {
    const framing = new Framing<Kinds>(FRONT_END, "messages");
    try {
      for (const frame of frames(framing, bytes, [size])) {
        assert(frame.payload.byteLength <= 4096);
        decodeMessage(FRONT_END, frame);
      }
    } catch (error) {
      assert(error instanceof VhostFault, String(error));
      assert(error.message.length < 200);
    }
  }));
});
