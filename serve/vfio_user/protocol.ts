/**
 * The numbers of the vfio-user protocol, version 0.1 (QEMU, docs/interop/vfio-user.rst): a client, the virtual machine
 * monitor, uses a PCI function that a server has, over a Unix socket.
 *
 * @module
 */

/** What a message asks for. */
export const Command = {
  VERSION: 1,
  DMA_MAP: 2,
  DMA_UNMAP: 3,
  DEVICE_GET_INFO: 4,
  DEVICE_GET_REGION_INFO: 5,
  DEVICE_GET_REGION_IO_FDS: 6,
  DEVICE_GET_IRQ_INFO: 7,
  DEVICE_SET_IRQS: 8,
  REGION_READ: 9,
  REGION_WRITE: 10,
  DMA_READ: 11,
  DMA_WRITE: 12,
  DEVICE_RESET: 13,
  REGION_WRITE_MULTI: 15,
  DEVICE_FEATURE: 16,
  MIG_DATA_READ: 17,
  MIG_DATA_WRITE: 18,
} as const;

/** Name of a command. */
export type CommandName = keyof typeof Command;

const NAMES = new Map<number, CommandName>(
  (Object.keys(Command) as CommandName[]).map((name) => [Command[name], name]),
);

/** The name of a command's number; undefined if it has none. */
export function commandName(command: number): CommandName | undefined {
  return NAMES.get(command);
}

/** Flags of a message's header. */
export const HeaderFlag = { TYPE: 0xf, COMMAND: 0, REPLY: 1, NO_REPLY: 0x10, ERROR: 0x20 } as const;
/** What a device may do with mapped memory (DMA_MAP). */
export const DmaFlag = { READ: 1, WRITE: 2 } as const;
/** DMA_UNMAP: all of it, whatever range is named; its dirty pages are wanted. */
export const UnmapFlag = { DIRTY_BITMAP: 1, ALL: 2 } as const;
/** What a device is (DEVICE_GET_INFO). */
export const DeviceFlag = { RESET: 1, PCI: 2 } as const;
/** What can be done with a region (DEVICE_GET_REGION_INFO). */
export const RegionFlag = { READ: 1, WRITE: 2, MMAP: 4, CAPS: 8 } as const;
/** What an interrupt can do (DEVICE_GET_IRQ_INFO). */
export const IrqFlag = { EVENTFD: 1, MASKABLE: 2, AUTOMASKED: 4, NORESIZE: 8 } as const;
/** DEVICE_SET_IRQS: what comes with it, and what is done with it. */
export const SetIrqs = {
  NONE: 1,
  BOOL: 2,
  EVENTFD: 4,
  MASK: 8,
  UNMASK: 0x10,
  TRIGGER: 0x20,
} as const;

/** Regions of a PCI function: BAR n is region n. */
export const Region = { BARS: 6, ROM: 6, CONFIG: 7, VGA: 8, COUNT: 9 } as const;
/** Interrupts of a PCI function. */
export const Irq = { INTX: 0, MSI: 1, MSIX: 2, ERR: 3, REQ: 4, COUNT: 5 } as const;

/** Bytes of a message's header. */
export const HEADER_BYTES = 16;
/** The most bytes of a region that one message reads or writes. */
export const MOST_DATA = 4096;
/** The most bytes that a message may have, its header included: twice what the longest has that clients send. */
export const MOST_BYTES = 16384;
/** The most descriptors that come with a message. */
export const MOST_DESCRIPTORS = 16;
/** The most ranges of memory that a client may map at a time. */
export const MOST_MAPS = 65535;

/** Error numbers that an error reply has. */
export const Errno = {
  ENOENT: 2,
  E2BIG: 7,
  ENOMEM: 12,
  EFAULT: 14,
  EEXIST: 17,
  EINVAL: 22,
  ENOSPC: 28,
  EOPNOTSUPP: 95,
} as const;
