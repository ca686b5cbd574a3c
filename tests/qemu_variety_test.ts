/**
 * What QEMU's devices can be besides: many queues, other sizes and places, threads of their own, backends that fail,
 * wait, stop or change their size.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { RequestError } from "../core/bus/request_error.ts";
import { Status } from "../core/bus/lane.ts";
import type { Device } from "../classes.ts";
import type { DeviceDescription } from "../core/kernel/device.ts";
import { bit, Feature, has } from "../core/virtio/features.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { eachQemuTest, newerQemuTest, pattern, qemuTest } from "./support/machine.ts";
import {
  agrees,
  differsAt,
  FileDisk,
  openQemuKernel,
  qmpOf,
  useDisk,
  useEntropy,
} from "./support/qemu.ts";

const CAPACITY = 2 ** 20;
const ISOLATIONS = ["process", "inline"] as const;

/** A disk out of the ordinary. */
interface Variety {
  /** For `virtio-blk-pci`. */
  readonly options: string;
  /** More arguments, before the disk. */
  readonly before?: readonly string[];
  readonly machine?: "q35" | "pc";
  /** Whether only a newer QEMU has it. */
  readonly newer?: boolean;
  /** What must be so afterwards. */
  readonly check?: (view: DeviceDescription) => void;
}

const PORT = ["-device", "pcie-root-port,id=root,chassis=1"];

function sized(size: number): (view: DeviceDescription) => void {
  return ({ queues }) => assertEquals(queues.map((queue) => queue.size), queues.map(() => size));
}

function vectors(...wanted: number[]): (view: DeviceDescription) => void {
  return ({ interrupts, queues }) => {
    assertEquals(interrupts, "msix");
    assertEquals(queues.map(({ vector }) => vector), wanted);
    for (const { name, completed } of queues) assert(completed! > 0, `${name} is idle`);
  };
}

function accepts(feature: number): (view: DeviceDescription) => void {
  return ({ features }) => assert(has(BigInt(features.accepted), feature), features.accepted);
}

const VARIETY: Readonly<Record<string, Variety>> = {
  "one queue": { options: "num-queues=1", check: vectors(1) },
  "two queues": { options: "num-queues=2", check: vectors(1, 2) },
  "four queues, a vector for each": { options: "num-queues=4", check: vectors(1, 2, 3, 4) },
  "four queues, packed": { options: "num-queues=4,packed=on", check: vectors(1, 2, 3, 4) },
  "four queues, one vector for them": {
    options: "num-queues=4,vectors=2",
    check: vectors(1, 1, 1, 1),
  },
  "four queues, three vectors for them": {
    options: "num-queues=4,vectors=4",
    check: vectors(1, 2, 3, 1),
  },
  "more queues than are of use": { options: "num-queues=9", check: vectors(1, 2, 3, 4) },
  "a thread of its own": {
    before: ["-object", "iothread,id=thread"],
    options: "num-queues=2,iothread=thread",
    check: vectors(1, 2),
  },
  "a thread of its own that does not poll": {
    before: ["-object", "iothread,id=thread,poll-max-ns=0"],
    options: "packed=on,iothread=thread",
  },
  "no ioeventfd": { options: "ioeventfd=off" },
  "no ioeventfd, packed": { options: "ioeventfd=off,packed=on" },
  "a page for each doorbell": {
    options: "page-per-vq=on,num-queues=4",
    check: vectors(1, 2, 3, 4),
  },
  "a doorbell port besides": { options: "modern-pio-notify=on" },
  "queues of 4": { options: "queue-size=4,seg-max-adjust=off", check: sized(4) },
  "queues of 64": { options: "queue-size=64", check: sized(64) },
  "queues of 256": { options: "queue-size=256", check: sized(256) },
  "queues of 1024": { options: "queue-size=1024", check: sized(256) },
  "packed queues of 16": { options: "queue-size=16,packed=on", check: sized(16) },
  "an IOMMU that maps nothing": {
    options: "iommu_platform=on",
    check: accepts(Feature.ACCESS_PLATFORM),
  },
  "an IOMMU that maps nothing, packed, a page for each doorbell": {
    options: "iommu_platform=on,packed=on,page-per-vq=on",
    check: accepts(Feature.ACCESS_PLATFORM),
  },
  "behind a root port": { before: PORT, options: "bus=root" },
  "behind a root port, four queues": {
    before: PORT,
    options: "bus=root,num-queues=4",
    check: vectors(1, 2, 3, 4),
  },
  "behind a bridge": {
    before: ["-device", "pci-bridge,id=bridge,chassis_nr=1"],
    options: "bus=bridge,addr=3",
    machine: "pc",
  },
  "a cache that writes through": { options: "write-cache=off" },
  "in order #core:in_order": {
    options: "in_order=on,num-queues=2",
    newer: true,
    check: accepts(Feature.IN_ORDER),
  },
  "in order, packed #core:in_order": {
    options: "in_order=on,packed=on,num-queues=2",
    newer: true,
    check: accepts(Feature.IN_ORDER),
  },
  "blocks of 4096 bytes": { options: "logical_block_size=512,physical_block_size=4096" },
};

