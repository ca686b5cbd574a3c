/**
 * Both drivers on QEMU's devices in all their forms: every transport, ring, kind of interrupt and host, with and
 * without the features of the ring.
 *
 * @module
 */

import type { Device } from "../classes.ts";
import { assert, assertEquals } from "@std/assert";
import type { Isolation } from "../core/kernel/driver_host.ts";
import { type InterruptKind, INTERRUPTS } from "../core/binding/interrupt_kind.ts";
import { bit, Feature } from "../core/virtio/features.ts";
import "./support/libc.ts";
import { eachQemuTest, qemuTest } from "./support/machine.ts";
import { agrees, FileDisk, openQemuKernel, useDisk, useEntropy } from "./support/qemu.ts";

const CAPACITY = 2 ** 20;

/** A form that QEMU gives a device, and what must come of it. */
interface Form {
  readonly options: string;
  /** Whether the kernel is told to use legacy registers. */
  readonly legacy: boolean;
  readonly transport: "modern" | "legacy";
  readonly ring: "split" | "packed";
}

const FORMS: Readonly<Record<string, Form>> = {
  modern: { options: "disable-legacy=on", legacy: false, transport: "modern", ring: "split" },
  packed: {
    options: "disable-legacy=on,packed=on",
    legacy: false,
    transport: "modern",
    ring: "packed",
  },
  both: {
    options: "disable-legacy=off,disable-modern=off",
    legacy: false,
    transport: "modern",
    ring: "split",
  },
  old: {
    options: "disable-legacy=off,disable-modern=on",
    legacy: false,
    transport: "legacy",
    ring: "split",
  },
  transitional: {
    options: "disable-legacy=off,disable-modern=off",
    legacy: true,
    transport: "legacy",
    ring: "split",
  },
};

/** Features of the ring that a device may go without. */
const CHOICES = [true, false].flatMap((eventIndex) =>
  [true, false].map((indirect) => ({ eventIndex, indirect }))
);

interface Setup {
  readonly machine: "q35" | "pc";
  readonly isolation: Isolation;
  readonly interrupts: InterruptKind;
  readonly eventIndex: boolean;
  readonly indirect: boolean;
  readonly legacy: boolean;
}

/** What a newer QEMU is asked, too: each board, host and two kinds of interrupt. */
const ON_NEWER = ["q35 msix process", "pc intx inline"];

for (const machine of ["q35", "pc"] as const) {
  for (const isolation of ["process", "inline"] as const) {
    for (const interrupts of INTERRUPTS) {
      const forms = Object.keys(FORMS).join(", ");
      const newer = ON_NEWER.includes(`${machine} ${interrupts} ${isolation}`);
      (newer ? eachQemuTest : qemuTest)(
        `blk and rng: ${forms}, with and without event index and indirect descriptors ` +
          `(${machine}, ${interrupts}, ${isolation})`,
        async () => {
          for (const choice of CHOICES) {
            for (const legacy of [false, true]) {
              await check({ machine, isolation, interrupts, legacy, ...choice });
            }
          }
        },
      );
    }
  }
}

