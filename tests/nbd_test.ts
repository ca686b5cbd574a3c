/**
 * The NBD server before programs that others wrote: libnbd's, QEMU's and fio.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DiskModel } from "@virtio/blk/model";
import { DRIVERS } from "../drivers.ts";
import { type BlockClient, openKernel, type OpenOptions } from "../mod.ts";
import { NbdServer } from "../nbd/mod.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern, withoutQemu } from "./support/machine.ts";
import { testWith, withoutPrograms } from "./support/needs.ts";
import { differsAt, FileDisk, openQemuKernel } from "./support/qemu.ts";
import { ScsiFileDisk } from "./support/scsi.ts";
import { patience } from "./support/patience.ts";

const CAPACITY = 16 << 20;

/** A test that needs a program, and says so where it is not there. */
function toolTest(tool: string, name: string, fn: () => Promise<void>): void {
  testWith(withoutPrograms(tool), name, fn);
}

async function run(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { signal: patience(), args })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert(success, `${program} ${args.join(" ")}: ${text(stderr)}${text(stdout)}`);
  return text(stdout);
}

interface Bench {
  readonly uri: string;
  readonly client: BlockClient;
  readonly server: NbdServer;
  readonly folder: string;
}

/** Serves the disk of a machine while `use` runs. */
async function serving(
  use: (bench: Bench) => Promise<void>,
  options: OpenOptions & { readonly readOnly?: boolean } = {},
): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-nbd-" });
  try {
    const socket = `${folder}/socket`;
    await using kernel = await openKernel({
      machine: "simulated",
      devices: [new DiskModel({ capacity: CAPACITY, serial: "NBD" })],
      isolation: "inline",
      drivers: DRIVERS,
      ...options,
    });
    const { client } = await kernel.attachFirst("block");
    const { readOnly = false } = options;
    using server = new NbdServer(client, { socket, loop: kernel.loop, readOnly });
    await use({ uri: `nbd+unix:///?socket=${socket}`, client, server, folder });
    assert(await soon(() => server.clients === 0), `${server.clients} clients stay`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

toolTest("nbdinfo", "nbd: nbdinfo finds size, abilities and one extent", async () => {
  await serving(async ({ uri }) => {
    const [info] = (JSON.parse(await run("nbdinfo", "--json", uri)) as {
      exports: Record<string, unknown>[];
    }).exports;
    const { "export-size": size, is_read_only, can_trim, can_zero, can_fua, can_multi_conn } =
      info!;
    assertEquals([size, is_read_only], [CAPACITY, false]);
    assertEquals([can_trim, can_zero, can_fua, can_multi_conn], [true, true, true, true]);
    assertEquals(info!.block_size_minimum, 512);
    const map = JSON.parse(await run("nbdinfo", "--json", "--map", uri));
    assertEquals(map, [{ offset: 0, length: CAPACITY, type: 0, description: "data" }]);
    assertStringIncludes(await run("nbdinfo", "--list", uri), 'export="disk"');
  });
  await serving(async ({ uri }) => {
    assertStringIncludes(await run("nbdinfo", uri), "is_read_only: true");
  }, { readOnly: true });
});

toolTest(
  "nbdcopy",
  "nbd: nbdcopy brings an image there and back, over many connections",
  async () => {
    await serving(async ({ uri, client, folder }) => {
      const image = pattern(CAPACITY, 1);
      image.fill(0, 1 << 20, 3 << 20);
      const [there, back] = [`${folder}/there`, `${folder}/back`];
      Deno.writeFileSync(there, image);
      await run("nbdcopy", "--connections=4", "--flush", there, uri);
      assertEquals(differsAt(await client.read(0, CAPACITY), image), -1);
      await run("nbdcopy", "--connections=4", uri, back);
      assertEquals(differsAt(Deno.readFileSync(back), image), -1);
    });
  },
);

toolTest("qemu-img", "nbd: qemu-img compares, converts and maps", async () => {
  await serving(async ({ uri, client, folder }) => {
    const image = `${folder}/image`;
    Deno.writeFileSync(image, pattern(CAPACITY, 2));
    await run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, uri);
    assertStringIncludes(
      await run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, uri),
      "identical",
    );
    await client.write(4096, pattern(512, 3));
    const { code } = await new Deno.Command("qemu-img", {
      signal: patience(),
      args: ["compare", "-f", "raw", "-F", "raw", image, uri],
    }).output();
    assertEquals(code, 1);
  });
});

toolTest("fio", "nbd: fio finds no wrong byte", async () => {
  await serving(async ({ uri, folder }) => {
    const output = `${folder}/fio.json`;
    await run(
      "fio",
      "--name=job",
      "--ioengine=nbd",
      `--uri=${uri}`,
      "--rw=randrw",
      "--bsrange=512-128k",
      "--bs_unaligned=0",
      "--iodepth=16",
      "--size=8M",
      "--verify=crc32c",
      "--verify_state_save=0",
      "--output-format=json",
      `--output=${output}`,
    );
    const [job] = JSON.parse(Deno.readTextFileSync(output)).jobs;
    assertEquals(job.error, 0);
    assert(job.read.total_ios > 0 && job.write.total_ios > 0);
  });
});

