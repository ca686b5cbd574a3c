/**
 * Everything that is submitted ends, once, whatever goes away while the device has it: with its true result, or with an
 * error. What is asked for afterwards works, or ends at once where there is nothing left to ask.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { BalloonModel } from "@virtio/balloon/model";
import { DiskModel } from "@virtio/blk/model";
import { ConsoleModel } from "@virtio/console/model";
import { EntropyModel } from "@virtio/random/model";
import { ScsiModel } from "@virtio/scsi/model";
import { NetModel } from "@virtio/vtnet/model";
import { close, eventfd, signal } from "../core/linux/fd.ts";
import { InterruptLoop } from "../core/irq/interrupt_loop.ts";
import { Kernel as KernelOf } from "../core/kernel/kernel.ts";
import { throughWindow } from "../core/binding/virtio/through_window.ts";
import { openSimulated } from "../simulation/platform/simulated.ts";
import { CLASSES, type ClassName, type Device } from "../classes.ts";
import type { Kernel } from "../mod.ts";
import type { DeviceHandle, DeviceModel, Request } from "../simulation/mod.ts";
import { DRIVERS } from "../drivers.ts";
import "./support/libc.ts";
import { pattern } from "./support/machine.ts";
import { within } from "./support/net.ts";

/** Nothing here may take longer, in milliseconds. */
const DEADLINE = 60_000;
/** More than there are slots for. */
const MANY = 150;

/** Requests of one class, of all kinds, and what only that class can lose. */
interface Subject<C extends ClassName = ClassName> {
  readonly model: () => DeviceModel;
  /** Queues whose requests the device keeps. */
  readonly queues: readonly number[];
  /** What is done before, while the device still answers. */
  readonly prepare?: (client: Device<C>["client"]) => Promise<unknown>;
  /** Requests of each kind. */
  readonly ask: (client: Device<C>["client"]) => Promise<unknown>[];
  /** Requests that wait for the world, and do so still after a new start. */
  readonly wait?: (client: Device<C>["client"]) => Promise<unknown>[];
  /** What else goes away. */
  readonly goes?: Readonly<Record<string, (model: DeviceModel) => void>>;
}

function subject<C extends ClassName>(what: Subject<C>): Subject {
  return what as unknown as Subject;
}

const many = <T>(make: (i: number) => Promise<T>) =>
  Array.from({ length: MANY }, (_, i) => make(i));
const UNIT = { target: 0, lun: 0 };
const READ = Uint8Array.of(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);

const SUBJECTS: Readonly<Record<ClassName, Subject>> = {
  block: subject<"block">({
    model: () => new DiskModel({ capacity: 2 ** 20 }),
    queues: [0],
    ask: (disk) => [
      ...many((i) => disk.read(512 * i, 512)),
      ...many((i) => disk.write(512 * i, pattern(512, i))),
      disk.flush(),
      disk.read(0, 2 ** 19),
      disk.write(0, pattern(2 ** 19, 1)),
      disk.discard(0, 4096),
      disk.writeZeroes(4096, 4096),
      disk.id(),
    ],
  }),
  entropy: subject<"entropy">({
    model: () => new EntropyModel(),
    queues: [0],
    ask: (source) => many(() => source.read(100)),
  }),
  network: subject<"network">({
    model: () => new NetModel(),
    queues: [1, 2],
    ask: (card) => [
      ...many((i) => card.send(pattern(60 + i, i))),
      card.filter.setPromiscuous(true),
      card.filter.setAllMulticast(true),
      card.filter.setMacTable([Uint8Array.of(2, 0, 0, 0, 0, 1)]),
    ],
    goes: { "the link": (model) => (model as NetModel).setLink(false) },
  }),
  scsi: subject<"scsi">({
    model: () =>
      new ScsiModel({ units: [{ capacity: 2 ** 20 }, { capacity: 2 ** 20, target: 1 }] }),
    queues: [0, 2],
    prepare: (host) => host.ready(UNIT),
    ask: (host) => [
      ...many(() => host.execute(UNIT, READ, { inBytes: 512 })),
      host.inquiry({ target: 1, lun: 0 }),
      host.manage("abortTaskSet", { target: 1, lun: 0 }),
      host.notifications({ target: 1, lun: 0 }, 2),
    ],
    goes: { "a unit": (model) => (model as ScsiModel).remove(0, 0) },
  }),
  console: subject<"console">({
    model: () => new ConsoleModel({ ports: { 0: { console: true }, 1: { name: "one" } } }),
    queues: [3, 5],
    prepare: async (client) => {
      await client.announced();
      await (await client.find(1))!.open();
    },
    ask: (client) => {
      const port = client.port(1)!;
      return [
        ...many((i) => port.write(pattern(3000, i))),
        client.port(0)!.close(),
        client.emergencyWrite(65),
      ];
    },
    wait: (client) => [client.port(1)!.read()],
    goes: {
      "a port": (model) => (model as ConsoleModel).remove(1, true),
      "a port that comes again": (model) => {
        (model as ConsoleModel).remove(1, true);
        (model as ConsoleModel).add(1, { name: "another" });
      },
    },
  }),
  balloon: subject<"balloon">({
    model: () => new BalloonModel({ pages: 100 }),
    queues: [1],
    prepare: (balloon) => balloon.settled(),
    ask: (balloon) => [balloon.reclaim(10), balloon.reclaim(20)],
  }),
};

