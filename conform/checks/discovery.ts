// What the function says of itself in its configuration space (PCI 3.0, 6; virtio 1.4, 4.1.4).

import {
  BAR0,
  BAR_IO,
  BAR_MEMORY_64,
  DEVICE_ID,
  REVISION_ID,
  VENDOR_ID,
} from "../../core/pci/config_space.ts";
import { capabilities, MSI_X, VENDOR_SPECIFIC } from "../../core/pci/capabilities.ts";
import { pciCfgWindow } from "../../core/virtio/pci_cfg_window.ts";
import { findStructures } from "../../core/virtio/capabilities.ts";
import { type Check, must, needs, violation } from "../check.ts";
import { COMMON } from "../common.ts";
import type { Rig } from "../rig.ts";

const SHARED_MEMORY = 8;
const SHARED_MEMORY_BYTES = 24;

/** Runs what throws faults of devices, as a violation. */
function found<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof Error && /^(DeviceFault|PciFault)$/.test(error.name)) {
      throw violation(error.message);
    }
    throw error;
  }
}

const list = (rig: Rig) => found(() => capabilities(rig.device.config));

export const DISCOVERY: readonly Check[] = [
  {
    name: "discovery.capabilities",
    section: "PCI 3.0, 6.7",
    does: "has a list of capabilities that ends, in its own part of the configuration space",
    run: (rig) => void list(rig),
  },
  {
    name: "discovery.structures",
    section: "4.1.4",
    does:
      "has common configuration, notifications and ISR status inside its BARs, aligned and apart",
    run(rig) {
      const { device } = rig;
      found(() => findStructures(device.config, (bar) => device.bar(bar)?.size));
    },
  },
  {
    name: "discovery.window",
    section: "4.1.4.9.1",
    does: "reads its registers through the window in its configuration space, too",
    run(rig) {
      const { config } = rig.device;
      const window = found(() => pciCfgWindow(config, rig.structures.common));
      must(window !== undefined, "it has no VIRTIO_PCI_CAP_PCI_CFG");
      const [direct, through] = [rig.common, window].map((at) => at.read16(COMMON.numQueues));
      must(through === direct, `num_queues reads as ${through} there, and as ${direct} in its BAR`);
    },
  },
  {
    name: "discovery.bars",
    section: "PCI 3.0, 6.2.5.1",
    does: "has room for the upper half of each BAR of 64 bits",
    run(rig) {
      const bar = rig.device.config.read32(BAR0 + 4 * 5);
      const wide = (bar & (BAR_IO | 0x6)) === BAR_MEMORY_64;
      // As the upper half of BAR 4 it is an address.
      const before = rig.device.config.read32(BAR0 + 4 * 4);
      const upper = (before & (BAR_IO | 0x6)) === BAR_MEMORY_64;
      must(!wide || upper, "its last BAR is the lower half of one of 64 bits");
    },
  },
  {
    name: "discovery.identity",
    section: "4.1.2.1",
    does: "is of the same vendor and device in use as before",
    run(rig) {
      const { config } = rig.device;
      const read = () => [config.read16(VENDOR_ID), config.read16(DEVICE_ID)].join(":");
      const before = read();
      rig.start();
      must(read() === before, `it was ${before} and is ${read()} in use`);
    },
  },
  {
    name: "discovery.revision",
    section: "4.1.2.1",
    does: "has a revision of 1 or more, if it is modern",
    run({ device: { config } }) {
      needs(config.read16(DEVICE_ID) >= 0x1040, "it is transitional");
      must(config.read8(REVISION_ID) >= 1, "its revision is 0");
    },
  },
  {
    name: "discovery.msix",
    section: "PCI 3.0, 6.8.2",
    does: "has its MSI-X table inside a BAR",
    run(rig) {
      const { config } = rig.device;
      const at = list(rig).find(({ id }) => id === MSI_X)?.offset;
      needs(at !== undefined, "it has no MSI-X");
      const vectors = (config.read16(at + 2) & 0x7ff) + 1;
      const table = config.read32(at + 4);
      const size = rig.device.bar(table & 7)?.size ?? 0;
      const end = table - (table & 7) + 16 * vectors;
      must(end <= size, `its table ends at ${end} of BAR ${table & 7}, which has ${size} bytes`);
    },
  },
  {
    name: "discovery.shared_memory",
    section: "4.1.4.7.1",
    does: "has its shared memory inside its BARs",
    run(rig) {
      const { config } = rig.device;
      const all = list(rig).filter(({ id, offset, length }) =>
        id === VENDOR_SPECIFIC && length >= SHARED_MEMORY_BYTES &&
        config.read8(offset + 3) === SHARED_MEMORY
      );
      needs(all.length > 0, "it has no shared memory");
      for (const { offset: at } of all) {
        const [start, length] = [8, 12].map((field) =>
          config.read32(at + field) + config.read32(at + field + 8) * 2 ** 32
        );
        const bar = config.read8(at + 4);
        const size = rig.device.bar(bar)?.size ?? 0;
        must(
          start! + length! <= size,
          `it ends at ${start! + length!} of BAR ${bar}, of ${size} bytes`,
        );
      }
    },
  },
  {
    name: "discovery.notify_offsets",
    section: "4.1.4.4.1",
    does: "has the notification register of each queue inside the structure",
    run(rig) {
      const { structures: { notify, notifyMultiplier }, common } = rig;
      const count = Math.min(common.read16(COMMON.numQueues), 1024);
      for (let queue = 0; queue < count; queue++) {
        common.write16(COMMON.queueSelect, queue);
        if (common.read16(COMMON.queueSize) === 0) continue;
        const end = common.read16(COMMON.queueNotifyOffset) * notifyMultiplier + 2;
        must(
          end <= notify.length,
          `that of queue ${queue} ends at ${end} of ${notify.length} bytes`,
        );
      }
    },
  },
];
