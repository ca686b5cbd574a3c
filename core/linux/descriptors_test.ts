import { assert, assertEquals, assertThrows } from "@std/assert";
import { descriptors as ours } from "../../tests/support/leaks.ts";
import {
  MOST_DESCRIPTORS,
  receiveDescriptors,
  sendDescriptors,
  TooManyDescriptors,
} from "./descriptors.ts";
import { clear, close, eventfd, pipe, read, signal, writeAll } from "./fd.ts";
import { libc } from "./libc.ts";
import { OsError } from "./os_error.ts";
import { send, socketPair } from "./socket.ts";

// Opened once for the whole process, so not by a test.
libc();

const bytes = (text: string) => new TextEncoder().encode(text);

for (const count of [0, 1, 2, 3, 8, MOST_DESCRIPTORS]) {
  Deno.test(`${count} descriptors are passed with bytes`, () => {
    const [a, b] = socketPair();
    const fds = Array.from({ length: count }, () => eventfd());
    sendDescriptors(a, bytes("take these"), fds);
    const into = new Uint8Array(64);
    const got: number[] = [];
    assertEquals(receiveDescriptors(b, into, count, got, true), 10);
    assertEquals(into.subarray(0, 10), bytes("take these"));
    assertEquals(got.length, count);
    for (const [i, fd] of got.entries()) {
      assert(!fds.includes(fd));
      const { flags } = /flags:\s+(?<flags>\d+)/.exec(
        Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`),
      )!.groups!;
      assert(parseInt(flags!, 8) & 0o2000000, "it outlives exec");
      signal(fd);
      assert(clear(fds[i]!), "they came in another order");
    }
    [...fds, ...got, a, b].forEach(close);
  });
}

Deno.test("a descriptor that was passed lives on when its sender has closed it", () => {
  const [a, b] = socketPair();
  const [from, into] = pipe();
  sendDescriptors(a, bytes("x"), [into]);
  close(into);
  const passed: number[] = [];
  receiveDescriptors(b, new Uint8Array(1), 1, passed, true);
  writeAll(passed[0]!, bytes("still"));
  const text = new Uint8Array(5);
  assertEquals([read(from, text), new TextDecoder().decode(text)], [5, "still"]);
  [passed[0]!, from, a, b].forEach(close);
});

for (const most of [0, 1, 2, 7]) {
  Deno.test(`more than ${most} descriptors are refused, and none is left`, () => {
    const [a, b] = socketPair();
    const fd = eventfd();
    const before = ours().length;
    for (const more of [1, 2, 3, MOST_DESCRIPTORS - most]) {
      sendDescriptors(a, bytes("x"), Array.from({ length: most + more }, () => fd));
      const got: number[] = [];
      assertThrows(
        () => receiveDescriptors(b, new Uint8Array(1), most, got, true),
        TooManyDescriptors,
        most === 0 ? "a message that has none" : `More than ${most} descriptors`,
      );
      assertEquals([got.length, ours().length], [0, before]);
    }
    [fd, a, b].forEach(close);
  });
}

Deno.test("descriptors that were not received go with the socket", () => {
  const [a, b] = socketPair();
  const [from, into] = pipe();
  sendDescriptors(a, bytes("x"), [into]);
  [a, b, into].forEach(close);
  // The last name of the pipe's writable end was on its way.
  assertEquals(read(from, new Uint8Array(1)), 0);
  close(from);
});

Deno.test("nothing there, and the end, are told apart", () => {
  const [a, b] = socketPair();
  const got: number[] = [];
  assertEquals(receiveDescriptors(a, new Uint8Array(4), 8, got, false), -1);
  close(b);
  assertEquals(receiveDescriptors(a, new Uint8Array(4), 8, got, false), 0);
  assertEquals(got, []);
  close(a);
});

Deno.test("a read that ends where a message ends has that message's descriptors", () => {
  const [a, b] = socketPair();
  const fd = eventfd();
  send(a, bytes("none"));
  sendDescriptors(a, bytes("with"), [fd]);
  const parts = [4, 2, 2].map((length) => {
    const got: number[] = [];
    assertEquals(receiveDescriptors(b, new Uint8Array(length), 1, got, true), length);
    got.forEach(close);
    return got.length;
  });
  assertEquals(parts, [0, 1, 0]);
  // One that goes on takes the next message's for this one's.
  send(a, bytes("none"));
  sendDescriptors(a, bytes("with"), [fd]);
  const glued: number[] = [];
  assertEquals(receiveDescriptors(b, new Uint8Array(8), 1, glued, true), 8);
  assertEquals(glued.length, 1);
  [...glued, fd, a, b].forEach(close);
});

Deno.test("what is no socket, and counts that cannot be, are errors", () => {
  const fd = eventfd();
  for (
    const act of [
      () => sendDescriptors(fd, bytes("x"), []),
      () => receiveDescriptors(fd, new Uint8Array(1), 1, [], false),
    ]
  ) assertEquals(assertThrows(act, OsError).code, "ENOTSOCK");
  const [a, b] = socketPair();
  for (const most of [-1, 0.5, NaN, MOST_DESCRIPTORS + 1]) {
    assertThrows(() => receiveDescriptors(a, new Uint8Array(1), most, [], false), RangeError);
  }
  assertThrows(() => receiveDescriptors(a, new Uint8Array(0), 1, [], false), RangeError);
  const many = Array.from({ length: MOST_DESCRIPTORS + 1 }, () => fd);
  assertThrows(() => sendDescriptors(a, bytes("x"), many), RangeError, "at most 253");
  close(b);
  assertEquals(assertThrows(() => sendDescriptors(a, bytes("x"), [fd]), OsError).code, "EPIPE");
  [a, fd].forEach(close);
});
