import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  clear,
  clearer,
  close,
  duplicate,
  eventfd,
  pipe,
  read,
  setNonBlocking,
  signal,
  signaller,
  writeAll,
  writer,
} from "./fd.ts";
import { cString, libc } from "./libc.ts";
import { check, errno, OsError } from "./os_error.ts";
import { poll, pollAsync, poller, POLLERR_OR_HUP, POLLIN, POLLOUT, yielder } from "./poll.ts";

// Opened once for the whole process, so not by a test.
libc();

/** A descriptor that this process does not have. */
const NONE_OPEN = 9999;

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

Deno.test("an event counter is signalled and cleared", () => {
  const fd = eventfd();
  assertEquals(clear(fd), false);
  signal(fd);
  signal(fd);
  assertEquals([clear(fd), clear(fd)], [true, false]);
  signaller(fd)();
  const clearIt = clearer(fd);
  assertEquals([clearIt(), clearIt()], [true, false]);
  close(fd);
});

Deno.test("a pipe passes bytes on, says when there are none, and when there will be none", () => {
  const [from, into] = pipe();
  const bytes = new Uint8Array(4);
  assertEquals(read(from, bytes), -1);
  writeAll(into, new TextEncoder().encode("abcdef"));
  assertEquals([read(from, bytes), text(bytes)], [4, "abcd"]);
  assertEquals([read(from, bytes), text(bytes)], [2, "efcd"]);
  close(into);
  assertEquals(read(from, bytes), 0);
  close(from);
});

Deno.test("writeAll() writes what does not fit into a pipe at once, too", async () => {
  const [from, into] = pipe();
  const sent = new Uint8Array(300_000).map((_, i) => i * 31);
  // The pipe holds 64 KiB; a thread of its own writes the rest while this one reads.
  const url = URL.createObjectURL(
    new Blob([`onmessage = async ({ data: { fd, bytes, module } }) => {
      const { writeAll, close } = await import(module);
      writeAll(fd, bytes);
      close(fd);
    };`], { type: "text/javascript" }),
  );
  const worker = new Worker(url, { type: "module" });
  worker.postMessage({ fd: into, bytes: sent, module: import.meta.resolve("./fd.ts") });
  const got = new Uint8Array(sent.length + 1);
  let length = 0;
  for (;;) {
    await pollAsync(Int32Array.of(from, POLLIN), 1, 5000);
    const part = read(from, got.subarray(length));
    if (part <= 0) break;
    length += part;
  }
  assertEquals(got.subarray(0, length), sent);
  worker.terminate();
  URL.revokeObjectURL(url);
  close(from);
});

Deno.test("a duplicate is a descriptor of its own for the same thing", () => {
  const fd = eventfd();
  const other = duplicate(fd, 100);
  assert(other >= 100);
  signal(other);
  close(other);
  assert(clear(fd));
  close(fd);
});

Deno.test("descriptors are closed on exec", () => {
  const [from, into] = pipe();
  const fds = [eventfd(), duplicate(from), from, into];
  for (const fd of fds) {
    const flags = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`).match(/flags:\s*(\d+)/)![1]!;
    assert(parseInt(flags, 8) & 0o2000000, `descriptor ${fd} has ${flags}`);
    close(fd);
  }
});

Deno.test("setNonBlocking() makes a read return at once", () => {
  const [from, into] = pipe();
  setNonBlocking(into);
  assertThrows(() => writeAll(into, new Uint8Array(1 << 20)), OsError, "EAGAIN");
  close(from);
  close(into);
});

Deno.test("what a descriptor cannot do is an OsError that names it", () => {
  const error = assertThrows(
    () => read(NONE_OPEN, new Uint8Array(1)),
    OsError,
    "Cannot read a file that was closed",
  );
  assertEquals([error.code, error.errno, error.name], ["EBADF", 9, "OsError"]);
  assert(error.message.endsWith("EBADF (Bad file descriptor)"));
  for (
    const act of [
      () => writeAll(NONE_OPEN, new Uint8Array(1)),
      () => duplicate(NONE_OPEN),
      () => setNonBlocking(NONE_OPEN),
    ]
  ) assertThrows(act, OsError, "EBADF");
});

Deno.test("errno() is that of the last call, and check() passes on what is none", () => {
  libc().open(cString("/nonexistent"), 0, 0);
  assertEquals(errno(), 2);
  assertEquals([check(0, "x"), check(7, "x")], [0, 7]);
  assertEquals(new OsError("Cannot", 12345).code, "errno 12345");
});

Deno.test("a C string has one NUL, at its end", () => {
  assertEquals([...cString("é")], [0xc3, 0xa9, 0]);
  assertEquals([...cString("")], [0]);
  assertThrows(() => cString("a\0b"), TypeError, "NUL");
});

Deno.test("writer() holds its own copy of the message", () => {
  const [from, into] = pipe();
  const message = new TextEncoder().encode("abc");
  const write = writer(into, message);
  message.fill(0);
  write();
  write();
  const bytes = new Uint8Array(9);
  assertEquals([read(from, bytes), text(bytes.subarray(0, 6))], [6, "abcabc"]);
  writer(NONE_OPEN, message)();
  close(from);
  close(into);
});

Deno.test("poll() tells what is ready", () => {
  const [from, into] = pipe();
  const set = Int32Array.of(from, POLLIN, into, POLLOUT);
  const seen = () => [set[1]! >>> 16, set[3]! >>> 16];
  assertEquals(poll(set, 2, 0), 1);
  assertEquals(seen(), [0, POLLOUT]);
  assertEquals(poll(set, 1, 0), 0, "only the first was asked about");
  writeAll(into, Uint8Array.of(1));
  assertEquals(poller(set)(-1), 2);
  assertThrows(() => poll(set, 3, 0), RangeError, "the set has 2");
  assertEquals(seen(), [POLLIN, POLLOUT]);
  close(into);
  read(from, new Uint8Array(1));
  assertEquals(poll(set, 1, 1000), 1);
  assert(seen()[0]! & POLLERR_OR_HUP);
  close(from);
  assertEquals(poll(Int32Array.of(NONE_OPEN, POLLIN), 1, 1000), 1);
  yielder()();
});

Deno.test("poll() waits as long as it is told", () => {
  const fd = eventfd();
  const start = performance.now();
  assertEquals(poll(Int32Array.of(fd, POLLIN), 1, 15), 0);
  assert(performance.now() - start >= 14);
  close(fd);
});

Deno.test("pollAsync() lets this thread go on", async () => {
  const fd = eventfd();
  const set = Int32Array.of(fd, POLLIN);
  const waiting = pollAsync(set, 1, 5000);
  setTimeout(() => signal(fd), 5);
  assertEquals(await waiting, 1);
  assertEquals(set[1]! >>> 16, POLLIN);
  assertEquals(await pollAsync(new Int32Array(0), 0, 1), 0);
  close(fd);
});
