import { close } from "../../linux/fd.ts";
import { HUGE_PAGE, hugeMemoryFile } from "../../linux/memory.ts";
import { advise } from "../../linux/os_error.ts";
import { physicalRuns } from "../../linux/physical.ts";
import type { DmaMemory } from "../../pci/function.ts";

/**
 * Memory for a device that knows it by the machine's own addresses: huge pages, since nothing else stays where it is.
 *
 * @param unsafe Why the device can reach other memory, too.
 * @throws OsError If there are no huge pages; it says how to get some.
 */
export function physicalMemory(bytes: number, unsafe: string): DmaMemory {
  const size = Math.ceil(bytes / HUGE_PAGE) * HUGE_PAGE;
  const pages = size / HUGE_PAGE;
  const fix = `set some aside, as root: echo ${
    Math.max(64, 2 * pages)
  } > /proc/sys/vm/nr_hugepages`;
  const fd = advise(`Cannot have ${pages} huge pages`, {
    ENOMEM: fix,
    ENOSPC: fix,
    ENODEV: "this kernel has none (CONFIG_HUGETLBFS)",
    ENOSYS: "this kernel has none (CONFIG_HUGETLBFS)",
  }, () => hugeMemoryFile("virtio-dma", size));
  try {
    const runs = physicalRuns(fd, 0, size);
    return { fd, offset: 0, size, runs, alignment: HUGE_PAGE, unsafe };
  } catch (error) {
    close(fd);
    throw error;
  }
}
