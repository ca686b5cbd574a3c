/**
 * What processes cost, from Linux's own accounts.
 *
 * @module
 */

/** Memory of processes in MiB; what several share is counted once, a part for each. */
export function memoryMiB(pids: readonly number[]): number {
  const kib = pids.map((pid) =>
    Number(/^Pss:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`))![1])
  );
  return kib.reduce((sum, each) => sum + each, 0) / 1024;
}

/** How often threads of processes have gone to sleep so far, and so were woken, or will be. */
export function sleeps(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
      const status = Deno.readTextFileSync(`/proc/${pid}/task/${name}/status`);
      sum += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)![1]);
    }
  }
  return sum;
}
