// Limits and shuts in the process that calls it: prctl, user, Landlock, seccomp.

import { check, errno, OsError } from "./os_error.ts";
import { addressOf, cString, libc } from "./libc.ts";
import { close, writeAll } from "./fd.ts";
import { open, readFolder, readLink } from "./file.ts";
import { type Architecture, callNumber, driverFilter, type Pass } from "./filter.ts";
import { isRoot } from "./limits.ts";
import { ignoreSignal, processId } from "./process.ts";

const PR_SET_PDEATHSIG = 1;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const RLIMIT_FSIZE = 1;
const RLIMIT_DATA = 2;
const RLIMIT_CORE = 4;
const RLIMIT_NPROC = 6;
const RLIMIT_NOFILE = 7;
const SIGKILL = 9n;
const SIGXFSZ = 25;
const O_WRONLY_CLOEXEC = 1 | 0o2000000;
/** The user and the group that own nothing. */
const NOBODY = 65534;

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_GET_ACTION_AVAIL = 2;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const SECCOMP_RET_ERRNO = 0x00050000;
const LANDLOCK_CREATE_RULESET_VERSION = 1;
/** How many kinds of access to files each version of Landlock knows, from version 1 on. */
const LANDLOCK_FILE_RIGHTS = [13, 14, 15, 15, 16];

/** What a driver's process may use. */
export interface Confinement {
  /** The parent, without which this process ends. */
  readonly parent: number;
  /** Most bytes of private writable memory. */
  readonly memory: number;
  /** Most open descriptors. */
  readonly descriptors: number;
}

/**
 * Confines this process for good: it ends with its parent, gains no privileges, and is the first to go when memory
 * runs out.
 *
 * Safety: only limits of this process are changed, and only downwards.
 */
export function confine({ parent, memory, descriptors }: Confinement): void {
  const { getppid, open } = libc();
  follow();
  // The core may have ended before it was followed.
  if (getppid() !== parent) throw new Error("The core is gone");
  control(PR_SET_NO_NEW_PRIVS, 1n, "Cannot give up new privileges");
  limit(RLIMIT_DATA, memory);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, descriptors);
  const score = open(cString("/proc/self/oom_score_adj"), O_WRONLY_CLOEXEC, 0);
  if (score < 0) return; // Not there in every container, and only a precaution.
  writeAll(score, new TextEncoder().encode("1000"));
  close(score);
}

/** What {@linkcode enclose} leaves open. */
export interface Opening {
  /** Descriptors that were granted: the first, and the one after the last. */
  readonly granted: readonly [first: number, end: number];
  /** What their bound calls carry. */
  readonly pass: Pass;
}

/**
 * Shuts this process in, for good: into its memory, its threads and what was granted to it. Where it was root it
 * becomes another user; it opens no file, no socket, no program and no thread any more. What this machine does not have
 * of that is left out: {@linkcode wallsOf} tells what is there.
 *
 * Safety: rights are only given up. The filter leaves what Deno and the bound calls need.
 */
export function enclose(opening: Opening): void {
  letGoOfFiles();
  if (isRoot()) becomeNobody();
  // Both are lost with the change of the user, and neither must be.
  follow();
  control(PR_SET_DUMPABLE, 0n, "Cannot keep other processes out");
  ignoreSignal(SIGXFSZ);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NPROC, 0);
  denyFiles();
  filterCalls(opening);
}

/**
 * Puts nothing in the place of every file that is open: Deno's own databases, in the user's cache. Their numbers stay
 * taken, so that Deno, which has no more use for them, cannot mistake another for one.
 */
function letGoOfFiles(): void {
  const { dup2 } = libc();
  const nothing = open("/dev/null", 0);
  for (const fd of readFolder("/proc/self/fd").map(Number)) {
    const path = readLink(`/proc/self/fd/${fd}`);
    if (path?.startsWith("/") && !path.startsWith("/dev/")) dup2(nothing, fd);
  }
  close(nothing);
}

/** The core's end shall be this process's end. */
function follow(): void {
  control(PR_SET_PDEATHSIG, SIGKILL, "Cannot follow the core's end");
}

/** All threads get the identity of a user that owns nothing, and lose root's capabilities with their own. */
function becomeNobody(): void {
  const { setgroups, setresgid, setresuid } = libc();
  // Root of a container may lack the right, or the container the user.
  if (setgroups(0, null) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0) return;
  setresuid(NOBODY, NOBODY, NOBODY);
}

/** Landlock: no file is opened any more by this thread, the one that runs the driver. Only a precaution. */
function denyFiles(): void {
  const rights = LANDLOCK_FILE_RIGHTS[Math.min(landlockVersion(), LANDLOCK_FILE_RIGHTS.length) - 1];
  if (rights === undefined) return;
  const { landlock_create_ruleset, landlock_restrict_self } = libc();
  const ruleset = landlock_create_ruleset(
    callNumber("landlock_create_ruleset"),
    new Uint8Array(new BigUint64Array([2n ** BigInt(rights) - 1n]).buffer),
    8,
    0,
  );
  if (ruleset < 0) return;
  landlock_restrict_self(callNumber("landlock_restrict_self"), ruleset, 0);
  close(ruleset);
}

/** The version of Landlock that this machine has; 0 if none. */
export function landlockVersion(): number {
  const { landlock_create_ruleset } = libc();
  const number = callNumber("landlock_create_ruleset");
  return Math.max(0, landlock_create_ruleset(number, null, 0, LANDLOCK_CREATE_RULESET_VERSION));
}

/** Whether this machine has filters of system calls. */
export function hasFilters(): boolean {
  const number = callNumber("seccomp");
  const action = new Uint8Array(Uint32Array.of(SECCOMP_RET_ERRNO).buffer);
  return libc().seccomp(number, SECCOMP_GET_ACTION_AVAIL, 0, action) === 0;
}

/** Lays the filter over all threads of this process. */
function filterCalls(opening: Opening): void {
  if (!hasFilters()) return;
  const architecture = Deno.build.arch as Architecture;
  const program = driverFilter({ architecture, pid: processId(), ...opening });
  // struct sock_fprog: the number of instructions, and where they are.
  const head = new BigUint64Array(2);
  head[0] = BigInt(program.length / 8);
  head[1] = addressOf(program);
  const number = callNumber("seccomp");
  const result = libc().seccomp(
    number,
    SECCOMP_SET_MODE_FILTER,
    SECCOMP_FILTER_FLAG_TSYNC,
    new Uint8Array(head.buffer),
  );
  if (result !== 0) throw new OsError("Cannot filter system calls", errno());
}

function control(option: number, value: bigint, failure: string): void {
  check(libc().prctl(option, value, 0n, 0n, 0n), failure);
}

function limit(resource: number, value: number): void {
  const both = new BigUint64Array([BigInt(value), BigInt(value)]);
  check(libc().setrlimit(resource, both), `Cannot limit resource ${resource} to ${value}`);
}
