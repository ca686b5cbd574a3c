import type { PciNames } from "../machine/mod.ts";
import type { System } from "./system.ts";

/** Everything that the commands have of the world around them. */
export interface Io {
  /** Writes a line of data to the standard output. */
  out(line: string): void;
  /**
   * Writes bytes of data to the standard output.
   *
   * @returns Whether it is still read there: code that writes without end must look.
   */
  write(bytes: Uint8Array): boolean;
  /** Writes a line of talk to the standard error. */
  err(line: string): void;
  /** Whether the standard output is a terminal. */
  readonly terminal: boolean;
  /** How many columns it has then; 0 if it does not say. */
  readonly columns: number | undefined;
  /** The terminal that the standard error is, to draw on what is taken back; undefined if it is none. */
  readonly side: { readonly columns: number; draw(text: string): void } | undefined;
  /** What a user types to start the program. */
  readonly program: string;
  /** The standard input. */
  readonly input: Input;
  /** The environment of the process. */
  readonly environment: Readonly<Record<string, string>>;
  /** The version of Deno that runs the program. */
  readonly denoVersion: string;
  /** Aborted with the reason when the user or the system wants the program to end. */
  readonly signal: AbortSignal;
  /** The core. */
  readonly system: System;
  /** Names for PCI numbers; read at first use. */
  names(): PciNames;
}

/** The standard input. */
export interface Input {
  /** Whether a person types there. */
  readonly terminal: boolean;
  /**
   * Reads what is there, waiting for it if necessary.
   *
   * @returns How many bytes were put into `into`; null at the end.
   */
  read(into: Uint8Array): Promise<number | null>;
  /** On a terminal: whether each key comes at once, unechoed and without a meaning. */
  raw(on: boolean): void;
}
