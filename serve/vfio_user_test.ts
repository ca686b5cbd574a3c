import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { EntropyModel } from "@virtio/random/model";
import { DiskModel } from "@virtio/blk/model";
import { leftovers, soon } from "../tests/support/leaks.ts";
import { Client, GuestQueue } from "../tests/support/vfio_user.ts";
import { pattern } from "../tests/support/machine.ts";
import { close, pipe } from "../core/linux/fd.ts";
import { libc } from "../core/linux/libc.ts";
import { memoryFile } from "../core/linux/memory.ts";
import { PathTaken } from "../core/linux/socket.ts";
import type { DeviceModel } from "../simulation/model.ts";
import { encodeRequest } from "./vfio_user/message.ts";
import { HEADER_BYTES, Irq, Region } from "./vfio_user/protocol.ts";
import { serveVfioUser } from "./vfio_user.ts";

libc(); // opened once for all tests
const BASE = 0x100000, BYTES = 0x40000;
/** Where a guest has its data. */
const DATA = BASE + 0x1000;

/** A server of some devices in a folder that goes with it; what it says is kept. */
async function serving(
  functions: Readonly<Record<string, DeviceModel>>,
  use: (sockets: Readonly<Record<string, string>>, said: string[]) => Promise<void>,
): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-serve-" });
  const said: string[] = [];
  try {
    await using server = serveVfioUser(functions, folder, { log: (line) => said.push(line) });
    await use(server.sockets, said);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const random = () => ({ rng: new EntropyModel() });

/** Uses an entropy device as a guest does, on this connection. */
async function useEntropy(client: Client): Promise<void> {
  await client.enable();
  const memory = await client.memory(BASE, BYTES);
  const interrupted = await client.interrupts(Irq.MSIX, 1);
  await enableMsix(client);
  const queue = await GuestQueue.start(client, memory, BASE);
  await queue.submit([DATA, 64, true]);
  assert(await interrupted(), "no interrupt");
  assertEquals([queue.used, queue.written], [1, 64]);
  assert(new Set(new Uint8Array(memory, 0x1000, 64)).size > 16, "64 bytes are not random");
}

/** Turns MSI-X on, as a guest does. */
async function enableMsix(client: Client): Promise<void> {
  let at = await client.read(Region.CONFIG, 0x34, 1);
  while (await client.read(Region.CONFIG, at, 1) !== 0x11) {
    at = await client.read(Region.CONFIG, at + 1, 1);
    assert(at !== 0, "there is no MSI-X");
  }
  await client.write(Region.CONFIG, at + 2, 2, 0x8000);
}

Deno.test("a client uses a device: registers, memory, an interrupt by MSI-X #core:vfio_user_serve", async () => {
  await serving(random(), async ({ rng }, said) => {
    using client = await Client.greeted(rng!);
    assertEquals(await client.read(Region.CONFIG, 0, 4), 0x1044_1af4);
    await useEntropy(client);
    assertEquals(said, []);
  });
});

Deno.test("the pin interrupts, and again once it is unmasked", async () => {
  await serving(random(), async ({ rng }) => {
    using client = await Client.greeted(rng!);
    await client.enable();
    const memory = await client.memory(BASE, BYTES);
    const interrupted = await client.interrupts(Irq.INTX, 0);
    const queue = await GuestQueue.start(client, memory, BASE);
    for (let round = 1; round < 4; round++) {
      await queue.submit([DATA, 64, true]);
      assert(await interrupted(), "no interrupt");
      assertEquals([queue.used, await queue.isr()], [round, 1]);
      await client.unmaskPin();
    }
  });
});

Deno.test("a client goes and another comes: what the disk holds has stayed #core:vfio_user_comes_and_goes", async () => {
  const disk = new DiskModel({ capacity: 2 ** 20 });
  const bytes = pattern(512, 1);
  await serving({ disk }, async (sockets, said) => {
    for (const writes of [true, false]) {
      using client = await Client.greeted(sockets.disk!);
      await client.enable();
      const memory = await client.memory(BASE, BYTES);
      const queue = await GuestQueue.start(client, memory, BASE);
      const at = (offset: number, length: number) => new Uint8Array(memory, offset, length);
      new DataView(memory).setUint32(0x1000, writes ? 1 : 0, true); // OUT or IN, sector 0
      if (writes) at(0x2000, 512).set(bytes);
      await queue.submit(
        [DATA, 16, false],
        [BASE + 0x2000, 512, !writes],
        [BASE + 0x3000, 1, true],
      );
      assert(await soon(() => queue.used === 1));
      assertEquals(at(0x2000, 512).slice(), new Uint8Array(bytes));
    }
    assertEquals(said, []);
  });
});

Deno.test("what is taken away is not written any more, once that is answered #core:vfio_user_ranges", async () => {
  let finish: (() => void) | undefined;
  const slow: DeviceModel = {
    id: 4,
    queues: [8],
    handle(_queue, request) {
      finish = () => {
        request.write(new Uint8Array(64).fill(7));
        request.complete(request.written);
      };
      return undefined;
    },
  };
  await serving({ slow }, async (sockets, said) => {
    using client = await Client.greeted(sockets.slow!);
    await client.enable();
    const memory = await client.memory(BASE, BYTES);
    const queue = await GuestQueue.start(client, memory, BASE);
    await queue.submit([DATA, 64, true]);
    assert(await soon(() => finish !== undefined));
    await client.unmap(BigInt(DATA), 0x1000n);
    finish!();
    assertEquals(new Uint8Array(memory, 0x1000, 64).slice(), new Uint8Array(64));
    assertEquals(queue.used, 0);
    assert(
      said.some((line) => line.startsWith("slow: The device cannot reach 64 bytes")),
      `${said}`,
    );
    // The device needs a reset, as it would for any other fault.
    assertEquals(await client.read(4, 0x14, 1) & 0x40, 0x40);
  });
});

Deno.test("a ring that is taken away is not touched any more #core:vfio_user_ranges", async () => {
  await serving(random(), async ({ rng }, said) => {
    using client = await Client.greeted(rng!);
    await client.enable();
    const memory = await client.memory(BASE, BYTES);
    const queue = await GuestQueue.start(client, memory, BASE);
    await client.unmap(BigInt(BASE), 0x1000n);
    await queue.submit([DATA, 64, true]);
    assertEquals(await client.read(4, 0x14, 1) & 0x40, 0x40);
    assertEquals(queue.used, 0);
    assert(said.some((line) => line.includes("cannot reach")), `${said}`);
  });
});

/** What a client does that lies, and what is said of it. */
const LIES: Readonly<Record<string, [(client: Client) => unknown, RegExp]>> = {
  "a header of no bytes": [
    (client) => client.send(new Uint8Array(HEADER_BYTES)),
    /says that it has 0 bytes/,
  ],
  "a message of 4 GiB": [
    (client) => client.send(new Uint8Array(HEADER_BYTES).fill(0xff, 4, 8)),
    /says that it has 4294967295 bytes/,
  ],
  "an unknown command": [
    (client) => client.send(raw(38, 0)),
    /Command 38 is unknown/,
  ],
  "a size that is wrong": [
    (client) => client.send(raw(2, 31)),
    /DMA_MAP has 31 bytes: it has 32/,
  ],
  "a descriptor where none belongs": [
    (client) => withFile((fd) => client.send(encodeRequest(1, { command: "DEVICE_RESET" }), [fd])),
    /DEVICE_RESET came with 1 descriptors, not 0/,
  ],
  "more descriptors than go": [
    (client) => withFile((fd) => client.send(raw(13, 0), Array(40).fill(fd))),
    /More than 16 descriptors/,
  ],
  "a descriptor in the middle of a message": [
    (client) => {
      client.send(raw(13, 0).subarray(0, 8));
      withFile((fd) => client.send(raw(13, 0).subarray(8), [fd]));
    },
    // Bytes of two sendings may be received at once, with the descriptors of the second.
    /in the middle of a message|came with 1 descriptors/,
  ],
  "a file behind its end": [
    (client) => withFile((fd) => client.send(mapMessage(BASE, 2 ** 20), [fd])),
    /goes beyond its 65536 bytes/,
  ],
  "a file that is none": [
    (client) => {
      const ends = pipe();
      client.send(mapMessage(BASE, 4096), [ends[0]]);
      ends.forEach(close);
    },
    /The memory is a named pipe/,
  ],
  "a file that can shrink": [
    (client) => {
      const path = Deno.makeTempFileSync({ dir: "/dev/shm" });
      using file = Deno.openSync(path, { read: true, write: true });
      file.truncateSync(65536);
      client.send(mapMessage(BASE, 4096), [fdOf(path)]);
      Deno.removeSync(path);
    },
    /could shrink under us/,
  ],
  "an interrupt by no eventfd": [
    (client) =>
      withFile((fd) =>
        client.send(
          encodeRequest(1, {
            command: "DEVICE_SET_IRQS",
            argsz: 20,
            flags: 0x24,
            index: 2,
            start: 0,
            count: 1,
            data: new Uint8Array(),
          }),
          [fd],
        )
      ),
    /A descriptor for interrupts is no eventfd/,
  ],
  "a reply": [
    (client) => {
      const message = raw(13, 0);
      message[8] = 1;
      client.send(message);
    },
    /is a reply to nothing that was asked/,
  ],
  "its end in the middle": [
    (client) => {
      client.send(raw(13, 0).subarray(0, 9));
      client[Symbol.dispose]();
    },
    /is gone in the middle of a message/,
  ],
};

/** A message of zeroes. */
function raw(command: number, payload: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + payload);
  new DataView(bytes.buffer).setUint16(2, command, true);
  new DataView(bytes.buffer).setUint32(4, bytes.length, true);
  return bytes;
}

