/**
 * What a console driver and its clients agree on: four lanes, the meaning of their records, and the properties.
 *
 * - `receive`: standing requests. Each lends a slot to a port, and ends when the device has put bytes into it. Each port
 *   is lent as many slots as each other one, so that one that is not read takes nothing from the others.
 * - `transmit`: each ends when the device has taken the slot's bytes for a port, or as failed if that port is not
 *   there any more. The driver holds it back while the other side is closed.
 * - `control`: a `ConsoleOperation`.
 * - `events`: standing requests. Each ends with the state that a port has now, and its name as the slot's data. States,
 *   not changes: however fast a device changes its mind, there is one answer.
 *
 * @module
 */

import { flag, type PropertyTypes, whole, Word } from "../../core/class/mod.ts";

/** What a control request asks for. */
export const ConsoleOperation = {
  /** Tell the device that the application uses the port. */
  open: 0,
  /** Tell it that the application does no more; what the driver holds back for the port ends as failed. */
  close: 1,
  /** Write the byte in `value` past all queues. */
  emergencyWrite: 2,
} as const;

/** The words of a console request's record. */
export const ConsoleWord = {
  ...Word,
  /** Which port. */
  port: Word.first,
  /** Of an emergency write: the byte. Of an event: bits of {@linkcode PortState}. */
  value: Word.first + 1,
  /** Of an event: columns, and rows in the upper half; 0 if not known. */
  size: Word.first + 2,
  /** Of an event, and of bytes for the device: how often a port with this number was added. */
  generation: Word.first + 3,
} as const;

/** The state of a port, as bits. */
export const PortState = {
  /** It is there. */
  present: 1,
  /** The other side is open: a program listens there. */
  connected: 2,
  /** The device was told that the application uses it. */
  open: 4,
  /** It is a console: open from the start. */
  console: 8,
  /** Of no port: the driver begins, and its device announces all ports anew. */
  begin: 16,
  /** Of no port: all that the device had to say at first was told. */
  settled: 32,
} as const;

/** More ports than this are not driven, whatever the device has. */
export const MOST_PORTS = 32;

/** What a console driver tells about its device. */
export interface ConsoleProperties {
  /** How many ports it can have. */
  readonly ports: number;
  /** Whether it knows the emergency write. */
  readonly emergencyWrite: boolean;
}

/** What each of them may be. */
export const consoleProperties: PropertyTypes<ConsoleProperties> = {
  ports: whole(1, MOST_PORTS),
  emergencyWrite: flag,
};
