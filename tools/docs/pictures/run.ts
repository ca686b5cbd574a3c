// A run of a simulated machine, of which pictures are drawn: one disk, a write and a read, and all that was traced.

import { DiskModel } from "@virtio/blk/model";
import { EntropyModel } from "@virtio/random/model";
import { type Isolation, openKernel, type TraceEvent } from "../../../mod.ts";

/** An event of one kind. */
export type Traced<Kind extends TraceEvent["kind"]> = Extract<TraceEvent, { kind: Kind }>;

/** What was seen. */
export interface Run {
  /** What concerns the disk, in its order. */
  readonly events: readonly TraceEvent[];
  /** What Linux says of each process. */
  readonly processes: readonly Process[];
}

/** A process, as `/proc` has it. */
export interface Process {
  readonly name: string;
  /** Words of `/proc/<pid>/status` by their names. */
  readonly status: Readonly<Record<string, string>>;
  readonly descriptors: number;
}

/** Runs it. */
export async function run(isolation: Isolation): Promise<Run> {
  const events: TraceEvent[] = [];
  const processes: Process[] = [];
  {
    await using kernel = await openKernel({
      machine: "simulated",
      devices: [new EntropyModel(), new DiskModel({ capacity: 2 ** 20, serial: "PICTURE" })],
      isolation,
      trace: { event: (event) => void events.push(event) },
    });
    const disk = await kernel.attachFirst("block");
    const random = await kernel.attachFirst("entropy");
    await disk.client.write(0, new Uint8Array(4096).fill(42));
    await disk.client.read(0, 512);
    processes.push(processOf("the application and the core", Deno.pid));
    for (const { driver, pid } of [disk, random]) {
      if (pid !== undefined) processes.push(processOf(`the driver ${driver}`, pid));
    }
  }
  return { events: events.filter(({ driver }) => driver === "blk"), processes };
}

function processOf(name: string, pid: number): Process {
  const lines = Deno.readTextFileSync(`/proc/${pid}/status`).matchAll(/^(\w+):\s*(.*)$/gm);
  return {
    name,
    status: Object.fromEntries([...lines].map(([, word, value]) => [word!, value!])),
    descriptors: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
  };
}

/** The events of one kind. */
export function only<Kind extends TraceEvent["kind"]>(
  events: readonly TraceEvent[],
  kind: Kind,
): Traced<Kind>[] {
  return events.filter((event): event is Traced<Kind> => event.kind === kind);
}
