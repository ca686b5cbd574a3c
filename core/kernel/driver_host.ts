// What the core wants of a driver host, in a process or inline.

import type { Arena, HostPart } from "../binding/binding.ts";
import type { ToDriver } from "../bus/message.ts";
import type { InterruptLoop } from "../irq/interrupt_loop.ts";
import type { Manifest } from "../plugin/manifest.ts";
import type { Link } from "./link.ts";
import type { Patience } from "./patience.ts";

/** Where a driver runs. */
export type Isolation = "process" | "inline";

/** What the core gives to a driver host when it starts it. */
export interface DriverHostOptions extends HostPart {
  /** The core's loop. */
  readonly loop: InterruptLoop;
  /** What the core and the host share. */
  readonly link: Link;
  /** What the driver says of itself. */
  readonly manifest: Manifest;
  /** URL of the driver's module. */
  readonly entry: string;
  /** URL of the folder that it may read while it is loaded. */
  readonly folder: string;
  /** Memory for the driver and its device, as a file and as the core sees it. */
  readonly arena: Arena;
  /** Milliseconds after which a device that should interrupt is looked at all the same. */
  readonly watch: number;
  /** Whether it counts the bytes of its queues. */
  readonly counted: boolean;
  /** How long it is waited for. */
  readonly patience: Patience;
  /** A line that the driver printed. */
  readonly print: (line: string) => void;
  /** The driver is no more, or hangs; called at most once. A sentence says why. */
  readonly gone: (reason: string) => void;
}

/** A place in which one driver runs, seen from the core. */
export interface DriverHost {
  /** Its process, if it has one of its own. */
  readonly pid?: number;
  /** Sends a message. */
  send(message: ToDriver): void;
  /** Says that requests are in a lane. */
  ring(): void;
  /** How often a client should look before it waits: more where its looking is what gets work done. */
  readonly spins: number;
  /** Does what there is to do without waiting, for a client that looks again. Returns whether it may go on so. */
  run(): boolean;
  /** Waits, blocking this thread, until something happens. */
  wait(timeout: number): void;
  /** Ends the host, whatever it is doing. The device must not reach its arena any more. */
  end(): void | Promise<void>;
}