function mapMessage(address: number, size: number): Uint8Array<ArrayBuffer> {
  return encodeRequest(1, {
    command: "DMA_MAP",
    argsz: 32,
    flags: 3,
    offset: 0n,
    address: BigInt(address),
    size: BigInt(size),
  });
}

function withFile(use: (fd: number) => void): void {
  const fd = memoryFile("lie", 65536);
  try {
    use(fd);
  } finally {
    close(fd);
  }
}

/** The descriptor by which this process has a path open. */
function fdOf(path: string): number {
  const found = [...Deno.readDirSync("/proc/self/fd")].find(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`) === path;
    } catch {
      return false;
    }
  });
  return Number(found!.name);
}

for (const [name, [tell, wanted]] of Object.entries(LIES)) {
  Deno.test(`a client that lies, ${name}, is ended with a sentence; the next is served #core:vfio_user_hostile`, async () => {
    const round = () =>
      serving(random(), async ({ rng }, said) => {
        {
          using client = await Client.greeted(rng!);
          await tell(client);
          if (name !== "its end in the middle") await client.ended();
          assert(await soon(() => said.length > 0), "nothing was said");
          assert(said.length === 1 && wanted.test(said[0]!), said.join("\n"));
        }
        using client = await Client.greeted(rng!);
        await useEntropy(client);
      });
    await round();
    assertEquals(await leftovers(round), []);
  });
}

