// Clients that want no disk: they keep nothing for long, and no other client out.
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { BlockDevice } from "../classes/block/protocol.ts";
import { libc } from "../core/linux/libc.ts";
import { PathTaken } from "../core/linux/socket.ts";
import { InterruptLoop } from "../core/irq/interrupt_loop.ts";
import { Bytes } from "./bytes.ts";
import { Cmd, Opt, OPTS_MAGIC, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC } from "./protocol.ts";
import { NbdServer, type ServeOptions } from "./server.ts";

// Opened once for the whole process, so not by a test.
libc();

const nothing = () => Promise.resolve();
const DISK: BlockDevice = {
  capacity: 1 << 20,
  blockSize: 512,
  readOnly: false,
  writeCache: false,
  canDiscard: false,
  canWriteZeroes: false,
  medium: 1,
  refresh: nothing,
  id: () => Promise.resolve(""),
  read: (_, length) => Promise.resolve(new Uint8Array(length)),
  readInto: (offset, bytes) => Promise.resolve(void bytes.fill(offset / 512)),
  write: nothing,
  flush: nothing,
  discard: nothing,
  writeZeroes: nothing,
};

async function serving(
  options: Partial<ServeOptions>,
  use: (socket: string, server: NbdServer, log: readonly string[]) => Promise<void>,
): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-nbd-" });
  try {
    await using loop = new InterruptLoop();
    loop.start();
    const socket = `${folder}/socket`;
    const log: string[] = [];
    using server = new NbdServer(DISK, {
      socket,
      loop,
      log: (line) => void log.push(line),
      ...options,
    });
    await use(socket, server, log);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Waits until the server has ended a connection, whatever it says before. */
async function ended(connection: Deno.UnixConn): Promise<void> {
  const bytes = new Uint8Array(65_536);
  const timer = setTimeout(() => connection.close(), 20_000);
  try {
    while (await connection.read(bytes) !== null);
  } catch (error) {
    // What was not read of what we said may reset it.
    assert(error instanceof Deno.errors.ConnectionReset, String(error));
  } finally {
    clearTimeout(timer);
  }
}

const connect = (path: string) => Deno.connect({ transport: "unix", path });
/** How a client begins, and the old way to choose the export. */
const HELLO = new Bytes(4).u32(3).bytes;
const CHOICE = new Bytes(16).u64(OPTS_MAGIC).u32(Opt.EXPORT_NAME).u32(0).bytes;

Deno.test("a client that chooses no export has to leave, one that does may stay #nbd:idle_handshake", async () => {
  await serving({ handshake: 2000 }, async (socket, server, log) => {
    using silent = await connect(socket);
    using slow = await connect(socket);
    await slow.write(HELLO);
    using stays = await connect(socket);
    await stays.write(HELLO);
    await stays.write(CHOICE);
    await Promise.all([ended(silent), ended(slow)]);
    assertEquals(server.clients, 1);
    const left = log.filter((line) => line.includes("left"));
    assertEquals(left.length, 2);
    assert(left.every((line) => line.includes("it chose no export within 2000 ms")), left[0]);
  });
});

Deno.test("idle handshakes keep the places of others only until they have to leave #nbd:idle_handshake", async () => {
  await serving({ handshake: 500 }, async (socket) => {
    const idle = await Promise.all(Array.from({ length: 64 }, () => connect(socket)));
    using late = await connect(socket);
    await late.write(HELLO);
    await late.write(CHOICE);
    // 18 bytes of a greeting, 10 of the export.
    let came = 0;
    while (came < 28) came += (await late.read(new Uint8Array(28)))!;
    for (const connection of idle) connection.close();
  });
});

Deno.test("answers that go out together come whole and with their own data, however slowly they are taken #nbd:together", async () => {
  await serving({}, async (socket) => {
    using client = await connect(socket);
    await client.write(HELLO);
    await client.write(CHOICE);
    // Short and long ones, together more than a socket holds.
    const lengths = Array.from({ length: 120 }, (_, i) => [512, 4096, 65_536, 262_144][i % 4]!);
    const requests = new Bytes(28 * lengths.length);
    lengths.forEach((length, i) =>
      requests.u32(REQUEST_MAGIC).u16(0).u16(Cmd.READ).u64(BigInt(i)).u64(BigInt(i * 512))
        .u32(length)
    );
    await client.write(requests.bytes);
    await new Promise((resolve) => setTimeout(resolve, 200)); // nothing is taken meanwhile
    const all = new Uint8Array(28 + lengths.reduce((sum, length) => sum + 16 + length, 0));
    for (let came = 0; came < all.length;) {
      const got = await client.read(all.subarray(came, came + 50_000));
      assert(got !== null, `the server left after ${came} bytes`);
      came += got;
    }
    const seen = new Set<number>();
    const view = new DataView(all.buffer);
    for (let at = 28; at < all.length;) {
      const i = Number(view.getBigUint64(at + 8));
      assertEquals([view.getUint32(at), view.getUint32(at + 4)], [SIMPLE_REPLY_MAGIC, 0]);
      const data = all.subarray(at + 16, at + 16 + lengths[i]!);
      assert(data.every((byte) => byte === i), `the data of request ${i}`);
      seen.add(i);
      at += 16 + data.length;
    }
    assertEquals(seen.size, lengths.length);
  });
});

Deno.test("options without end, whose answers are never taken, end the connection #nbd:option_flood", async () => {
  const flood = new Uint8Array(2 << 20);
  const option = new Bytes(16).u64(OPTS_MAGIC).u32(Opt.LIST).u32(0).bytes;
  for (let at = 0; at < flood.length; at += 16) flood.set(option, at);
  for (const reads of [true, false]) {
    await serving({ handshake: reads ? 60_000 : 1000 }, async (socket, server) => {
      using rude = await connect(socket);
      await rude.write(HELLO);
      const writing = (async () => {
        try {
          for (let rest = flood; rest.length > 0;) rest = rest.subarray(await rude.write(rest));
        } catch (error) {
          const over = error instanceof Deno.errors.BrokenPipe ||
            error instanceof Deno.errors.ConnectionReset;
          assert(over, String(error));
        }
      })();
      // A client that reads is shown the door for what it says, one that does not for the time that it takes.
      await (reads ? Promise.all([writing, ended(rude)]) : writing);
      for (let i = 0; server.clients > 0 && i < 3000; i++) {
        await new Promise((r) => setTimeout(r, 10));
      }
      assertEquals(server.clients, 0);
    });
  }
});

Deno.test("a server takes over what another has left, and leaves one at work alone #cli:stale_socket", async () => {
  await serving({}, async (socket, first) => {
    await using loop = new InterruptLoop();
    loop.start();
    assertThrows(() => new NbdServer(DISK, { socket, loop }), PathTaken, "another program listens");
    first[Symbol.dispose]();
    // What is left of a server that was killed.
    const listener = Deno.listen({ transport: "unix", path: socket });
    Deno.renameSync(socket, `${socket}.kept`);
    listener.close();
    Deno.renameSync(`${socket}.kept`, socket);
    using _second = new NbdServer(DISK, { socket, loop });
    using client = await connect(socket);
    assertEquals(await client.read(new Uint8Array(18)), 18);
  });
});
