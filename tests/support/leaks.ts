/**
 * What a process holds of the system, as Linux sees it.
 *
 * @module
 */

/** The open descriptors of a process and what they are, `"4 anon_inode:[eventfd]"`, sorted. */
export function descriptors(pid: number | "self" = "self"): string[] {
  const folder = `/proc/${pid}/fd`;
  return [...Deno.readDirSync(folder)].flatMap(({ name }) => {
    try {
      return [`${name} ${Deno.readLinkSync(`${folder}/${name}`)}`];
    } catch {
      return []; // the one that the folder itself was read by
    }
  }).sort();
}

/** The process ids of this process's children, the dead among them included. */
export function children(): number[] {
  return [...Deno.readDirSync("/proc/self/task")].flatMap(({ name }) => {
    try {
      const text = Deno.readTextFileSync(`/proc/self/task/${name}/children`);
      return text.split(" ").filter((pid) => pid !== "").map(Number);
    } catch {
      return []; // a thread that has ended meanwhile
    }
  }).sort();
}

/** Whether a process is there and not a corpse that waits for its parent. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

/**
 * Waits until something is so; false if it is not within so many milliseconds. A machine with other work is slow, and
 * only a test that fails waits so long.
 */
export async function soon(condition: () => boolean, milliseconds = 30_000): Promise<boolean> {
  const deadline = performance.now() + milliseconds;
  while (!condition()) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return true;
}

/**
 * Runs `work` and tells what it left behind: descriptors, children, files in /dev/shm. A first run of something
 * similar opens what stays open for good.
 */
export async function leftovers(work: () => Promise<void>): Promise<string[]> {
  const before = held();
  await work();
  return [...held()].filter((each) => !before.has(each));
}

function held(): Set<string> {
  const shared = [...Deno.readDirSync("/dev/shm")].map(({ name }) => `/dev/shm/${name}`);
  return new Set([...descriptors(), ...children().map((pid) => `process ${pid}`), ...shared]);
}