Deno.test("a second client is refused while one is connected, and served afterwards", async () => {
  await serving(random(), async ({ rng }, said) => {
    {
      using first = await Client.greeted(rng!);
      using second = new Client(rng!);
      await second.ended();
      assertEquals(said, ["rng: A second client came while one is connected; it is refused"]);
      await useEntropy(first);
    }
    // The end of the first and the begin of this one may be heard at once.
    using third = await Client.greeted(rng!);
    await useEntropy(third);
  });
});

Deno.test("a client that floods and reads nothing holds up no other, and takes no memory #core:vfio_user_flood", async () => {
  await serving({ ...random(), other: new EntropyModel() }, async ({ rng, other }) => {
    using flood = await Client.greeted(rng!);
    const many = Array.from(
      { length: 100 },
      () =>
        encodeRequest(1, { command: "REGION_READ", region: Region.CONFIG, offset: 0n, count: 256 }),
    );
    const bytes = new Uint8Array(many.flatMap((each) => [...each]));
    const before = Deno.memoryUsage().rss;
    for (let round = 0; round < 500; round++) {
      try {
        flood.send(bytes);
      } catch {
        break; // there is no room: the server does not read on
      }
      if (round % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      assert(round < 400, "the server reads on, although nothing is taken from it");
    }
    assert(Deno.memoryUsage().rss - before < 64 * 2 ** 20);
    using client = await Client.greeted(other!);
    await useEntropy(client);
  });
});

Deno.test("a guest that breaks the rings without end is told of a bounded number of times", async () => {
  await serving(random(), async ({ rng }, said) => {
    using client = await Client.greeted(rng!);
    await client.enable();
    const memory = await client.memory(BASE, BYTES);
    for (let round = 0; round < 40; round++) {
      new Uint8Array(memory, 0, 0x1000).fill(0);
      const queue = await GuestQueue.start(client, memory, BASE);
      await queue.submit([0xdead0000, 64, true]);
      await client.read(4, 0x14, 1);
    }
    assert(await soon(() => said.length >= 20), said.join("\n"));
    assertEquals(said.length, 20);
    assert(said[0]!.startsWith("rng: The device cannot reach 64 bytes at address 0xdead0000"));
    assert(said[19]!.endsWith("what else is wrong is not told any more"), said[19]);
  });
});

Deno.test("a socket that is taken is refused, and a server that is not made leaves nothing", async () => {
  await serving(random(), async ({ rng }) => {
    const folder = rng!.replace(/\/rng.sock$/, "");
    const left = await leftovers(async () => {
      assertThrows(
        () => serveVfioUser({ first: new EntropyModel(), rng: new EntropyModel() }, folder),
        PathTaken,
        "another program listens there",
      );
      await Promise.resolve();
    });
    assertEquals(left, []);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["rng.sock"]);
  });
  await assertRejects(
    () => serving({ ["x".repeat(120)]: new EntropyModel() }, async () => {}),
    RangeError,
  );
});
