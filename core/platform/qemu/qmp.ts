// QEMU's monitor protocol.

import type { Lines } from "./lines.ts";

/** Something that happened in QEMU. */
export interface QmpEvent {
  /** Its name, for example `"DEVICE_DELETED"`. */
  readonly event: string;
  /** Its particulars. */
  readonly data?: unknown;
}

/** QEMU refused a QMP command. */
export class QmpError extends Error {
  /** Tells the error apart. */
  override readonly name = "QmpError";
  /** Its class, for example `"GenericError"` or `"CommandNotFound"`. */
  readonly code: string;

  /** Makes the error of a `command`. */
  constructor(command: string, code: string, description: string) {
    super(`QEMU refused ${command}: ${description}`);
    this.code = code;
  }
}

/** QEMU's own control interface (QEMU, docs/interop/qmp-spec.txt). It blocks this thread while it waits. */
export interface Qmp {
  /** QEMU's version, for example `[7, 2, 22]`. */
  readonly version: readonly [major: number, minor: number, micro: number];
  /**
   * Gives a command and waits for its result.
   *
   * @throws {QmpError} If QEMU refuses it.
   * @throws {QemuGone} If QEMU is gone or does not answer.
   */
  execute(command: string, args?: Readonly<Record<string, unknown>>): unknown;
  /**
   * Takes the oldest event of this name, waiting up to so many milliseconds; undefined if there is none. The last
   * 256 events are kept.
   */
  event(name: string, milliseconds?: number): QmpEvent | undefined;
}

const EVENTS = 256;

interface Greeting {
  readonly QMP: {
    readonly version: { readonly qemu: { major: number; minor: number; micro: number } };
  };
}

interface Answer {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly event?: string;
  readonly data?: unknown;
}

/** Takes QEMU's greeting and leaves the negotiation mode. */
export function openQmp(lines: Lines): Qmp {
  const encoder = new TextEncoder();
  const events: QmpEvent[] = [];
  let last = 0;

  function execute(command: string, args?: Readonly<Record<string, unknown>>): unknown {
    const id = ++last;
    lines.send(encoder.encode(JSON.stringify({ execute: command, arguments: args, id }) + "\n"));
    for (;;) {
      const answer = understand(lines.next());
      if (answer?.id !== id) continue;
      if (answer.error) throw new QmpError(command, answer.error.class, answer.error.desc);
      return answer.return;
    }
  }

  /** Puts an event away; returns anything else. */
  function understand(line: string): Answer | undefined {
    const answer = JSON.parse(line) as Answer;
    if (answer.event === undefined) return answer;
    if (events.length === EVENTS) events.shift();
    events.push({ event: answer.event, data: answer.data });
    return undefined;
  }

  function event(name: string, milliseconds = 0): QmpEvent | undefined {
    const until = performance.now() + milliseconds;
    for (;;) {
      const at = events.findIndex((happened) => happened.event === name);
      if (at >= 0) return events.splice(at, 1)[0];
      const line = lines.nextWithin(Math.max(0, until - performance.now()));
      if (line === undefined) return undefined;
      understand(line);
    }
  }

  const { major, minor, micro } = (JSON.parse(lines.next()) as Greeting).QMP.version.qemu;
  execute("qmp_capabilities");
  return { version: [major, minor, micro], execute, event };
}