for (const [name, variety] of Object.entries(VARIETY)) {
  const { options, before = [], machine = "q35", newer, check } = variety;
  (newer ? newerQemuTest : eachQemuTest)(`blk works: ${name} (${machine})`, async () => {
    for (const isolation of ISOLATIONS) {
      using file = new FileDisk("disk", CAPACITY, `,disable-legacy=on,${options}`);
      {
        await using kernel = await openQemuKernel(
          [...before, ...file.arguments],
          { isolation },
          machine,
        );
        const blk = await kernel.attachFirst("block");
        await useDisk(blk.client, file.wanted);
        const view = await agrees(kernel, blk, { id: "disk" });
        assertEquals([view.transport, view.restarts], ["modern", 0]);
        check?.(view);
      }
      assertEquals(file.differsAt(), -1);
    }
  });
}

newerQemuTest("blk works: a thread for each of four queues #core:qemu_11", async () => {
  const mapping = [{ iothread: "one", vqs: [0, 2] }, { iothread: "two", vqs: [1, 3] }];
  for (const isolation of ISOLATIONS) {
    for (const packed of [false, true]) {
      using file = new FileDisk("disk", CAPACITY, "");
      const device = {
        ...{ driver: "virtio-blk-pci", id: "disk", drive: "disk", packed, "num-queues": 4 },
        "iothread-vq-mapping": mapping,
      };
      {
        await using kernel = await openQemuKernel([
          ...mapping.flatMap(({ iothread }) => ["-object", `iothread,id=${iothread}`]),
          ...[...file.arguments.slice(0, 2), "-device", JSON.stringify(device)],
        ], { isolation });
        const blk = await kernel.attachFirst("block");
        await useDisk(blk.client, file.wanted);
        vectors(1, 2, 3, 4)(await agrees(kernel, blk, { id: "disk" }));
      }
      assertEquals(file.differsAt(), -1);
    }
  }
});

qemuTest("blk works: four queues by an interrupt pin, by one vector, and polled", async () => {
  for (const interrupts of ["intx", "shared", "polling"] as const) {
    for (const isolation of ISOLATIONS) {
      using file = new FileDisk("disk", CAPACITY, ",num-queues=4");
      {
        await using kernel = await openQemuKernel(file.arguments, { isolation, interrupts });
        const blk = await kernel.attachFirst("block");
        await useDisk(blk.client, file.wanted);
        const view = await agrees(kernel, blk, { id: "disk" });
        assertEquals(view.interrupts, interrupts);
        assert(view.queues.length === 4 && view.queues.every(({ completed }) => completed! > 0));
      }
      assertEquals(file.differsAt(), -1);
    }
  }
});

qemuTest(
  "blk: disks of 64 queues leave vectors to all others, again and again #core:vectors_shared",
  async () => {
    const queues = [64, 64, 1, 2, 1, 1, 4, 1];
    await using kernel = await openQemuKernel(
      queues.flatMap((count, i) => [
        ...["-blockdev", `driver=null-co,size=${CAPACITY},read-zeroes=on,node-name=n${i}`],
        ...["-device", `virtio-blk-pci,drive=n${i},num-queues=${count}`],
      ]),
      { isolation: "inline" },
    );
    const disks = kernel.nodes.filter(({ manifest }) => manifest?.class === "block");
    for (let round = 0; round < 3; round++) {
      const devices = await Promise.all(
        disks.map(({ function: { address } }) => kernel.attach(address)),
      );
      for (const [i, device] of devices.entries()) {
        const { client } = device as Device<"block">;
        await Promise.all(Array.from({ length: 32 }, (_, j) => client.read(4096 * j, 4096)));
        vectors(...[1, 2, 3, 4].slice(0, queues[i]))(await device.describe());
        await device[Symbol.asyncDispose]();
      }
    }
  },
);

