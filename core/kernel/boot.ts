// What the core tells a driver's process on its command line.

import type { DevicePages, Doorbell, MappedDoorbell, WrittenDoorbell } from "../pci/function.ts";

/** Descriptors of a driver's process, by number. Vectors follow the last, and then come those of the device's registers. */
export const Descriptor = {
  /** Reads nothing. */
  stdin: 0,
  /** A pipe to the core. */
  stdout: 1,
  /** A pipe to the core. */
  stderr: 2,
  /** File of the control memory. */
  control: 3,
  /** File that the arena is in. */
  arena: 4,
  /** The driver's bell. */
  driverBell: 5,
  /** The core's bell. */
  coreBell: 6,
  /** The first interrupt. */
  vectors: 7,
} as const;

/** What a driver's process is told on its command line, as JSON: nothing that a plugin may not know. */
export interface Boot {
  /** URL of the plugin's folder. */
  readonly folder: string;
  /** The core that starts it: when this process is no more its parent, the driver ends. */
  readonly core: number;
  /** Bytes of the control memory. */
  readonly controlSize: number;
  /** First byte of the arena in its file. */
  readonly arenaOffset: number;
  /** Bytes of the arena. */
  readonly arenaSize: number;
  /** What its address must be a multiple of. */
  readonly arenaAlignment: number;
  /** Number of interrupts. */
  readonly vectors: number;
  /** How the doorbell of each queue is rung; descriptors are those of the driver's process. */
  readonly doorbells: readonly WireDoorbell[];
  /** The windows of registers that it has. */
  readonly registers: readonly WireWindow[];
  /** Milliseconds after which a device that should interrupt is looked at all the same. */
  readonly watch: number;
  /** Whether it counts the bytes of its queues. */
  readonly counted: boolean;
  /** Where in control memory it tells what it does, if it is to. */
  readonly trace?: number;
  /** Most bytes of data memory. */
  readonly memory: number;
}

/** A window of registers. */
export interface WireWindow {
  /** Its name in the driver. */
  readonly name: string;
  /** How long it is. */
  readonly bytes: number;
  /** The pages that begin with it; if left out, the driver asks the core for each access. */
  readonly pages?: DevicePages;
  /** Whether they are doorbells, which the driver leaves to the core without waiting. */
  readonly doorbells: boolean;
}

/** A doorbell that has gone through JSON. */
export type WireDoorbell =
  | MappedDoorbell
  | (Omit<WrittenDoorbell, "message"> & { readonly message: readonly number[] });

/** Puts a doorbell into words, with the number that its descriptor has in the driver's process. */
export function wireDoorbell(doorbell: Doorbell, fd: number): WireDoorbell {
  return "message" in doorbell
    ? { ...doorbell, fd, message: [...doorbell.message] }
    : { ...doorbell, fd };
}

/** Takes a doorbell from words. */
export function fromWire(doorbell: WireDoorbell): Doorbell {
  return "message" in doorbell
    ? { ...doorbell, message: Uint8Array.from(doorbell.message) }
    : doorbell;
}
