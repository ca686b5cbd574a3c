// Devices that are served to other programs, shown as a machine is.

import { InterruptLoop } from "../core/irq/interrupt_loop.ts";
import { processId, processorTime, residentMemory } from "../core/linux/process.ts";
import { serveControl } from "./control.ts";
import { publishMetrics } from "./publish_metrics.ts";
import type { SeenDevice, Snapshot } from "./snapshot.ts";

/** Figures of a served device, as what serves it has them. */
export interface Figures {
  /** Machines that came so far. */
  readonly clients: number;
  /** Whether one uses it now. */
  readonly connected: boolean;
  /** Interrupts that it sent. */
  readonly interrupts: number;
  /** Its queues. */
  readonly queues: SeenDevice["queues"];
}

/** Devices that are served. */
export interface Served {
  /** By which protocol: `"vhost-user"`. */
  readonly by: string;
  /** What was seen of each, by its name. */
  figures(): Readonly<Record<string, Figures>>;
  /** Figures could not be written to their file; told once. */
  failed(reason: string): void;
}

/**
 * Shows devices that are served at a control socket, and their figures to Prometheus: as a machine whose devices have the names of
 * what is served for addresses. A request is one of the guest's driver, and `statistics.clients` says how many machines came.
 *
 * @throws PathTaken If something else stands where a socket is to be.
 * @throws OsError If that is not possible at a path.
 */
export function watchServed(
  { by, figures, failed }: Served,
  { control, metrics }: { readonly control?: string; readonly metrics?: string },
): AsyncDisposable {
  const opened = performance.now();
  const uptime = () => (performance.now() - opened) / 1000;
  const look = (): Promise<Snapshot> => {
    const all = Object.entries(figures());
    return Promise.resolve({
      schema: 1,
      pid: processId(),
      uptime: uptime(),
      machine: {
        kind: "served",
        description: `${all.length === 1 ? "A device" : `${all.length} devices`} served by ${by}`,
      },
      devices: all.map(([name, each]) => describe(name, by, each, uptime())),
    });
  };
  const stack = new AsyncDisposableStack();
  try {
    const loop = stack.use(new InterruptLoop());
    if (control !== undefined) stack.use(serveControl(control, loop, look));
    if (metrics !== undefined) {
      const publisher = stack.use(publishMetrics(metrics, { loop, look, failed }));
      // A file has what was last.
      stack.defer(() => publisher.refresh());
    }
    loop.start();
    return stack;
  } catch (error) {
    void stack.disposeAsync();
    throw error;
  }
}

/** A served device as one of a machine. */
function describe(
  name: string,
  by: string,
  { clients, connected, interrupts, queues }: Figures,
  uptime: number,
): SeenDevice {
  const pid = processId();
  return {
    address: name,
    driver: by,
    class: "served",
    isolation: "inline",
    state: connected ? "running" : "waiting",
    restarts: Math.max(0, clients - 1),
    statistics: { clients },
    host: {
      ...{ starts: 1, uptime },
      processor: (processorTime(pid) ?? 0) / 1000,
      memory: residentMemory(pid) ?? 0,
    },
    lanes: [],
    interruptCounts: [interrupts],
    queues,
  };
}
