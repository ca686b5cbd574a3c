import { assert, assertEquals } from "@std/assert";
import { MEMORY_STATISTICS } from "./protocol.ts";
import { parseMemoryStatistics } from "./memory_statistics.ts";

const MEMINFO = `MemTotal:       24683620 kB
MemFree:        22021448 kB
MemAvailable:   22999012 kB
Cached:          1100000 kB
HugePages_Total:       0
`;
const VMSTAT = `nr_file_pages 300
pswpin 2
pswpout 3
pgfault 1000
pgmajfault 10
allocstall_dma 1
allocstall_normal 4
pgscan_kswapd 5
pgscan_direct 6
pgscan_direct_throttle 77
pgsteal_kswapd 7
pgsteal_direct 8
oom_kill 9
htlb_buddy_alloc_success 11
htlb_buddy_alloc_fail 12
`;

Deno.test("parseMemoryStatistics() finds every figure, in bytes or counts #balloon:stats_tags #balloon:linux_tags", () => {
  assertEquals(parseMemoryStatistics(MEMINFO, VMSTAT), {
    swapIn: 2 * 4096,
    swapOut: 3 * 4096,
    majorFaults: 10,
    minorFaults: 1000,
    freeMemory: 22021448 * 1024,
    totalMemory: 24683620 * 1024,
    availableMemory: 22999012 * 1024,
    diskCaches: 300 * 4096,
    hugetlbAllocations: 11,
    hugetlbFailures: 12,
    oomKills: 9,
    allocationStalls: 5,
    asyncScans: 5,
    directScans: 6,
    asyncReclaims: 7,
    directReclaims: 8,
  });
});

Deno.test("parseMemoryStatistics() leaves out what a kernel does not count", () => {
  assertEquals(parseMemoryStatistics("MemFree: 4 kB\nnonsense\n", "oom_kill 1\n"), {
    freeMemory: 4096,
    oomKills: 1,
  });
  assertEquals(parseMemoryStatistics("", ""), {});
});

Deno.test("parseMemoryStatistics() reads the figures of this machine", () => {
  const meminfo = Deno.readTextFileSync("/proc/meminfo");
  const figures = parseMemoryStatistics(meminfo, Deno.readTextFileSync("/proc/vmstat"));
  const total = /MemTotal: +(\d+)/.exec(meminfo)![1];
  assertEquals(figures.totalMemory, Number(total) * 1024);
  assert(figures.freeMemory! > 0 && figures.freeMemory! < figures.totalMemory!);
  assert(Object.keys(figures).every((name) => name in MEMORY_STATISTICS));
});
