/**
 * The filter on system calls for a driver's process, as a program for seccomp(2). It is a list of what may be done, so
 * that a call that Linux learns tomorrow is refused today.
 *
 * @module
 */

/** Architectures whose calls are known by number. */
export type Architecture = typeof Deno.build.arch & ("x86_64" | "aarch64");

/** What the filter depends on. */
export interface FilterOptions {
  /** The architecture of its calls. */
  readonly architecture: Architecture;
  /** This process, which may end itself by a signal. */
  readonly pid: number;
  /** Descriptors that were granted: the first, and the one after the last. Only a call with the pass may name one. */
  readonly granted: readonly [first: number, end: number];
  /** What a call for a granted descriptor carries as its fourth and fifth argument. */
  readonly pass: Pass;
}

/**
 * Two secret numbers of 32 bits. `read` and `write` have three arguments; the kernel ignores what stands in the fourth
 * and fifth, and the filter looks at it. So the functions that were bound to a descriptor go on working, and code that
 * has only found out its number can do nothing with it.
 */
export type Pass = readonly [number, number];

/** What each is to the filter (linux/audit.h). */
const AUDIT_NUMBERS: Readonly<Record<Architecture, number>> = {
  x86_64: 0xc000003e,
  aarch64: 0xc00000b7,
};
/** Calls with this bit are those of x32, which are numbered anew. */
const X32 = 0x40000000;

/** Numbers of calls on x86-64 and on arm64; -1 if there is no such call. */
export const CALLS: Readonly<Record<string, readonly [x86_64: number, aarch64: number]>> = {
  read: [0, 63],
  write: [1, 64],
  close: [3, 57],
  fstat: [5, 80],
  poll: [7, -1],
  lseek: [8, 62],
  mmap: [9, 222],
  mprotect: [10, 226],
  munmap: [11, 215],
  brk: [12, 214],
  rt_sigaction: [13, 134],
  rt_sigprocmask: [14, 135],
  rt_sigreturn: [15, 139],
  readv: [19, 65],
  writev: [20, 66],
  sched_yield: [24, 124],
  mremap: [25, 216],
  madvise: [28, 233],
  nanosleep: [35, 101],
  getpid: [39, 172],
  exit: [60, 93],
  fcntl: [72, 25],
  gettimeofday: [96, 169],
  getcwd: [79, 17],
  readlink: [89, -1],
  getrusage: [98, 165],
  getuid: [102, 174],
  getgid: [104, 176],
  geteuid: [107, 175],
  getegid: [108, 177],
  getppid: [110, 173],
  sigaltstack: [131, 132],
  sched_getparam: [143, 121],
  sched_getscheduler: [145, 120],
  prctl: [157, 167],
  gettid: [186, 178],
  time: [201, -1],
  futex: [202, 98],
  sendto: [44, 206],
  recvfrom: [45, 207],
  socketpair: [53, 199],
  sched_getaffinity: [204, 123],
  restart_syscall: [219, 128],
  clock_gettime: [228, 113],
  clock_getres: [229, 114],
  clock_nanosleep: [230, 115],
  exit_group: [231, 94],
  epoll_wait: [232, -1],
  epoll_ctl: [233, 21],
  tgkill: [234, 131],
  readlinkat: [267, 78],
  ppoll: [271, 73],
  set_robust_list: [273, 99],
  epoll_pwait: [281, 22],
  prlimit64: [302, 261],
  getcpu: [309, 168],
  seccomp: [317, 277],
  getrandom: [318, 278],
  membarrier: [324, 283],
  pkey_mprotect: [329, 288],
  rseq: [334, 293],
  landlock_create_ruleset: [444, 444],
  landlock_restrict_self: [446, 446],
};

/** The number of a call, on this machine's architecture if none is named. */
export function callNumber(
  name: string,
  architecture: Architecture = Deno.build.arch as Architecture,
): number {
  return CALLS[name]![architecture === "x86_64" ? 0 : 1];
}

/** Calls that touch nothing outside of the process's own memory, time and threads. */
const HARMLESS = [
  ...["futex", "sched_yield", "clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu"],
  ...["poll", "ppoll", "epoll_wait", "epoll_pwait", "nanosleep", "clock_nanosleep"],
  ...["munmap", "mprotect", "pkey_mprotect", "mremap", "madvise", "brk", "membarrier"],
  ...["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"],
  ...["getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrusage"],
  ...[
    "getrandom",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "rseq",
    "set_robust_list",
    "exit",
    "exit_group",
  ],
  // Deno asks where it is before it refuses a path, and for its program's name, and panics if it gets no answer.
  ...["getcwd", "readlink", "readlinkat"],
];

/** Calls on descriptors that Deno opened for itself and on the pipes for output, by which argument names it. */
const ON_DESCRIPTORS: readonly (readonly [name: string, argument: number])[] = [
  ["readv", 0],
  ["writev", 0],
  ["close", 0],
  ["fstat", 0],
  ["lseek", 0],
  ["epoll_ctl", 2],
];

