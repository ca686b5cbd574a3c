// QEMU as a child of this process: started, watched, ended.

import { close, pipe, read, setNonBlocking } from "../../linux/fd.ts";
import { environment, findProgram, open } from "../../linux/file.ts";
import { poll, pollAsync, POLLIN, type PollSet } from "../../linux/poll.ts";
import { type Exit, kill, reap, SIGKILL, spawn } from "../../linux/process.ts";

/** QEMU ended, or had to be ended, while it was still wanted; nothing of its machine can be used any more. */
export class QemuGone extends Error {
  /** Tells the error apart. */
  override readonly name = "QemuGone";
  /** Its process id. */
  readonly pid: number;
  /** How it ended, if the system told so in time. */
  readonly exit?: Exit;
  /** The last it wrote to its standard error: a few lines, often empty. */
  readonly lastWords: string;

  /** Makes the error of what happened, for example `"it did not start"`. */
  constructor(what: string, pid: number, exit: Exit | undefined, lastWords: string) {
    const how = !exit
      ? "still ending"
      : "signal" in exit
      ? `signal ${exit.signal}`
      : `exit status ${exit.code}`;
    const said = lastWords ? `:\n${lastWords}` : ", and it wrote no message";
    super(`Cannot use QEMU (process ${pid}): ${what} (${how})${said}`);
    this.pid = pid;
    if (exit) this.exit = exit;
    this.lastWords = lastWords;
  }
}

/** A QEMU that we started. */
export interface QemuProcess {
  /** Its process id. */
  readonly pid: number;
  /** Becomes readable when it ends. */
  readonly pidfd: number;
  /** The error of its end, once that was noticed: to be thrown by the next call that wants something of it. */
  readonly error: QemuGone | undefined;
  /** Looks whether it has ended, without waiting. */
  gone(): QemuGone | undefined;
  /**
   * Notes that it is of no use any more because of `what`, and ends it unless it ends by itself within
   * `patience` milliseconds. Returns the error to throw.
   */
  fail(what: string, patience: number): QemuGone;
  /** Ends it, at once or after `patience` milliseconds, and forgets it. */
  close(patience: number): Promise<void>;
}

/** How long the system gets to end a killed process, in milliseconds. */
const KILL_DEADLINE = 5000;
/** How much of that is waited for while this thread stands still, so that it can be told how it ended. */
const KILL_PATIENCE = 200;
/** How much of the end of its messages is kept, in characters. */
const LAST_WORDS = 4096;

/**
 * Starts QEMU so that it can never outlive this thread: the system itself kills it when the thread ends, if
 * `setpriv` (util-linux) is there to ask for that.
 *
 * @param program Absolute path.
 * @param descriptors What it finds from descriptor 3 on; they stay the caller's.
 */
export function startQemu(
  program: string,
  args: readonly string[],
  descriptors: readonly number[],
): QemuProcess {
  const nothing = open("/dev/null", 0);
  const [messages, writable] = pipe();
  // A QEMU that says more than the pipe holds must not stop for it; the core reads only when it has failed.
  setNonBlocking(writable);
  const setpriv = findProgram("setpriv");
  const start = () =>
    spawn({
      path: setpriv ?? program,
      args: setpriv ? ["--pdeathsig", "KILL", program, ...args] : args,
      environment: environment(),
      descriptors: [nothing, writable, writable, ...descriptors],
    });
  try {
    return watch(start(), messages);
  } catch (error) {
    close(messages);
    throw error;
  } finally {
    close(nothing);
    close(writable);
  }
}

function watch({ pid, pidfd }: { pid: number; pidfd: number }, messages: number): QemuProcess {
  const ended: PollSet = new Int32Array([pidfd, POLLIN]);
  let exit: Exit | undefined;
  let error: QemuGone | undefined;
  let lastWords = "";
  let closed = false;

  /** Whether it ended within so many milliseconds. */
  function waitForEnd(milliseconds: number): boolean {
    const until = performance.now() + milliseconds;
    do {
      const left = Math.max(0, Math.ceil(until - performance.now()));
      if (!exit && poll(ended, 1, left) > 0) exit = reap(pid);
    } while (!exit && performance.now() < until);
    return exit !== undefined;
  }

  function hear(): void {
    const decoder = new TextDecoder();
    const bytes = new Uint8Array(4096);
    for (let got; (got = read(messages, bytes)) > 0;) {
      lastWords = (lastWords + decoder.decode(bytes.subarray(0, got), { stream: true })).slice(
        -LAST_WORDS,
      );
    }
    lastWords = lastWords.trim();
  }

  return {
    pid,
    pidfd,
    get error() {
      return error;
    },
    gone() {
      if (!error && waitForEnd(0)) {
        hear();
        error = new QemuGone("it ended", pid, exit, lastWords);
      }
      return error;
    },
    fail(what, patience) {
      if (error) return error;
      if (!waitForEnd(patience)) {
        kill(pid, SIGKILL);
        waitForEnd(KILL_PATIENCE);
      }
      hear();
      return error = new QemuGone(what, pid, exit, lastWords);
    },
    async close(patience) {
      if (closed) return;
      closed = true;
      if (!waitForEnd(0) && patience > 0) await pollAsync(ended, 1, patience);
      if (!waitForEnd(0)) {
        kill(pid, SIGKILL);
        await pollAsync(ended, 1, KILL_DEADLINE);
        waitForEnd(0);
      }
      error ??= new QemuGone("it was closed", pid, exit, "");
      close(pidfd);
      close(messages);
    },
  };
}
