import { assert, assertEquals, assertThrows } from "@std/assert";
import { clear, close, eventfd, pipe, read, signal, writeAll } from "./fd.ts";
import { libc } from "./libc.ts";
import { OsError } from "./os_error.ts";
import { exists } from "./file.ts";
import {
  accept,
  listenUnix,
  PathTaken,
  receive,
  send,
  sendDescriptors,
  sendNow,
  socketPair,
} from "./socket.ts";

// Opened once for the whole process, so not by a test. The other side of descriptor passing is only here.
libc();
const { recvmsg } = Deno.dlopen("libc.so.6", {
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
}).symbols;

/** Receives bytes and the descriptors that came with them. */
function receiveDescriptors(fd: number): { bytes: Uint8Array; descriptors: number[] } {
  const message = new Uint8Array(56);
  const vector = new BigUint64Array(2);
  const bytes = new Uint8Array(256);
  const control = new Uint8Array(256);
  const address = (of: Uint8Array<ArrayBuffer> | BigUint64Array<ArrayBuffer>) =>
    BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(of)));
  vector.set([address(bytes), 256n]);
  const view = new DataView(message.buffer);
  view.setBigUint64(16, address(vector), true);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(32, address(control), true);
  view.setBigUint64(40, 256n, true);
  const length = recvmsg(fd, message, 0);
  assert(length >= 0);
  const used = Number(view.getBigUint64(40, true));
  if (used === 0) return { bytes: bytes.slice(0, length), descriptors: [] };
  const header = new DataView(control.buffer);
  assertEquals([header.getInt32(8, true), header.getInt32(12, true)], [1, 1]);
  const count = (Number(header.getBigUint64(0, true)) - 16) / 4;
  const descriptors = Array.from({ length: count }, (_, i) => header.getInt32(16 + 4 * i, true));
  return { bytes: bytes.slice(0, length), descriptors };
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("bytes go both ways, and the end is seen", () => {
  const [a, b] = socketPair();
  const into = new Uint8Array(4);
  assertEquals(receive(a, into, false), -1);
  send(b, bytes("hello"));
  assertEquals([receive(a, into, true), receive(a, into, false), receive(a, into, false)], [
    4,
    1,
    -1,
  ]);
  send(a, bytes("x"));
  assertEquals([receive(b, into, true), into[0]], [1, 0x78]);
  close(b);
  assertEquals(receive(a, into, true), 0);
  assertEquals(sendNow(a, bytes("x")), -1);
  assertThrows(() => send(a, bytes("x")), OsError, "EPIPE");
  close(a);
});

Deno.test("what was not read before the end is no trouble", () => {
  const [a, b] = socketPair();
  send(a, bytes("unread"));
  close(b);
  assertEquals(receive(a, new Uint8Array(1), true), 0);
  close(a);
});

Deno.test("sendNow() does not wait for room", () => {
  const [a, b] = socketPair();
  const much = new Uint8Array(100_000);
  let total = 0;
  for (;;) {
    const put = sendNow(a, much);
    if (put === 0) break;
    total += put;
  }
  assert(total > 0);
  const into = new Uint8Array(total + 1);
  let got = 0;
  for (;;) {
    const part = receive(b, into.subarray(got), false);
    if (part < 0) break;
    got += part;
  }
  assertEquals(got, total);
  assert(sendNow(a, much) > 0);
  close(a);
  close(b);
});

Deno.test("what is no socket is an error", () => {
  const fd = eventfd();
  for (
    const act of [
      () => send(fd, bytes("x")),
      () => sendNow(fd, bytes("x")),
      () => receive(fd, new Uint8Array(1), false),
      () => sendDescriptors(fd, bytes("x"), []),
    ]
  ) assertEquals(assertThrows(act, OsError).code, "ENOTSOCK");
  close(fd);
});

for (const count of [0, 1, 2, 3, 8]) {
  Deno.test(`${count} descriptors are passed with bytes`, () => {
    const [a, b] = socketPair();
    const fds = Array.from({ length: count }, () => eventfd());
    sendDescriptors(a, bytes("take these"), fds);
    const got = receiveDescriptors(b);
    assertEquals(new TextDecoder().decode(got.bytes), "take these");
    assertEquals(got.descriptors.length, count);
    for (const [i, fd] of got.descriptors.entries()) {
      assert(!fds.includes(fd));
      signal(fd);
      assert(clear(fds[i]!), "they came in another order");
    }
    [...fds, ...got.descriptors, a, b].forEach(close);
  });
}

Deno.test("a descriptor that was passed lives on when its sender has closed it", () => {
  const [a, b] = socketPair();
  const [from, into] = pipe();
  sendDescriptors(a, bytes("x"), [into]);
  close(into);
  const [passed] = receiveDescriptors(b).descriptors;
  writeAll(passed!, bytes("still"));
  const text = new Uint8Array(5);
  assertEquals([read(from, text), new TextDecoder().decode(text)], [5, "still"]);
  [passed!, from, a, b].forEach(close);
});

Deno.test("a socket listens at a path, and takes clients that connect", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-socket-" });
  const path = `${folder}/socket`;
  const listener = listenUnix(path);
  const listening = listener.fd;
  assertEquals(accept(listening), -1);
  const client = await Deno.connect({ transport: "unix", path });
  const connection = accept(listening);
  assert(connection >= 0);
  send(connection, bytes("hello"));
  const into = new Uint8Array(16);
  assertEquals(await client.read(into), 5);
  assertEquals(into.subarray(0, 5), bytes("hello"));
  assertEquals(receive(connection, into, false), -1);
  client.close();
  assertEquals(receive(connection, into, true), 0);
  close(connection);
  listener.close();
  assert(!exists(path));
  Deno.removeSync(folder);
});

Deno.test("a socket that a server has left behind is taken over, one at work is not #cli:stale_socket", () => {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-socket-" });
  const path = `${folder}/socket`;
  const first = listenUnix(path);
  assertThrows(() => listenUnix(path), PathTaken, `${path}: another program listens there`);
  // Its queue is full, too: it is at work all the same.
  close(accept(first.fd));
  // As after kill -9: the path stays.
  close(first.fd);
  const second = listenUnix(path);
  const third = (() => {
    Deno.removeSync(path);
    return listenUnix(path);
  })();
  // What stands there by now is not the second's to take away.
  second.close();
  assert(exists(path));
  third.close();
  assert(!exists(path));
  Deno.removeSync(folder);
});

Deno.test("what is no socket is never taken away #cli:stale_socket", () => {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-socket-" });
  Deno.writeTextFileSync(`${folder}/file`, "mine");
  Deno.mkdirSync(`${folder}/folder`);
  Deno.symlinkSync(`${folder}/socket`, `${folder}/link`);
  for (const [name, kind] of [["file", "file"], ["folder", "folder"], ["link", "symbolic link"]]) {
    assertThrows(() => listenUnix(`${folder}/${name}`), PathTaken, `it is a ${kind}, which`);
  }
  assertEquals(Deno.readTextFileSync(`${folder}/file`), "mine");
  assertEquals([...Deno.readDirSync(folder)].length, 3);
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a path that cannot be listened at is an error that names it", () => {
  assertThrows(
    () => listenUnix("/does/not/exist/socket"),
    OsError,
    "/does/not/exist/socket: ENOENT",
  );
  assertThrows(() => listenUnix(`/tmp/${"x".repeat(200)}`), RangeError, "at most 107 bytes");
  const path = Deno.makeTempFileSync();
  assertThrows(() => listenUnix(path), PathTaken, path);
  Deno.removeSync(path);
});