const F_GETFD = 1;
const F_GETFL = 3;
const F_SETFL = 4;
const PR_SET_NAME = 15;
const PR_SET_VMA = 0x53564d41;
const AF_UNIX = 1;
const NO_DESCRIPTOR = 0xffffffff;

const LOAD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_AT_LEAST = 0x35;
const RETURN = 0x06;

const KILL_PROCESS = 0x80000000;
const ALLOW = 0x7fff0000;
const EPERM = 1;
const REFUSE = 0x00050000 | EPERM;

/** Where a call's number, its architecture and the halves of its arguments stand for the filter to look at. */
const NUMBER = 0;
const ARCH = 4;
const low = (argument: number): number => 16 + 8 * argument;
const high = (argument: number): number => low(argument) + 4;

/** One instruction: what to do, where to go on after a comparison (instructions to skip), and a number. */
type Instruction = readonly [code: number, yes: number, no: number, value: number];

const load = (offset: number): Instruction => [LOAD, 0, 0, offset];
const answer = (value: number): Instruction => [RETURN, 0, 0, value];

/** Refuses unless what stands at `offset` is one of the values. */
function unlessOneOf(offset: number, values: readonly number[]): Instruction[] {
  return [
    load(offset),
    ...values.map((value, i): Instruction => [JUMP_IF_EQUAL, values.length - i, 0, value]),
    answer(REFUSE),
  ];
}

/** Refuses a granted descriptor, but for a call that carries what `then` asks for. */
function ifGranted(
  argument: number,
  [first, end]: FilterOptions["granted"],
  then: readonly Instruction[] = [answer(REFUSE)],
): Instruction[] {
  return [
    load(low(argument)),
    [JUMP_IF_AT_LEAST, 0, then.length + 1, first],
    [JUMP_IF_AT_LEAST, then.length, 0, end],
    ...then,
  ];
}

/**
 * Makes the filter. What it does not know is refused with EPERM, so that a caller gets an error; the calls of another
 * architecture, which have other numbers, end the process.
 *
 * @returns The program, 8 bytes for each instruction (`struct sock_filter`).
 */
export function driverFilter({ architecture, pid, granted, pass }: FilterOptions): Uint8Array<
  ArrayBuffer
> {
  /** When the call is this one: what may refuse it; else it is allowed. */
  const allow = (name: string, ...unless: readonly Instruction[][]): Instruction[] => {
    const number = callNumber(name, architecture);
    if (number < 0) return [];
    const block = [...unless.flat(), answer(ALLOW)];
    return [[JUMP_IF_EQUAL, 0, block.length, number], ...block];
  };
  const passing = ifGranted(0, granted, [
    ...unlessOneOf(low(3), [pass[0]]),
    ...unlessOneOf(low(4), [pass[1]]),
  ]);
  const program: Instruction[] = [
    load(ARCH),
    [JUMP_IF_EQUAL, 1, 0, AUDIT_NUMBERS[architecture]],
    answer(KILL_PROCESS),
    load(NUMBER),
    ...(architecture === "x86_64" ? [[JUMP_IF_AT_LEAST, 0, 1, X32] as const, answer(REFUSE)] : []),
    // Those of the hot path first.
    ...allow("write", passing),
    ...allow("read", passing),
    ...HARMLESS.flatMap((name) => allow(name)),
    ...ON_DESCRIPTORS.flatMap(([name, argument]) => allow(name, ifGranted(argument, granted))),
    ...allow("fcntl", ifGranted(0, granted), unlessOneOf(low(1), [F_GETFD, F_GETFL, F_SETFL])),
    // Memory, but no file as memory.
    ...allow("mmap", unlessOneOf(low(4), [NO_DESCRIPTOR])),
    // Deno tells itself of signals by a pair of sockets that only this process has.
    ...allow("socketpair", unlessOneOf(low(0), [AF_UNIX])),
    ...allow("recvfrom", ifGranted(0, granted)),
    ...allow("sendto", ifGranted(0, granted), unlessOneOf(low(4), [0]), unlessOneOf(high(4), [0])),
    // abort(), and no other process's end.
    ...allow("tgkill", unlessOneOf(low(0), [pid])),
    ...allow("prctl", unlessOneOf(low(0), [PR_SET_NAME, PR_SET_VMA])),
    // Limits may be asked for, not changed.
    ...allow("prlimit64", unlessOneOf(low(2), [0]), unlessOneOf(high(2), [0])),
    answer(REFUSE),
  ];
  const bytes = new Uint8Array(8 * program.length);
  const view = new DataView(bytes.buffer);
  program.forEach(([code, yes, no, value], i) => {
    view.setUint16(8 * i, code, true);
    view.setUint8(8 * i + 2, yes);
    view.setUint8(8 * i + 3, no);
    view.setUint32(8 * i + 4, value, true);
  });
  return bytes;
}
