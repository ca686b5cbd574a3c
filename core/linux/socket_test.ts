import { assert, assertEquals, assertThrows } from "@std/assert";
import { close, eventfd } from "./fd.ts";
import { libc } from "./libc.ts";
import { OsError } from "./os_error.ts";
import { descriptors } from "../../tests/support/leaks.ts";
import { exists } from "./file.ts";
import {
  accept,
  connectUnix,
  listenUnix,
  PathTaken,
  receive,
  send,
  sendNow,
  socketPair,
} from "./socket.ts";

// Opened once for the whole process, so not by a test.
libc();

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
    ]
  ) assertEquals(assertThrows(act, OsError).code, "ENOTSOCK");
  close(fd);
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

Deno.test("a program connects to a path where another one listens, and does not wait for it", () => {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-socket-" });
  const path = `${folder}/socket`;
  const listener = listenUnix(path);
  const client = connectUnix(path);
  const server = accept(listener.fd);
  send(client, bytes("hello"));
  const into = new Uint8Array(16);
  assertEquals([receive(server, into, false), receive(client, into, false)], [5, -1]);
  assertEquals([client, server].map((fd) => cloexec(fd)), [true, true]);
  close(server);
  assertEquals(receive(client, into, false), 0);
  close(client);
  listener.close();
  Deno.removeSync(folder);
});

/** Whether a descriptor is closed where another program is started. */
function cloexec(fd: number): boolean {
  const flags = /flags:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`))![1]!;
  return (parseInt(flags, 8) & 0o2000000) !== 0;
}

Deno.test("where no program listens, nothing is left of the attempt to connect", () => {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-socket-" });
  const path = `${folder}/socket`;
  const before = descriptors().length;
  assertThrows(() => connectUnix(path), OsError, `Cannot connect to ${path}: ENOENT`);
  Deno.writeTextFileSync(path, "");
  assertThrows(() => connectUnix(path), OsError, `Cannot connect to ${path}: ECONNREFUSED`);
  assertThrows(() => connectUnix(`/tmp/${"x".repeat(200)}`), RangeError, "at most 107 bytes");
  Deno.removeSync(path);
  // A queue that is full.
  const listener = listenUnix(path);
  const clients: number[] = [];
  const error = assertThrows(() => {
    for (;;) clients.push(connectUnix(path));
  }, OsError);
  assertEquals(error.code, "EAGAIN");
  clients.forEach(close);
  listener.close();
  assertEquals(descriptors().length, before);
  Deno.removeSync(folder);
});
