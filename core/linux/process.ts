// Processes: spawned, watched by a descriptor, ended.

import { check, errno, OsError } from "./os_error.ts";
import { close, duplicate } from "./fd.ts";
import { readFolder, readText } from "./file.ts";
import { addressOf, cString, libc } from "./libc.ts";

/** The terminal is gone. */
export const SIGHUP = 1;
const SIGINT = 2;
const SIGQUIT = 3;
const SIGTERM = 15;
/** Ends a program. */
export const SIGKILL = 9;
/** Makes Deno open a port for a debugger: any user that connects to it can run code. */
export const SIGUSR1 = 10;

const SYS_PIDFD_OPEN = 434n;
const WNOHANG = 1;
const SPAWN_SETPGROUP = 0x02;
const SPAWN_SETSIGDEF = 0x04;
const SPAWN_SETSIGMASK = 0x08;

/**
 * What ends a program that stands in a terminal or under a service manager. Both tell all of its processes at once; but
 * what serves us must not end before we have said so.
 */
const ENDS_PROGRAMS = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/** What a child process is started with. */
export interface SpawnOptions {
  /** Absolute path of the program. */
  readonly path: string;
  /** Arguments, without the program's own name. */
  readonly args: readonly string[];
  /** The whole environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Descriptor `i` of the child is a copy of `descriptors[i]`; it gets no others. */
  readonly descriptors: readonly number[];
  /** Signals that never reach it, from its first instruction on. */
  readonly blocked?: readonly number[];
}

/** A running child process. */
export interface Child {
  /** Process id. */
  readonly pid: number;
  /** Descriptor that becomes readable when the process ends. The owner closes it. */
  readonly pidfd: number;
}

/** How a process ended. */
export type Exit = {
  /** The status that it ended with by itself, 0 to 255. */
  readonly code: number;
} | {
  /** The number of the signal that ended it. */
  readonly signal: number;
};

/**
 * Starts a program, without `--allow-run`. It ends when we end it, and not with us when a person ends us: it has a
 * process group of its own, out of reach of the terminal's keys, and keeps the signals blocked that a service manager
 * sends to each process. What is blocked stays so when it becomes another program, and in all of its threads.
 *
 * Safety: posix_spawn runs no code of ours between fork and exec. Every descriptor we open is closed on exec, so
 * the child gets exactly those that are named.
 */
export function spawn(options: SpawnOptions): Child {
  const c = libc();
  const actions = new Uint8Array(128); // glibc: 80 bytes
  const attributes = new Uint8Array(512); // glibc: 336 bytes
  const copies: number[] = [];
  c.posix_spawn_file_actions_init(actions);
  c.posix_spawnattr_init(attributes);
  try {
    // Above the targets, so that no copy is closed by another before it has been made.
    for (const fd of options.descriptors) copies.push(duplicate(fd, options.descriptors.length));
    copies.forEach((fd, target) => c.posix_spawn_file_actions_adddup2(actions, fd, target));
    // Ours are closed on exec, but not those that this process was started with. In glibc since 2.34.
    c.posix_spawn_file_actions_addclosefrom_np?.(actions, copies.length);
    // A group of the number 0 is the child's own. Deno ignores SIGPIPE: the child starts with a clean table.
    c.posix_spawnattr_setpgroup(attributes, 0);
    const { blocked = [] } = options;
    c.posix_spawnattr_setsigmask(attributes, signalSet([...ENDS_PROGRAMS, ...blocked]));
    c.posix_spawnattr_setsigdefault(attributes, new Uint8Array(SIGNAL_SET_BYTES).fill(0xff));
    c.posix_spawnattr_setflags(
      attributes,
      SPAWN_SETPGROUP | SPAWN_SETSIGDEF | SPAWN_SETSIGMASK,
    );
    const pid = new Int32Array(1);
    const argv = pointers([options.path, ...options.args]);
    const envp = pointers(
      Object.entries(options.environment).map(([name, value]) => `${name}=${value}`),
    );
    const error = c.posix_spawn(
      pid,
      cString(options.path),
      actions,
      attributes,
      argv.array,
      envp.array,
    );
    if (error !== 0) throw new OsError(`Cannot start ${options.path}`, error);
    const child = pid[0]!;
    const pidfd = Number(c.pidfd_open(SYS_PIDFD_OPEN, child, 0));
    if (pidfd < 0) {
      const reason = errno();
      kill(child, SIGKILL);
      throw new OsError(`Cannot watch process ${child}`, reason);
    }
    return { pid: child, pidfd };
  } finally {
    c.posix_spawn_file_actions_destroy(actions);
    c.posix_spawnattr_destroy(attributes);
    copies.forEach(close);
  }
}

