import { check } from "./os_error.ts";
import { cString, libc } from "./libc.ts";
import { close, writeAll } from "./fd.ts";

const PR_SET_PDEATHSIG = 1;
const PR_SET_NO_NEW_PRIVS = 38;
const RLIMIT_DATA = 2;
const RLIMIT_CORE = 4;
const RLIMIT_NOFILE = 7;
const SIGKILL = 9n;
const O_WRONLY_CLOEXEC = 1 | 0o2000000;

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
  const { getppid, open, prctl } = libc();
  check(prctl(PR_SET_PDEATHSIG, SIGKILL, 0n, 0n, 0n), "Cannot follow the core's end");
  // The core may have ended before it was followed.
  if (getppid() !== parent) throw new Error("The core is gone");
  check(prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n), "Cannot give up new privileges");
  limit(RLIMIT_DATA, memory);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, descriptors);
  const score = open(cString("/proc/self/oom_score_adj"), O_WRONLY_CLOEXEC, 0);
  if (score < 0) return; // Not there in every container, and only a precaution.
  writeAll(score, new TextEncoder().encode("1000"));
  close(score);
}

function limit(resource: number, value: number): void {
  const both = new BigUint64Array([BigInt(value), BigInt(value)]);
  check(libc().setrlimit(resource, both), `Cannot limit resource ${resource} to ${value}`);
}
