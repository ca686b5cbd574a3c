import type { DeviceDescription } from "../core/kernel/device.ts";
import type { AnyKernel } from "../core/kernel/kernel.ts";
import type { Machine } from "../core/platform/platform.ts";
import { processId } from "../core/linux/process.ts";

/** A machine at work, as plain data. */
export interface Snapshot {
  /** Version of this shape: grows when a key changes its meaning or goes away. */
  readonly schema: 1;
  /** The program that drives it. */
  readonly pid: number;
  /** Seconds since the machine was opened. */
  readonly uptime: number;
  /** The machine. */
  readonly machine: Pick<Machine, "kind" | "description">;
  /** The devices that are at work, or on their way there. */
  readonly devices: readonly DeviceDescription[];
}

/**
 * Looks at a machine.
 *
 * @param opened When it was opened, as `performance.now()` said.
 */
export async function snapshot(kernel: AnyKernel, opened: number): Promise<Snapshot> {
  const { kind, description } = kernel.machine;
  const looks = await Promise.allSettled(kernel.devices.map((device) => device.describe()));
  return {
    schema: 1,
    pid: processId(),
    uptime: (performance.now() - opened) / 1000,
    machine: { kind, description },
    // A device whose registers cannot be read now is on its way out.
    devices: looks.flatMap((look) => look.status === "fulfilled" ? [look.value] : []),
  };
}
