import { close } from "../../core/linux/fd.ts";
import { open, readLink } from "../../core/linux/file.ts";
import { OsError } from "../../core/linux/os_error.ts";
import type { Mounts } from "../mounts.ts";
import { attribute } from "../../core/platform/vfio/sysfs.ts";
import { namesIn } from "./devices.ts";

/** Programs that are named; more are counted. */
const MOST = 3;

/** Which programs have which device nodes open, as far as this user may see. */
export class Programs {
  readonly #mounts: Mounts;
  /** Numbers of processes by the node that they have open. */
  readonly #users = new Map<string, Set<string>>();

  /** Looks at all processes that this user may see. */
  constructor(mounts: Mounts) {
    this.#mounts = mounts;
    const { proc } = mounts;
    for (const process of namesIn(proc).filter((name) => /^\d+$/.test(name))) {
      for (const fd of namesIn(`${proc}/${process}/fd`)) {
        const path = readLink(`${proc}/${process}/fd/${fd}`);
        if (!path?.startsWith("/dev/")) continue;
        const users = this.#users.get(path) ?? new Set();
        this.#users.set(path, users.add(process));
      }
    }
  }

  /** The programs that have a node open, as a sentence; none if there are none. */
  uses(node: string): string[] {
    const path = `/dev/${node}`;
    const users = [...this.#users.get(path) ?? []];
    if (users.length === 0) return [];
    const names = users.slice(0, MOST).map((process) => {
      const name = attribute(`${this.#mounts.proc}/${process}/comm`) ?? "a program";
      return `${name} (process ${process})`;
    });
    const more = users.length > MOST ? [`${users.length - MOST} more`] : [];
    return [`${path} is open in ${[...names, ...more].join(" and ")} (end it)`];
  }

  /** Whether a node that only one program may open has one. */
  holds(node: string): boolean {
    try {
      close(open(`${this.#mounts.dev}/${node}`, 2));
      return false;
    } catch (error) {
      return error instanceof OsError && error.code === "EBUSY";
    }
  }
}
