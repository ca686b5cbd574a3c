import type { DeviceDescription, HostDescription } from "../core/kernel/device.ts";
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
  /** The machine; devices that are served to other programs stand for one. */
  readonly machine: { readonly kind: Machine["kind"] | "served"; readonly description: string };
  /** The devices that are at work, or on their way there. */
  readonly devices: readonly SeenDevice[];
}

/** What only the one that drives a device knows. */
export type OfItsDriver = "status" | "features" | "transport" | "interrupts";

/**
 * A device of a machine as it is seen: one that is driven, or one that is served. That has its name for an address, the protocol for a
 * driver, is `"waiting"` while no machine uses it, and lacks what only its driver knows.
 */
export interface SeenDevice
  extends
    Omit<DeviceDescription, OfItsDriver | "state" | "host">,
    Partial<Pick<DeviceDescription, OfItsDriver>> {
  /** Where it is in its life. */
  readonly state: DeviceDescription["state"] | "waiting";
  /** Where it works: what is served, in the program that serves it. */
  readonly host: Omit<HostDescription, "heap"> & Partial<Pick<HostDescription, "heap">>;
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
