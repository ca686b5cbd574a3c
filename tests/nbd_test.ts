/**
 * The NBD server before programs that others wrote: libnbd's, QEMU's and fio.
 *
 * @module
 */

import type { BlockClient } from "../classes/block/mod.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { DiskModel } from "@virtio/blk/model";
import { DRIVERS } from "../drivers.ts";
import { openKernel, type OpenOptions } from "../mod.ts";
import { NbdServer, nbdUri } from "../nbd/mod.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { listening } from "./support/listening.ts";
import { pattern, withoutQemu } from "./support/machine.ts";
import { testWith, withoutPrograms } from "./support/needs.ts";
import { nbdsh, output as run, toolTest } from "./support/nbd.ts";
import { differsAt, FileDisk, openQemuKernel } from "./support/qemu.ts";
import { ScsiFileDisk } from "./support/scsi.ts";
import { patience } from "./support/patience.ts";
import { complaints } from "./support/program.ts";

const CAPACITY = 16 << 20;

/** A machine with one disk. */
function simulated(): OpenOptions {
  return {
    machine: "simulated",
    devices: [new DiskModel({ capacity: CAPACITY, serial: "NBD" })],
    isolation: "inline",
    drivers: DRIVERS,
  };
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
    await using kernel = await openKernel({ ...simulated(), ...options });
    const { client } = await kernel.attachFirst("block");
    const { readOnly = false } = options;
    using server = new NbdServer(client, { socket, loop: kernel.loop, readOnly });
    await use({ uri: `nbd+unix:///?socket=${socket}`, client, server, folder });
    assert(await soon(() => server.clients === 0), `${server.clients} clients stay`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

toolTest("nbdinfo", "nbd: nbdinfo finds size, abilities and one extent #nbd:tools", async () => {
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
  "nbd: nbdcopy brings an image there and back, over many connections #nbd:tools",
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

toolTest("qemu-img", "nbd: qemu-img compares, converts and maps #nbd:tools", async () => {
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

toolTest("fio", "nbd: fio finds no wrong byte #nbd:tools", async () => {
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

toolTest("mke2fs", "nbd: a file system goes through it whole #nbd:tools", async () => {
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

toolTest(
  "nbdsh",
  "nbd: libnbd gets one answer to each odd request, and its connection goes on " +
    "#nbd:payload_limit #nbd:block_status #nbd:errors #nbd:flags",
  async () => {
    await serving(async ({ uri }) => {
      const found = await nbdsh(
        uri,
        `
h.add_meta_context("base:allocation")
h.connect_uri(uri)
size, extents = h.get_size(), []
status = lambda n, o: h.block_status(n, o, lambda c, o, e, err: extents.append(list(e)))
answers = [
    tried(h.pwrite, bytes((32 << 20) + 512), 0), tried(h.pread, (32 << 20) + 512, 0),
    tried(status, 0, 0), tried(status, 512, size), tried(status, size, 0),
    tried(h.pread, 0, 0), tried(h.pwrite, b"", 0), tried(h.zero, 0, 0), tried(h.trim, 0, 0),
    tried(h.pread, 512, 0, nbd.CMD_FLAG_FUA), tried(h.pread, 512, 0, 0x8000),
    tried(h.pread, 512, 2**63 - 512), tried(h.pwrite, bytes(512), size), tried(h.trim, 512, size),
    tried(h.pread, 512, 0),
]
print(json.dumps([answers, extents]))
`,
      );
      const answers = ["EINVAL", "EINVAL", "EINVAL", "EINVAL", "ok", "ok", "ok", "ok", "ok"];
      answers.push("ok", "EINVAL", "EINVAL", "ENOSPC", "EINVAL", "ok");
      assertEquals(found, [answers, [[CAPACITY, 0]]]);
    });
  },
);

toolTest("nbdsh", "nbd: libnbd asks for names of every length #nbd:long_name", async () => {
  await serving(async ({ uri }) => {
    const found = await nbdsh(
      uri,
      `
h.set_opt_mode(True)
h.connect_uri(uri)
answers = []
for name in ("x" * 4096, "é" * 2048, "nope", "disk ", ""):
    h.set_export_name(name)
    answers.append([tried(h.opt_info), h.aio_is_negotiating()])
print(json.dumps([answers, tried(h.opt_go)]))
`,
    );
    const unknown = Array.from({ length: 4 }, () => ["ENOENT", true]);
    assertEquals(found, [[...unknown, ["ok", true]], "ok"]);
  });
});

toolTest(
  "nbdinfo",
  "nbd: a URI finds its export, whatever name and path it has #nbd:uri",
  async () => {
    const folder = Deno.makeTempDirSync({ prefix: "virtio-nbd-" });
    try {
      await using kernel = await openKernel(simulated());
      const { client } = await kernel.attachFirst("block");
      for (const name of ["disk", "a b/c", "é?&#%日本"]) {
        const socket = `${folder}/${name.length} a&b=c+d#?%é.sock`;
        using server = new NbdServer(client, { socket, loop: kernel.loop, name });
        assertEquals((await run("nbdinfo", "--size", nbdUri(name, socket))).trim(), `${CAPACITY}`);
        assert(await soon(() => server.clients === 0));
      }
      const serve = (name: string) =>
        new NbdServer(client, { socket: `${folder}/s`, loop: kernel.loop, name });
      for (const none of ["x".repeat(4097), "a\0b"]) assertThrows(() => serve(none), RangeError);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
);

toolTest("nbdsh", "nbd: a disk is resized under its clients #nbd:resize #nbd:empty", async () => {
  const model = new DiskModel({ capacity: CAPACITY });
  await serving(async ({ uri, client }) => {
    const ask = async () =>
      await nbdsh(
        uri,
        `
h.connect_uri(uri)
size = h.get_size()
print(json.dumps([size, tried(h.pread, 512, size - 512), tried(h.pread, 512, size)]))
`,
      );
    assertEquals(await ask(), [CAPACITY, "ok", "EINVAL"]);
    for (const size of [2 * CAPACITY, CAPACITY / 2]) {
      model.resize(size);
      assert(await soon(() => client.capacity === size));
      assertEquals(await ask(), [size, "ok", "EINVAL"]);
    }
    model.resize(0);
    assert(await soon(() => client.capacity === 0));
    assertEquals((await run("nbdinfo", "--size", uri)).trim(), "0");
  }, { devices: [model] });
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
    const line = `blk serve --nbd ${socket} --name my/disk --read-only --device 00:02.0 ` +
      "--machine simulated --json";
    const child = new Deno.Command(Deno.execPath(), {
      signal: patience(),
      args: ["run", "--no-prompt", "--allow-ffi", program, ...line.split(" ")],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const output = child.output();
    assert(await soon(() => listening(socket)), "it does not listen");
    const info = await run("nbdinfo", `nbd+unix:///my%2Fdisk?socket=${socket}`);
    assertStringIncludes(info, "is_read_only: true");
    child.kill("SIGINT");
    const { code, stdout, stderr } = await output;
    assertEquals([code, complaints(new TextDecoder().decode(stderr))], [130, ""]);
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
  "nbd: a unit of a SCSI adapter is served as any disk is",
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
