/**
 * Programs of a vhost-user machine that are killed at work and come back: nothing is lost, and nothing is done twice that
 * must not be.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { RequestError } from "../core/bus/request_error.ts";
import { type Isolation, openKernel } from "../mod.ts";
import {
  DAEMONS,
  Folder,
  forget,
  listens,
  served,
  StorageDaemon,
  withoutDaemon,
} from "./support/back_ends.ts";
import { leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { testWith } from "./support/needs.ts";
import { Running } from "./support/program.ts";

const BYTES = 1 << 24;
const BLOCK = 4096;
const BLOCKS = 1000;
const PRINTER = new URL("support/line_printer.ts", import.meta.url).pathname;

/** A disk in a file. */
interface Disk extends AsyncDisposable {
  kill(): Promise<void>;
}

/** A program that serves a disk in a file, and can be started again. */
type Start = (socket: string, file: string) => Promise<Disk>;

const ours: Start = (socket, file) => {
  forget(socket);
  return served("blk", socket, "--disk", file);
};

async function writesThroughDeath(start: Start, isolation: Isolation): Promise<void> {
  using folder = new Folder();
  const [file, socket] = [folder.of("disk"), folder.of("socket")];
  Deno.writeFileSync(file, new Uint8Array(BYTES));
  await using first = await start(socket, file);
  const left = await leftovers(async () => {
    await using kernel = await openKernel({
      machine: "vhost-user",
      vhostUser: [{ kind: "blk", socket }],
      isolation,
      restarts: 10,
    });
    const disk = await kernel.attachFirst("block");
    const block = (i: number) => new Uint8Array(BLOCK).fill(i % 255 + 1);
    let ended = 0;
    const writes = Array.from({ length: BLOCKS }, async (_, i) => {
      await disk.client.write(i * BLOCK, block(i));
      ended++;
    });
    assert(await soon(() => ended > 20));
    await first.kill();
    assert(ended < BLOCKS, "all was written before it was killed");
    await using _next = await start(socket, file);
    await Promise.all(writes);
    // Where there is a cache, what was not flushed may be lost, and is said to be.
    const { writeCache } = disk.client;
    const flushed = await disk.client.flush().then(() => true, (error) => {
      assert(error instanceof RequestError, String(error));
      return false;
    });
    assertEquals(flushed, !writeCache);
    assert((await disk.describe()).restarts >= 1);
    const found = Deno.readFileSync(file);
    for (let i = 0; i < BLOCKS; i++) {
      assertEquals(found.subarray(i * BLOCK, (i + 1) * BLOCK), block(i), `block ${i}`);
    }
  });
  assertEquals(left.filter((each) => !each.includes("process")), []);
}

for (const isolation of ["process", "inline"] as const) {
  Deno.test(`vhost-user: a disk of our own is killed under writes and comes back: nothing is lost (${isolation}) #core:vhost_user_return`, () =>
    writesThroughDeath(ours, isolation));

  for (const { version, program } of DAEMONS) {
    testWith(
      withoutDaemon,
      `vhost-user: qemu-storage-daemon ${version} is killed under writes and comes back: nothing is lost (${isolation}) #core:vhost_user_return`,
      () =>
        writesThroughDeath(
          (socket, disk) => StorageDaemon.start({ program, socket, disk }),
          isolation,
        ),
    );
  }
}

async function printer(socket: string, paper: string): Promise<Running> {
  forget(socket);
  const running = new Running([Deno.execPath(), "run", "-A", PRINTER, socket, paper]);
  await listens(socket);
  return running;
}

for (const isolation of ["process", "inline"] as const) {
  Deno.test(`vhost-user: a printer is killed again and again while it prints: no line comes twice, and none is lost in silence (${isolation}) #core:vhost_user_once`, async () => {
    using folder = new Folder();
    const [socket, paper] = [folder.of("socket"), folder.of("paper")];
    await using stack = new AsyncDisposableStack();
    let program = stack.use(await printer(socket, paper));
    await using kernel = await openKernel({
      machine: "vhost-user",
      vhostUser: [{ kind: "console", socket }],
      isolation,
      restarts: 10,
    });
    const { client } = await kernel.attachFirst("console");
    const port = await client.find(0);
    assert(port);
    await port.open();
    const printed: string[] = [], unknown: string[] = [];
    const over = new AbortController();
    let next = 0;
    const print = async () => {
      while (!over.signal.aborted) {
        const line = `${next++}`;
        try {
          await port.write(new TextEncoder().encode(`${line}\n`));
          printed.push(line);
        } catch (error) {
          assert(error instanceof RequestError, String(error));
          unknown.push(line);
        }
      }
    };
    const work = Promise.all(Array.from({ length: 8 }, print));
    for (let kills = 0; kills <= 3; kills++) {
      const before = printed.length;
      assert(await soon(() => printed.length > before + 50));
      if (kills === 3) break;
      await program.kill();
      program = stack.use(await printer(socket, paper));
    }
    over.abort();
    await work;
    assert(unknown.length > 0, "it was never killed while it printed");
    const lines = Deno.readTextFileSync(paper).split("\n").slice(0, -1);
    assertEquals(new Set(lines).size, lines.length, "a line came twice");
    const found = new Set(lines);
    assertEquals(printed.filter((line) => !found.has(line)), []);
    const known = new Set([...printed, ...unknown]);
    assertEquals(lines.filter((line) => !known.has(line)), []);
  });
}
