import type { MemoryStatistics } from "./protocol.ts";

const KIB = 1024;
const PAGE = 4096;

/** Finds the figures in the text of `/proc/meminfo` and `/proc/vmstat`. What a kernel does not count is left out. */
export function parseMemoryStatistics(meminfo: string, vmstat: string): MemoryStatistics {
  const sizes = counts(meminfo, /^(\w+): +(\d+) kB$/gm);
  const events = counts(vmstat, /^(\w+) (\d+)$/gm);
  const found = {
    swapIn: times(events.get("pswpin"), PAGE),
    swapOut: times(events.get("pswpout"), PAGE),
    majorFaults: events.get("pgmajfault"),
    minorFaults: events.get("pgfault"),
    freeMemory: times(sizes.get("MemFree"), KIB),
    totalMemory: times(sizes.get("MemTotal"), KIB),
    availableMemory: times(sizes.get("MemAvailable"), KIB),
    diskCaches: times(events.get("nr_file_pages"), PAGE),
    hugetlbAllocations: events.get("htlb_buddy_alloc_success"),
    hugetlbFailures: events.get("htlb_buddy_alloc_fail"),
    oomKills: events.get("oom_kill"),
    // One for each zone of memory.
    allocationStalls: sum(events, /^allocstall_/),
    asyncScans: events.get("pgscan_kswapd"),
    directScans: events.get("pgscan_direct"),
    asyncReclaims: events.get("pgsteal_kswapd"),
    directReclaims: events.get("pgsteal_direct"),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

function counts(text: string, line: RegExp): ReadonlyMap<string, number> {
  return new Map([...text.matchAll(line)].map(([, name, value]) => [name!, Number(value)]));
}

function times(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}

function sum(all: ReadonlyMap<string, number>, name: RegExp): number | undefined {
  const found = [...all].filter(([each]) => name.test(each)).map(([, value]) => value);
  return found.length === 0 ? undefined : found.reduce((a, b) => a + b);
}
