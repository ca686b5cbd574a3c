import { assert, assertEquals } from "@std/assert";
import { close, eventfd } from "../../linux/fd.ts";
import { libc } from "../../linux/libc.ts";
import { InterruptLoop } from "../../irq/interrupt_loop.ts";
import type { OpenFunction } from "../../pci/function.ts";
import { NO_VECTOR, type Transport } from "../../virtio/transport.ts";
import type { InterruptKind } from "../interrupt_kind.ts";
import { Interrupts } from "./interrupts.ts";

// Opened once for the whole process, so not by a test.
libc();

/** Interrupts of a device with so many queues and vectors, on a machine that has so many vectors left. */
function bench(
  { queues, vectors = queues + 1, left = Infinity, pin = true, best = "msix" }: {
    readonly queues: number;
    readonly vectors?: number;
    readonly left?: number;
    readonly pin?: boolean;
    readonly best?: InterruptKind;
  },
) {
  const stack = new AsyncDisposableStack();
  const loop = stack.use(new InterruptLoop());
  const descriptor = () => stack.adopt(eventfd(), close);
  const asked: number[] = [];
  const told = new Map<string | number, number>();
  let pinned: number | undefined;
  const device: Partial<OpenFunction> = {
    vectors: (wanted) => Array.from({ length: Math.min(wanted, vectors) }, descriptor),
    useVectors(count) {
      asked.push(count);
      return Math.min(count, left);
    },
    intx: () => pin ? pinned ??= descriptor() : undefined,
  };
  const transport: Partial<Transport> = {
    queues,
    setConfigVector: (vector) => told.set("config", vector).size > 0,
    setQueueVector: (queue, vector) => told.set(queue, vector).size > 0,
  };
  const interrupts = stack.use(
    new Interrupts(device as OpenFunction, transport as Transport, best, loop, { config() {} }),
  );
  return { interrupts, asked, told, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

Deno.test("a device of 64 queues takes vectors for those in use, and one for its configuration #core:vectors_shared", async () => {
  await using it = await bench({ queues: 64 });
  assertEquals(it.asked, [], "nothing is taken before the plan is known");
  assertEquals(it.interrupts.use([0, 1, 5, 63]), [1, 2, 3, 4]);
  assertEquals([it.interrupts.kind, it.asked], ["msix", [5]]);
  assertEquals([...it.told], [["config", 0], [0, 1], [1, 2], [5, 3], [63, 4]]);
  assertEquals(it.interrupts.use([0]), [1], "a driver that is started anew may need others");
  assertEquals(it.asked, [5, 2]);
});

Deno.test("1021 queues in use share the vectors that one device may have #core:vectors_shared", async () => {
  await using it = await bench({ queues: 1021 });
  const vectors = it.interrupts.use(Array.from({ length: 1021 }, (_, i) => i));
  assertEquals([vectors.slice(0, 3), vectors[32], vectors.at(-1)], [[1, 2, 3], 1, 29]);
  assertEquals([Math.max(...vectors), it.asked], [32, [33]]);
  assertEquals(it.interrupts.queueFds.length, 33, "and one by which the core passes on");
});

for (
  const [left, kind, vectors] of [
    [3, "msix", [1, 2, 1, 2]],
    [2, "msix", [1, 1, 1, 1]],
    [1, "shared", [0, 0, 0, 0]],
    [0, "intx", []],
  ] as const
) {
  Deno.test(`four queues on a machine that has ${left} vectors left: ${kind} #core:vectors_shared`, async () => {
    await using it = await bench({ queues: 4, left });
    assertEquals(it.interrupts.use([0, 1, 2, 3]), vectors);
    assertEquals(it.interrupts.kind, kind);
    if (kind === "intx") assert([...it.told.values()].every((vector) => vector === NO_VECTOR));
    // With the pin, the vectors are gone; what is left is not asked for again at the next start.
    const before = it.asked.length;
    it.interrupts.use([0, 1, 2, 3]);
    assertEquals(it.asked.length > before, kind !== "intx");
  });
}

Deno.test("one vector for all is all that is taken where no more is wanted #core:vectors_shared", async () => {
  await using it = await bench({ queues: 64, best: "shared" });
  assertEquals(it.interrupts.use([0, 1]), [0, 0]);
  assertEquals([it.interrupts.kind, it.asked], ["shared", [1]]);
});

Deno.test("without vectors and pin a device is polled #core:vectors_shared", async () => {
  await using it = await bench({ queues: 2, vectors: 0, pin: false });
  assertEquals(it.interrupts.use([0, 1]), []);
  assertEquals(it.interrupts.kind, "polling");
});