/** A device that keeps requests until it is told to answer them. */
class Keeper {
  readonly model: DeviceModel;
  readonly #kept: (() => void)[] = [];
  keeps = false;
  device: DeviceHandle | undefined;

  constructor({ model, queues }: Subject) {
    this.model = model();
    const handle = this.model.handle.bind(this.model);
    const attach = this.model.attach?.bind(this.model);
    this.model.attach = (device) => {
      this.device = device;
      attach?.(device);
    };
    this.model.handle = (queue, request: Request) => {
      if (!this.keeps || !queues.includes(queue)) return handle(queue, request);
      this.#kept.push(() => {
        const written = handle(queue, request);
        if (written !== undefined) request.complete(written);
      });
      return undefined;
    };
  }

  get kept(): number {
    return this.#kept.length;
  }

  answer(): void {
    this.keeps = false;
    for (const answer of this.#kept.splice(0)) answer();
  }

  /** What a reset took from it will not be answered. */
  forget(): void {
    this.keeps = false;
    this.#kept.length = 0;
  }
}

/** A device at work that keeps what it is asked for. */
interface Scene extends AsyncDisposable {
  readonly kernel: Kernel;
  readonly device: Device;
  readonly keeper: Keeper;
  /** The machine wants the function back. */
  readonly unplug: () => void;
}

