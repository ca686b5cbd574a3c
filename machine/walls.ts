// Which walls around a driver's process this machine has.

import { hasFilters, landlockVersion } from "../core/linux/confine.ts";
import { readText } from "../core/linux/file.ts";
import { isRoot } from "../core/linux/limits.ts";
import type { Diagnosis } from "./doctor.ts";

/** User ids up to here are those of a whole machine; a container has the part that its `uid_map` says. */
const NOBODY = 65534;

/** What of the walls around a driver's process this machine has. */
export function walls(): Diagnosis[] {
  return [user(), filter(), landlock()];
}

function user(): Diagnosis {
  const name = "drivers' user";
  if (!isRoot()) {
    return {
      name,
      state: "optional",
      found: "drivers run as the user of this program, which is not root",
      fix: "none is needed where the filter of system calls is there",
    };
  }
  if (canBecomeNobody()) return { name, state: "ok", found: `nobody (${NOBODY})` };
  return {
    name,
    state: "missing",
    found: "root, of a container that has no user nobody",
    fix: `give the container a range of user ids that has ${NOBODY} in it`,
  };
}

/** Whether the user namespace has the id. Each line: first id inside, first outside, how many. */
function canBecomeNobody(): boolean {
  return readText("/proc/self/uid_map").trim().split("\n").some((line) => {
    const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
    return first <= NOBODY && NOBODY < first + count;
  });
}

function filter(): Diagnosis {
  const name = "drivers' filter of system calls";
  return hasFilters() ? { name, state: "ok", found: "seccomp" } : {
    name,
    state: "missing",
    found: "no seccomp: only Deno's permissions keep drivers from files and sockets",
    fix: "a kernel with CONFIG_SECCOMP_FILTER, and a container that allows seccomp(2)",
  };
}

function landlock(): Diagnosis {
  const name = "drivers' Landlock";
  const version = landlockVersion();
  return version > 0 ? { name, state: "ok", found: `version ${version}` } : {
    name,
    state: "optional",
    found: "none; only a second lock behind the filter",
    fix: "a kernel since 5.13 with landlock among its security modules (lsm=)",
  };
}
