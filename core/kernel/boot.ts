import type { Doorbell } from "../platform/platform.ts";

/** Descriptors of a driver's process, by number. Vectors follow the last. */
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
  /** Where doorbells are written to. */
  doorbell: 7,
  /** The first interrupt. */
  vectors: 8,
} as const;

/** What a driver's process is told on its command line, as JSON: nothing that a plugin may not know. */
export interface Boot {
  /** The core that starts it: when this process is no more its parent, the driver ends. */
  readonly core: number;
  /** First byte of the arena in its file. */
  readonly arenaOffset: number;
  /** Bytes of the arena. */
  readonly arenaSize: number;
  /** Number of interrupts. */
  readonly vectors: number;
  /** What rings the doorbell of each queue, and how many rings may be under way, if that matters. */
  readonly doorbells: readonly (Omit<Doorbell, "fd" | "message"> & {
    readonly message: readonly number[];
  })[];
  /** Most bytes of data memory. */
  readonly memory: number;
}