/** All forms of one machine side by side. */
async function check(setup: Setup): Promise<void> {
  const { machine, isolation, interrupts, eventIndex, indirect, legacy } = setup;
  using stack = new DisposableStack();
  const places = Object.entries(FORMS).filter(([, form]) => form.legacy === legacy)
    .map(([name, form], i) => {
      const at = (slot: number) => ({
        place: `addr=${slot.toString(16)}`,
        address: `0000:00:${slot.toString(16).padStart(2, "0")}.0`,
      });
      const disk = at(4 + 2 * i);
      const random = at(5 + 2 * i);
      const file = new FileDisk(`${name}-blk`, CAPACITY, `,${disk.place},${form.options}`);
      const rng = `virtio-rng-pci,id=${name}-rng,${random.place},${form.options}`;
      return { name, form, disk, random, file: stack.use(file), rng };
    });

  {
    await using kernel = await openQemuKernel(
      places.flatMap(({ file, rng }) => [...file.arguments, "-device", rng]),
      {
        isolation,
        interrupts,
        legacy,
        without: (eventIndex ? 0n : bit(Feature.EVENT_IDX)) |
          (indirect ? 0n : bit(Feature.INDIRECT_DESC)),
      },
      machine,
    );
    await Promise.all(places.map(async ({ name, form, disk, random, file }) => {
      const [blk, rng] = await Promise.all([
        kernel.attach(disk.address) as Promise<Device<"block">>,
        kernel.attach(random.address) as Promise<Device<"entropy">>,
      ]);
      await Promise.all([useDisk(blk.client, file.wanted), useEntropy(rng.client)]);
      await checkView(await agrees(kernel, rng, { id: `${name}-rng`, descriptors: 1 }), form);
      const alike = indirect ? { descriptors: 1 } : {};
      await checkView(await agrees(kernel, blk, { id: `${name}-blk`, ...alike }), form);
    }));
  }
  for (const { name, file } of places) assertEquals(file.differsAt(), -1, name);

  function checkView(view: Awaited<ReturnType<Device["describe"]>>, form: Form): void {
    const what = `${view.driver} ${form.options} ${JSON.stringify(setup)}`;
    assertEquals(view.transport, form.transport, what);
    assertEquals(view.interrupts, interrupts, what);
    assertEquals([view.isolation, view.restarts], [isolation, 0], what);
    const [queue, ...others] = view.queues;
    assert(queue && others.length === 0, what);
    assertEquals(queue.kind, form.ring, what);
    assertEquals(
      queue.vector,
      { msix: 1, shared: 0, intx: undefined, polling: undefined }[interrupts],
    );
    assert(queue.completed! > 0, what);
    assertEquals(queue.overlong, 0, what);
    const fate = (feature: number) => {
      const found = view.features.list.find(({ bit }) => bit === feature);
      return found && (found.because ?? found.accepted);
    };
    assertEquals(fate(Feature.EVENT_IDX), eventIndex || "switched off", what);
    assertEquals(fate(Feature.INDIRECT_DESC), indirect || "switched off", what);
    const modern = form.transport === "modern";
    assertEquals(fate(Feature.VERSION_1), modern || undefined, what);
    assertEquals(fate(Feature.RING_PACKED), form.ring === "packed" || undefined, what);
  }
}

qemuTest("blk: packed rings are left alone where they are switched off", async () => {
  for (const isolation of ["process", "inline"] as const) {
    using file = new FileDisk("disk", CAPACITY, ",disable-legacy=on,packed=on");
    await using kernel = await openQemuKernel(file.arguments, {
      isolation,
      without: bit(Feature.RING_PACKED),
    });
    const blk = await kernel.attachFirst("block");
    await useDisk(blk.client, file.wanted);
    const view = await agrees(kernel, blk, { id: "disk", descriptors: 1 });
    assertEquals(view.queues.map(({ kind }) => kind), ["split"]);
    assertEquals(file.differsAt(), -1);
  }
});

/** Fewer vectors than asked for: what is used instead. */
const LADDER: readonly {
  readonly vectors: number;
  readonly asked: InterruptKind;
  readonly got: InterruptKind;
}[] = [
  { vectors: 0, asked: "msix", got: "intx" },
  { vectors: 0, asked: "shared", got: "intx" },
  { vectors: 0, asked: "polling", got: "polling" },
  { vectors: 1, asked: "msix", got: "shared" },
  { vectors: 1, asked: "shared", got: "shared" },
  { vectors: 1, asked: "intx", got: "intx" },
  { vectors: 2, asked: "msix", got: "msix" },
];

for (const machine of ["q35", "pc"] as const) {
  qemuTest(`interrupts: what a device does not have is passed over (${machine})`, async () => {
    for (const { vectors, asked, got } of LADDER) {
      for (const form of [FORMS.modern!, FORMS.packed!, FORMS.old!]) {
        using file = new FileDisk("disk", CAPACITY, `,vectors=${vectors},${form.options}`);
        const rng = `virtio-rng-pci,id=rng,vectors=${vectors},${form.options}`;
        {
          await using kernel = await openQemuKernel(
            [...file.arguments, "-device", rng],
            { interrupts: asked, isolation: "inline" },
            machine,
          );
          const blk = await kernel.attachFirst("block");
          const random = await kernel.attachFirst("entropy");
          await Promise.all([
            useDisk(blk.client, file.wanted, 7, 50),
            useEntropy(random.client),
          ]);
          for (const [device, id] of [[blk, "disk"], [random, "rng"]] as const) {
            const view = await agrees(kernel, device, { id });
            assertEquals(view.interrupts, got, `${id}: ${vectors} vectors, ${form.options}`);
          }
        }
        assertEquals(file.differsAt(), -1);
      }
    }
  });
}