/** What glibc's sigset_t takes. */
const SIGNAL_SET_BYTES = 128;

/** A sigset_t: signal 1 is the lowest bit. */
function signalSet(signals: readonly number[]): Uint8Array<ArrayBuffer> {
  const set = new Uint8Array(SIGNAL_SET_BYTES);
  for (const signal of signals) set[(signal - 1) >> 3]! |= 1 << ((signal - 1) & 7);
  return set;
}

/** A NULL-terminated array of C strings, with the strings, which must live as long as it is used. */
function pointers(
  texts: readonly string[],
): { array: BigUint64Array<ArrayBuffer>; strings: Uint8Array[] } {
  const strings = texts.map(cString);
  const array = new BigUint64Array(texts.length + 1);
  strings.forEach((string, i) => {
    array[i] = addressOf(string);
  });
  return { array, strings };
}

/** Sends a signal to a child that has not been reaped yet. */
export function kill(pid: number, signal: number): void {
  libc().kill(pid, signal);
}

/** How a child ended, or undefined while it runs. Call it until it answers, then never again. */
export function reap(pid: number): Exit | undefined {
  const status = new Int32Array(1);
  const got = check(libc().waitpid(pid, status, WNOHANG), `Cannot wait for process ${pid}`);
  if (got === 0) return undefined;
  const word = status[0]!;
  return (word & 0x7f) === 0 ? { code: (word >> 8) & 0xff } : { signal: word & 0x7f };
}

/**
 * The processor time that a child has used, all of its threads together, in milliseconds; undefined if it is no more.
 *
 * Safety: both structures are of 8 bytes or more, as on every 64-bit Linux: clockid_t and struct timespec.
 */
export function processorTime(pid: number): number | undefined {
  const c = libc();
  const clock = new Int32Array(1);
  const time = new BigInt64Array(2);
  if (c.clock_getcpuclockid(pid, clock) !== 0) return undefined;
  if (c.clock_gettime(clock[0]!, time) !== 0) return undefined;
  return Number(time[0]) * 1e3 + Number(time[1]) / 1e6;
}

/**
 * Whether some thread of a process is at work, or would be if it had a processor, or waits for a disk. False where there
 * is no /proc to tell.
 */
export function isWorking(pid: number): boolean {
  try {
    return readFolder(`/proc/${pid}/task`).some((thread) => {
      const line = readText(`/proc/${pid}/task/${thread}/stat`);
      // The name, in brackets, may have anything in it; the state comes behind it.
      return /^ [RD]/.test(line.slice(line.lastIndexOf(")") + 1));
    });
  } catch {
    return false; // a thread, or the whole process, has ended meanwhile
  }
}

/** Whether this process was started with a signal ignored, or ignores it now. */
export function isIgnored(signal: number): boolean {
  const [, set = "0"] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readText("/proc/self/status")) ?? [];
  return (BigInt(`0x${set}`) >> BigInt(signal - 1) & 1n) === 1n;
}

/** Bytes of memory that a process has in use; undefined if it is no more. */
export function residentMemory(pid: number): number | undefined {
  try {
    const [, kib] = /^VmRSS:\s*(\d+) kB$/m.exec(readText(`/proc/${pid}/status`)) ?? [];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}

/** The user that this process acts for. */
export function effectiveUser(): number {
  return libc().geteuid();
}

/** This process's id. */
export function processId(): number {
  return libc().getpid();
}

/** What this process was started with: the program's name first, as it was given. */
export function commandLine(): string[] {
  return readText("/proc/self/cmdline").split("\0").slice(0, -1);
}

const SIG_IGN = 1n;

/** Makes this process ignore a signal, whatever was to be done about it before. */
export function ignoreSignal(signal: number): void {
  libc().signal(signal, SIG_IGN);
}