async function scene(what: Subject, restarts: number, process: boolean): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const loop = stack.use(new InterruptLoop());
  const keeper = new Keeper(what);
  const wanted = stack.adopt(eventfd(), close);
  const simulated = openSimulated({ devices: [keeper.model], loop, failed() {} });
  const platform = {
    ...simulated,
    functions: simulated.functions.map((each) => ({
      address: each.address,
      config: each.config,
      open: () => ({ ...throughWindow(each.open(), loop), wanted }),
    })),
  };
  const kernel = stack.use(
    new KernelOf({ loop, platform, drivers: DRIVERS, classes: CLASSES }, {
      isolation: process ? "process" : "inline",
      restarts,
    }),
  );
  const device = await kernel.attach(kernel.nodes[0]!.function.address) as Device;
  await what.prepare?.(device.client);
  const all = stack.move();
  return {
    kernel,
    device,
    keeper,
    unplug: () => signal(wanted),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** What goes away, and whether the device is there afterwards. */
interface Going {
  readonly restarts?: number;
  readonly process?: boolean;
  readonly go: (scene: Scene) => unknown;
  readonly stays: boolean;
}

const GOING: Readonly<Record<string, Going>> = {
  "its function is unplugged": { go: ({ unplug }) => unplug(), stays: false },
  "it is given back": { go: ({ device }) => device[Symbol.asyncDispose](), stays: false },
  "the kernel is closed": { go: ({ kernel }) => kernel[Symbol.asyncDispose](), stays: false },
  "it needs a reset too often": {
    restarts: 0,
    go: ({ keeper }) => keeper.device!.needsReset("a test wants it"),
    stays: false,
  },
  "it needs a reset": {
    go({ keeper }) {
      keeper.forget();
      keeper.device!.needsReset("a test wants it");
    },
    stays: true,
  },
  "its driver is killed": {
    process: true,
    go({ keeper, device }) {
      keeper.forget();
      Deno.kill(device.pid!, "SIGKILL");
    },
    stays: true,
  },
  "its driver is killed too often": {
    process: true,
    restarts: 0,
    go: ({ device }) => Deno.kill(device.pid!, "SIGKILL"),
    stays: false,
  },
};

/** All ends, of which there is one for each. */
async function ends(asked: readonly Promise<unknown>[]): Promise<PromiseSettledResult<unknown>[]> {
  return await within("an end of each request", Promise.allSettled(asked), DEADLINE);
}

function checkEnds(settled: readonly PromiseSettledResult<unknown>[]): void {
  for (const end of settled) {
    if (end.status === "fulfilled") continue;
    const { message } = end.reason as Error;
    assert(end.reason instanceof Error && message.length > 10, String(end.reason));
    assert(
      /gone|anew|taken away|closed|unplugged|not there|response|ended|stopped/i.test(message),
      message,
    );
  }
}

/** How many requests the device has of each queue; some for good, such as receive buffers. */
async function inFlight(device: Device): Promise<Record<string, number | undefined>> {
  const { queues } = await device.describe();
  return Object.fromEntries(queues.map(({ name, inFlight }) => [name, inFlight]));
}

/** Waits until it has no more than it had before. */
async function quiet(device: Device, before: Record<string, number | undefined>): Promise<void> {
  const until = performance.now() + DEADLINE;
  for (;;) {
    const now = await inFlight(device);
    if (Object.entries(now).every(([name, count]) => count! <= before[name]!)) return;
    if (performance.now() > until) return assertEquals(now, before);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

for (const [name, what] of Object.entries(SUBJECTS)) {
  for (const [gone, { go, stays, restarts = 3, process = false }] of Object.entries(GOING)) {
    Deno.test(`${name}: all ends when ${gone} #core:everything_ends`, async () => {
      await using it = await scene(what, restarts, process);
      const { device, keeper } = it;
      const before = await inFlight(device);
      keeper.keeps = true;
      const waiting = stays ? [] : what.wait?.(device.client) ?? [];
      const settled = ends([...what.ask(device.client), ...waiting]);
      const until = performance.now() + DEADLINE;
      while (keeper.kept === 0 && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert(keeper.kept > 0, "the device has none of them");
      await go(it);
      checkEnds(await settled);
      if (stays) {
        await what.prepare?.(device.client);
        const asked = what.ask(device.client);
        // Those that are still under way at the end of the test end with the kernel.
        const all = Promise.allSettled(asked);
        const again = await ends(asked.slice(0, MANY));
        assert(again.some(({ status }) => status === "fulfilled"), "nothing works any more");
        await quiet(device, before);
        await within("an end of each request", all, DEADLINE);
      } else {
        await within("an end of the device", device.gone, DEADLINE);
        // What is asked of it now ends, too.
        const late = (async () => await ends(what.ask(device.client)))();
        checkEnds(await late.catch(() => []));
      }
    });
  }

  for (const [gone, go] of Object.entries(what.goes ?? {})) {
    Deno.test(`${name}: all ends when ${gone} goes, and the device works #core:everything_ends`, async () => {
      await using it = await scene(what, 3, false);
      const { device, keeper } = it;
      const before = await inFlight(device);
      keeper.keeps = true;
      const settled = ends([...what.ask(device.client), ...what.wait?.(device.client) ?? []]);
      const until = performance.now() + DEADLINE;
      while (keeper.kept === 0 && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      go(keeper.model);
      keeper.answer();
      checkEnds(await settled);
      await quiet(device, before);
    });
  }
}
