import type { FromPlugin, ToPlugin } from "../bus/message.ts";
import type { InterruptLoop } from "../irq/interrupt_loop.ts";
import type { DmaMemory } from "../platform/platform.ts";
import type { Manifest } from "../plugin/manifest.ts";

/** Where a driver runs. */
export type Isolation = "process" | "inline";

/** What the core gives to a driver host when it starts it. */
export interface DriverHostOptions {
  readonly loop: InterruptLoop;
  readonly manifest: Manifest;
  /** URL of the driver's module. */
  readonly entry: string;
  /** Memory for the driver and its device. */
  readonly arena: DmaMemory;
  /** Descriptor that the device's doorbells are written to. */
  readonly doorbell: number;
  /** Eventfds by which the device's queues interrupt; none if it must be polled. */
  readonly vectors: readonly number[];
  /** Takes the answers of doorbells. */
  readonly settle: () => void;
  /** A line that the driver printed. */
  readonly print: (line: string) => void;
  /** A message came. */
  readonly message: (message: FromPlugin) => void;
  /** Requests in lanes may have ended. */
  readonly completions: () => void;
  /** The driver is no more, or must not go on; called at most once. A sentence says why. */
  readonly gone: (reason: string) => void;
}

/** A place in which one driver runs, seen from the core. */
export interface DriverHost {
  /** Which kind. */
  readonly isolation: Isolation;
  /** Its process, if it has one of its own. */
  readonly pid?: number;
  /** Control memory. */
  readonly control: SharedArrayBuffer;
  /** The arena. */
  readonly arena: SharedArrayBuffer;
  /** Sends a message. */
  send(message: ToPlugin): void;
  /** Says that requests are in a lane. */
  ring(): void;
  /** How often a client should look before it waits: more where its looking is what gets work done. */
  readonly spins: number;
  /** Does what there is to do without waiting: for whoever attends. */
  pump(): void;
  /** Waits, blocking this thread, until something happens. */
  turn(timeout: number): void;
  /** As {@linkcode InterruptLoop.attend}, for loop and host. */
  attend(): Disposable;
  /** Ends the host, whatever it is doing. The device must not reach its arena any more. */
  end(): void;
}
