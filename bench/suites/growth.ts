/**
 * What grows with the number of drivers, of queues, and of requests in flight: memory and wake-ups.
 *
 * @module
 */

import type { AttachedDevice, Isolation, Kernel } from "../../mod.ts";
import { DiskModel } from "../../plugins/blk/model.ts";
import { EntropyModel } from "../../plugins/random/model.ts";
import { concurrently } from "../concurrently.ts";
import { contend } from "../contend.ts";
import { memoryMiB, sleeps } from "../processes.ts";
import { applicationOf, deno, nullDisk, pinned } from "../programs.ts";
import { attachPinned, openPinned } from "../rig.ts";
import type { Suite } from "../suite.ts";
import { MACHINES } from "./blk.ts";

const IDLE_MS = 1000;
const ROUND_MS = 200;
const BYTES = 4096;
const CAPACITY = 64 * 2 ** 20;

/** What is counted, and over what. */
const SUBJECTS = {
  "memory, simulated entropy sources": {
    axis: "drivers",
    points: [1, 2, 4, 8, 16, 31], // as many as a bus has room for
    unit: "MiB",
    rounds: 3,
  },
  "wake-ups without requests, simulated entropy sources": {
    axis: "drivers",
    points: [1, 2, 4, 8, 16, 31],
    unit: "a second",
    rounds: 3,
  },
  "memory, simulated disk": { axis: "queues", points: [1, 4, 16], unit: "MiB", rounds: 5 },
  "wake-ups, vhost-user disk, by promise": {
    axis: "depth",
    points: [1, 4, 32],
    unit: "a read",
  },
};
type Name = keyof typeof SUBJECTS;

/** Memory and wake-ups of application and drivers together. */
export const growth: Suite = {
  name: "growth",
  what: "memory and wake-ups with the number of drivers, queues and requests in flight",
  async *subjects(folder) {
    for (const [subject, shape] of Object.entries(SUBJECTS)) {
      yield {
        subject,
        better: "less",
        ...shape,
        contenders: (["inline", "process"] as const).map((isolation) => ({
          name: isolation,
          command: pinned(
            applicationOf(isolation),
            deno([import.meta.filename!, subject, isolation, `${folder}/grow-${isolation}.sock`]),
          ),
        })),
      };
    }
  },
};

/** The application's process, and those of its drivers. */
function all({ devices }: Pick<Kernel, "devices">): number[] {
  return [Deno.pid, ...devices.flatMap(({ pid }) => pid === undefined ? [] : [pid])];
}

/** How often they were woken while something happened. */
async function wakeUps(kernel: Kernel, work: () => Promise<unknown>): Promise<number> {
  const before = sleeps(all(kernel));
  await work();
  return sleeps(all(kernel)) - before;
}

/** Has so many drivers of a machine at work: no fewer and no more. */
async function have(kernel: Kernel, drivers: number, stack: AttachedDevice[]): Promise<void> {
  while (stack.length > drivers) await stack.pop()![Symbol.asyncDispose]();
  while (stack.length < drivers) stack.push(await attachPinned(kernel, "entropy"));
}

async function countDrivers(
  isolation: Isolation,
  count: (kernel: Kernel) => number | Promise<number>,
): Promise<void> {
  const devices = Array.from({ length: 31 }, () => new EntropyModel());
  await using kernel = await openPinned({ machine: "simulated", isolation, devices });
  const attached: AttachedDevice[] = [];
  await contend(async (drivers) => {
    await have(kernel, drivers, attached);
    return await count(kernel);
  });
}

const idle = () => new Promise((resolve) => setTimeout(resolve, IDLE_MS));

const COUNTS: Readonly<Record<Name, (isolation: Isolation, socket: string) => Promise<void>>> = {
  "memory, simulated entropy sources": (isolation) =>
    countDrivers(isolation, (kernel) => memoryMiB(all(kernel))),
  "wake-ups without requests, simulated entropy sources": (isolation) =>
    countDrivers(
      isolation,
      async (kernel) => await wakeUps(kernel, idle) / (IDLE_MS / 1000),
    ),
  "memory, simulated disk": (isolation) =>
    contend(async (requestQueues) => {
      const devices = [new DiskModel({ capacity: CAPACITY, requestQueues })];
      await using kernel = await openPinned({ machine: "simulated", isolation, devices });
      const { client } = await attachPinned(kernel, "block");
      await client.read(0, BYTES);
      return memoryMiB(all(kernel));
    }),
  "wake-ups, vhost-user disk, by promise": async (isolation, socket) => {
    await using _disk = await nullDisk(socket);
    await using kernel = await openPinned({ ...MACHINES["vhost-user"]!(socket), isolation });
    const { client } = await attachPinned(kernel, "block");
    await contend(async (depth) => {
      let reads = 0;
      const woken = await wakeUps(kernel, () =>
        concurrently(depth, ROUND_MS, (turn) => {
          reads++;
          return client.read(turn % 1024 * BYTES, BYTES);
        }));
      return Math.max(1, woken) / reads; // the round itself is worth one
    });
  },
};

if (import.meta.main) {
  const [name, isolation, socket] = Deno.args as [Name, Isolation, string];
  await COUNTS[name](isolation, socket);
}