qemuTest("blk: a read-only disk says so, is read, and not written", async () => {
  using file = new FileDisk("disk", CAPACITY, "");
  Deno.writeFileSync(file.file, file.wanted.fill(0xa5));
  const read = file.arguments[1]!.replace("node-name=", "read-only=on,node-name=");
  await using kernel = await openQemuKernel([file.arguments[0]!, read, ...file.arguments.slice(2)]);
  const { client } = await kernel.attachFirst("block");
  assert(client.readOnly);
  assertEquals(differsAt(await client.read(0, CAPACITY), file.wanted), -1);
  await assertRejects(() => client.write(0, new Uint8Array(512)), TypeError, "read-only");
});

for (const interrupts of ["msix", "shared", "intx"] as const) {
  for (const transport of ["modern", "legacy"] as const) {
    qemuTest(`blk: its size changes while it is in use (${transport}, ${interrupts})`, async () => {
      for (const isolation of ISOLATIONS) {
        const mode = transport === "modern" ? "disable-legacy=on" : "disable-modern=on";
        using file = new FileDisk("disk", CAPACITY, `,disable-legacy=off,${mode}`);
        await using kernel = await openQemuKernel(file.arguments, { interrupts, isolation });
        const blk = await kernel.attachFirst("block");
        const { client } = blk;
        let over = false;
        let rounds = 0;
        const load = (async () => {
          for (; !over; rounds++) {
            const bytes = pattern(4096, rounds);
            await client.write(rounds % 16 * 4096, bytes);
            assertEquals(differsAt(await client.read(rounds % 16 * 4096, 4096), bytes), -1);
          }
        })();
        for (const size of [2 * CAPACITY, 3 * CAPACITY + 512, CAPACITY / 2]) {
          qmpOf(kernel).execute("block_resize", { "node-name": "disk", size });
          assert(await soon(() => client.capacity === size), `it is still ${client.capacity}`);
          const last = pattern(1024, size);
          await client.write(size - 1024, last);
          await assertRejects(() => client.read(size - 512, 1024), RangeError, "the device ends");
          await client.flush();
          const bytes = Deno.readFileSync(file.file);
          assertEquals(bytes.length, size);
          assertEquals(differsAt(bytes.subarray(size - 1024), last), -1);
        }
        over = true;
        await load;
        assert(rounds > 0);
        const view = await agrees(kernel, blk, { id: "disk" });
        assertEquals([view.interrupts, view.transport], [interrupts, transport]);
      }
    });
  }
}

/** A disk whose requests of one kind fail at one sector. */
function failingDisk(file: string, error: string, options: string): string[] {
  return [
    "-blockdev",
    `driver=blkdebug,node-name=disk,image.driver=file,image.filename=${file},` +
    `inject-error.0.event=none,${
      error.split(",").map((each) => `inject-error.0.${each}`).join(",")
    }`,
    "-device",
    `virtio-blk-pci,id=disk,drive=disk,disable-legacy=on${options}`,
  ];
}

