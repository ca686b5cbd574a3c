// What a session of a client needs of the system.

import type { Request } from "./message.ts";

/** Where interrupts of one vector go. Disposing it closes its descriptor. */
export interface Line extends Disposable {
  /** Interrupts. */
  signal(): void;
}

/** A memory file of the client's. */
export interface MemoryFile {
  /** All of it. */
  readonly memory: SharedArrayBuffer;
  /** Its length in bytes. */
  readonly size: number;
}

/** What a session needs of the system. Descriptors are numbers to it. */
export interface Surroundings {
  /** Closes a descriptor that came from the client. */
  close(descriptor: number): void;
  /**
   * The memory behind a descriptor, which stays the caller's; the same for each descriptor of a file.
   *
   * @throws If it cannot be used, with what to do as its message.
   */
  memoryFile(descriptor: number): MemoryFile;
  /**
   * Makes a line of a descriptor, which it takes over, also if it throws.
   *
   * @param storms Whether its first interrupt never ends.
   * @throws If it is no eventfd.
   */
  line(descriptor: number, storms: boolean): Line;
  /** Calls `happened` whenever an eventfd is signalled, until it is disposed; else as {@linkcode line}. */
  listen(descriptor: number, happened: () => void): Disposable;
  /** The device was written to: it has to look soon. */
  rung(): void;
  /** Says something to people. */
  notice(sentence: string): void;
  /** Sees what the client asks, before it is carried out; nothing does if absent. */
  readonly asked?: (request: Request) => void;
  /** Sees an access to a region: bytes that were read, or will be written; nothing does if absent. */
  readonly accessed?: (
    access: "read" | "write",
    region: number,
    offset: number,
    data: Uint8Array,
  ) => void;
}