toolTest("mke2fs", "nbd: a file system goes through it whole", async () => {
  await serving(async ({ uri, folder }) => {
    const [image, back] = [`${folder}/image`, `${folder}/back`];
    Deno.writeFileSync(image, new Uint8Array(0));
    Deno.truncateSync(image, CAPACITY);
    const file = `${folder}/file`;
    Deno.writeFileSync(file, pattern(100_000, 5));
    await run("mke2fs", "-q", "-t", "ext4", image);
    await run("debugfs", "-w", "-R", `write ${file} file`, image);
    await run("nbdcopy", image, uri);
    await run("nbdcopy", uri, back);
    await run("e2fsck", "-fn", back);
    await run("debugfs", "-R", `dump file ${folder}/out`, back);
    assertEquals(differsAt(Deno.readFileSync(`${folder}/out`), pattern(100_000, 5)), -1);
  });
});

Deno.test("nbd: clients that break off leave nothing behind", async () => {
  await serving(async ({ uri, server }) => {
    const path = uri.split("socket=")[1]!;
    for (const bytes of [0, 4, 20]) {
      const client = await Deno.connect({ transport: "unix", path });
      await client.write(new Uint8Array(bytes).fill(3));
      client.close();
    }
    assert(await soon(() => server.clients === 0));
    const garbage = await Deno.connect({ transport: "unix", path });
    await garbage.write(new Uint8Array(1000).fill(255));
    const into = new Uint8Array(64);
    // It is greeted, and shown the door.
    while (await garbage.read(into).catch(() => null) !== null);
    garbage.close();
  });
});

toolTest(
  "nbdinfo",
  "blk serve: serves until it is interrupted, and takes its socket away",
  async () => {
    const folder = Deno.makeTempDirSync({ prefix: "virtio-nbd-" });
    const socket = `${folder}/socket`;
    const program = new URL("../main.ts", import.meta.url).pathname;
    const line = `blk serve --nbd ${socket} --name my/disk --read-only --machine simulated --json`;
    const child = new Deno.Command(Deno.execPath(), {
      signal: patience(),
      args: ["run", "--no-prompt", "--allow-ffi", program, ...line.split(" ")],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const output = child.output();
    assert(await soon(() => exists(socket)), "it does not listen");
    const info = await run("nbdinfo", `nbd+unix:///my%2Fdisk?socket=${socket}`);
    assertStringIncludes(info, "is_read_only: true");
    child.kill("SIGINT");
    const { code, stdout, stderr } = await output;
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
    const { uri, readOnly } = JSON.parse(new TextDecoder().decode(stdout));
    assertEquals([uri, readOnly], [`nbd+unix:///my%2Fdisk?socket=${socket}`, true]);
    assert(!exists(socket));
    Deno.removeSync(folder);
  },
);

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path) !== undefined;
  } catch {
    return false;
  }
}

testWith(
  withoutQemu ?? withoutPrograms("nbdcopy"),
  "nbd: QEMU's disk is served, and its file has what clients wrote",
  async () => {
    for (const isolation of ["inline", "process"] as const) {
      using file = new FileDisk("disk", CAPACITY, ",num-queues=2");
      await serving(async ({ uri, folder }) => {
        Deno.writeFileSync(`${folder}/image`, pattern(CAPACITY, 7));
        await run("nbdcopy", "--flush", `${folder}/image`, uri);
        file.wanted.set(pattern(CAPACITY, 7));
        assertEquals(file.differsAt(), -1);
      }, { machine: "qemu", qemu: { arguments: file.arguments }, isolation });
    }
  },
);

testWith(
  withoutQemu ?? withoutPrograms("nbdcopy"),
  "nbd: a unit of a SCSI host is served as any disk is",
  async () => {
    const folder = Deno.makeTempDirSync({ prefix: "virtio-nbd-" });
    try {
      using file = new ScsiFileDisk("disk", CAPACITY, { target: 2, lun: 1 });
      {
        await using kernel = await openQemuKernel([
          ...["-device", "virtio-scsi-pci,id=scsi"],
          ...file.arguments,
        ]);
        const { client } = await kernel.attachFirst("scsi");
        const disk = await client.disk(file.address);
        const socket = `${folder}/socket`;
        using _server = new NbdServer(disk, { socket, loop: kernel.loop, readOnly: false });
        const uri = `nbd+unix:///?socket=${socket}`;
        const image = pattern(CAPACITY, 8);
        image.fill(0, 1 << 20, 3 << 20);
        Deno.writeFileSync(`${folder}/image`, image);
        await run("nbdcopy", "--flush", `${folder}/image`, uri);
        await run("nbdcopy", uri, `${folder}/back`);
        file.wanted.set(image);
        assertEquals(differsAt(Deno.readFileSync(`${folder}/back`), image), -1);
      }
      assertEquals(file.differsAt(), -1);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
);