for (const isolation of ISOLATIONS) {
  qemuTest(`blk: a sector that cannot be read fails its request alone (${isolation})`, async () => {
    using file = new FileDisk("disk", CAPACITY, "");
    const args = failingDisk(
      file.file,
      "iotype=read,sector=100,errno=5",
      ",num-queues=2,request-merging=off",
    );
    await using kernel = await openQemuKernel(args, { isolation });
    const blk = await kernel.attachFirst("block");
    const { client } = blk;
    const bytes = pattern(CAPACITY, 3);
    await client.write(0, bytes);
    const reads = await Promise.allSettled(
      Array.from({ length: 128 }, (_, i) => client.read(i * 4096, 4096)),
    );
    for (const [i, end] of reads.entries()) {
      if (end.status === "fulfilled") {
        assertEquals(differsAt(end.value, bytes.subarray(i * 4096, i * 4096 + 4096)), -1);
        continue;
      }
      assertEquals(i, 12); // sector 100
      assert(end.reason instanceof RequestError && end.reason.status === Status.failed);
    }
    assertEquals(reads.filter(({ status }) => status === "rejected").length, 1);
    // A request in several pieces fails as a whole.
    await assertRejects(() => client.read(0, CAPACITY), RequestError, "reported an error");
    assertEquals(await client.read(101 * 512, 512), bytes.subarray(101 * 512, 102 * 512));
    const view = await agrees(kernel, blk, { id: "disk" });
    assertEquals(view.restarts, 0);
    assertEquals(differsAt(Deno.readFileSync(file.file), bytes), -1);
  });

  qemuTest(
    `blk: a machine that stops at an error goes on with the write (${isolation})`,
    async () => {
      using file = new FileDisk("disk", CAPACITY, "");
      const args = failingDisk(file.file, "iotype=write,once=on,errno=28", ",werror=stop");
      await using kernel = await openQemuKernel(args, { isolation });
      const qmp = qmpOf(kernel);
      const blk = await kernel.attachFirst("block");
      const bytes = pattern(4096, 9);
      let ended = false;
      const write = blk.client.write(8192, bytes).then(() => ended = true);
      assert(await soon(() => qmp.event("BLOCK_IO_ERROR") !== undefined), "no error");
      assert(await soon(() => qmp.event("STOP") !== undefined), "it does not stop");
      const { status } = qmp.execute("query-status") as { status: string };
      assertEquals([status, ended], ["io-error", false]);
      qmp.execute("cont");
      await write;
      assertEquals(differsAt(await blk.client.read(8192, 4096), bytes), -1);
      assertEquals((await agrees(kernel, blk, { id: "disk" })).restarts, 0);
      file.wanted.set(bytes, 8192);
      assertEquals(file.differsAt(), -1);
    },
  );

  qemuTest(
    `blk: a slow disk and a throttled one answer all in the end (${isolation})`,
    async () => {
      const slow: readonly (readonly string[])[] = [
        ["-blockdev", `driver=null-co,size=${CAPACITY},latency-ns=20000000,node-name=disk`],
        [
          ...["-object", "throttle-group,id=group,x-iops-total=200"],
          ...["-blockdev", `driver=null-co,size=${CAPACITY},node-name=fast`],
          ...["-blockdev", "driver=throttle,throttle-group=group,file=fast,node-name=disk"],
        ],
      ];
      for (const backend of slow) {
        for (const interrupts of ["msix", "intx", "polling"] as const) {
          await using kernel = await openQemuKernel(
            [...backend, "-device", "virtio-blk-pci,id=disk,drive=disk,disable-legacy=on"],
            { isolation, interrupts },
          );
          const blk = await kernel.attachFirst("block");
          await Promise.all(
            Array.from({ length: 30 }, (_, i) => blk.client.write(i * 512, new Uint8Array(512))),
          );
          const view = await agrees(kernel, blk, { id: "disk" });
          assertEquals([view.queues[0]!.completed, view.restarts], [30, 0]);
        }
      }
    },
  );

  qemuTest(
    `rng: one that is out of bytes for a while gives them later (${isolation})`,
    async () => {
      for (const interrupts of ["msix", "intx", "polling"] as const) {
        await using kernel = await openQemuKernel(
          ["-device", "virtio-rng-pci,id=rng,disable-legacy=on,max-bytes=4096,period=50"],
          { isolation, interrupts },
        );
        const random = await kernel.attachFirst("entropy");
        const bytes = await random.client.read(12_000);
        assertEquals(bytes.length, 12_000);
        assertEquals(new Set(bytes).size, 256);
        const many = await Promise.all(Array.from({ length: 30 }, () => random.client.read(64)));
        assertEquals(new Set(many.map((each) => each.toHex())).size, many.length);
        assertEquals((await random.describe()).restarts, 0);
      }
    },
  );
}

qemuTest("rng works: packed, behind a root port, without ioeventfd, with an IOMMU", async () => {
  const forms = ["packed=on", "bus=root", "ioeventfd=off", "iommu_platform=on,packed=on"];
  for (const form of forms) {
    for (const isolation of ISOLATIONS) {
      await using kernel = await openQemuKernel(
        [...PORT, "-device", `virtio-rng-pci,id=rng,disable-legacy=on,${form}`],
        { isolation },
      );
      const random = await kernel.attachFirst("entropy");
      await useEntropy(random.client);
      const view = await agrees(kernel, random, { id: "rng", descriptors: 1 });
      assertEquals(view.queues[0]!.kind, form.includes("packed") ? "packed" : "split");
    }
  }
});

qemuTest("blk: a feature that the device insists on, and that is switched off", async () => {
  await using kernel = await openQemuKernel([
    ...["-blockdev", `driver=null-co,size=${CAPACITY},node-name=disk`],
    ...["-device", "virtio-blk-pci,id=disk,drive=disk,disable-legacy=on,iommu_platform=on"],
  ], { without: bit(Feature.ACCESS_PLATFORM), isolation: "inline" });
  await assertRejects(() => kernel.attachFirst("block"), Error, "[D-20]");
  assertEquals(kernel.devices, []);
});
