import { OwnTime } from "../../linux/own_time.ts";
import { poll, POLLIN, POLLOUT, type PollSet } from "../../linux/poll.ts";
import { receive, sendNow } from "../../linux/socket.ts";
import type { QemuProcess } from "./process.ts";

/** A connection to QEMU on which each message is a line. */
export interface Lines {
  /** Sends bytes that are whole lines. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /**
   * The next line from QEMU, without its end.
   *
   * @throws {QemuGone} If QEMU is gone, or sends none within the deadline: it is ended then, since an answer
   * that came later would be taken for the answer to another question.
   */
  next(): string;
  /** As `next`, but undefined if none comes within so many milliseconds. */
  nextWithin(milliseconds: number): string | undefined;
  /** The next of the lines that have been received already; undefined if there is none. */
  nextReceived(): string | undefined;
}

/** How long QEMU may take, in milliseconds, where others go on meanwhile or the caller wants to wait. */
export const DEADLINE = 10_000;
/**
 * How much of its own time QEMU may take to answer an access to a register, in milliseconds. This thread stands still
 * meanwhile, with all that is not of this machine too, so it is as short as it can honestly be: an answer takes 10 µs,
 * and the longest one that was seen on an idle disk some milliseconds. Only what QEMU itself is to blame for counts:
 * not that it waits for a processor or that one of its threads waits for a disk, as when a device is reset with requests
 * under way. Then the limit is the deadline.
 */
export const PATIENCE = 1000;
/** How often is looked how QEMU's time goes. */
const SLICE = 100;
/**
 * How often to look for an answer before going to sleep: some 100 µs. QEMU answers a register access within 10 µs
 * as long as neither side sleeps; to be woken takes up to 60.
 */
const LOOKS = 256;
/** How long QEMU may take to end after it closed a connection, so that its exit status can be told. */
const ENDING = 500;

/**
 * Speaks lines over a connected socket. Everything is synchronous, as registers are: it blocks this thread.
 *
 * @param name What the connection is called in errors.
 * @param patience How much of its own time QEMU may take to answer, in milliseconds; {@linkcode DEADLINE} is the most in
 * any case.
 */
export function openLines(name: string, fd: number, qemu: QemuProcess, patience: number): Lines {
  const input = new Uint8Array(65536);
  const decoder = new TextDecoder();
  const readable: PollSet = new Int32Array([fd, POLLIN]);
  const both: PollSet = new Int32Array([fd, POLLIN | POLLOUT]);
  let text = "";

  function lost() {
    return qemu.fail(`it ended its ${name} connection`, ENDING);
  }

  function late() {
    return qemu.fail(`it did not answer on its ${name} connection for ${patience / 1000} s`, 0);
  }

  /** Takes what has come; whether there was something. */
  function take(): boolean {
    const got = receive(fd, input, false);
    if (got < 0) return false;
    if (got === 0) throw lost();
    text += decoder.decode(input.subarray(0, got), { stream: true });
    return true;
  }

  function cut(): string | undefined {
    const end = text.indexOf("\n");
    if (end < 0) return undefined;
    const line = text.slice(0, end);
    text = text.slice(end + 1);
    return line;
  }

  /** Waits for an event of the set; false if none comes until `until`. */
  function wait(set: PollSet, until: number): boolean {
    for (;;) {
      const left = until - performance.now();
      if (left <= 0) return false;
      if (poll(set, 1, Math.ceil(left)) > 0) return true;
    }
  }

  /** Waits for an event of the set as long as QEMU may take; false if none comes. */
  function waitPatiently(set: PollSet): boolean {
    const until = performance.now() + DEADLINE;
    const time = new OwnTime(qemu.pid, 2 * SLICE);
    const spent = { own: 0, worked: 0 };
    while (spent.own < patience && performance.now() < until) {
      if (wait(set, performance.now() + SLICE)) return true;
      time.addTo(spent);
    }
    return false;
  }

  function nextWithin(milliseconds: number): string | undefined {
    if (qemu.error) throw qemu.error;
    const until = performance.now() + milliseconds;
    for (let looks = milliseconds > 0 ? LOOKS : 0;; looks--) {
      const line = cut();
      if (line !== undefined) return line;
      if (!take() && looks <= 0 && !wait(readable, until)) return undefined;
    }
  }

  return {
    send(bytes) {
      if (qemu.error) throw qemu.error;
      let rest = bytes;
      while (rest.length > 0) {
        const put = sendNow(fd, rest);
        if (put < 0) throw lost();
        if (put > 0) rest = rest.subarray(put);
        // There is no room because QEMU does not read, which may be because we do not read its answers.
        else if (!take() && !waitPatiently(both)) throw late();
      }
    },
    next() {
      if (qemu.error) throw qemu.error;
      for (let looks = LOOKS;; looks--) {
        const line = cut();
        if (line !== undefined) return line;
        if (!take() && looks <= 0 && !waitPatiently(readable)) throw late();
      }
    },
    nextWithin,
    nextReceived: cut,
  };
}
