// What this process may do: memory that it may lock, the rights of root.

import { check } from "./os_error.ts";
import { libc } from "./libc.ts";

const RLIMIT_MEMLOCK = 8;

/** How many bytes this process may lock in memory; Infinity if there is no limit. */
export function lockableBytes(): number {
  const both = new BigUint64Array(2);
  check(libc().getrlimit(RLIMIT_MEMLOCK, both), "Cannot ask for the limit of locked memory");
  return both[0] === 2n ** 64n - 1n ? Infinity : Number(both[0]);
}

/** Whether this process is root's. */
export function isRoot(): boolean {
  return libc().geteuid() === 0;
}
