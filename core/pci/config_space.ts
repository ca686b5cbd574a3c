/**
 * Names and offsets of the PCI configuration space, as in the PCI Local Bus Specification 3.0, chapter 6, and the
 * PCI-to-PCI Bridge Architecture Specification 1.2, chapter 3. Offsets are in bytes.
 *
 * @module
 */

/** 16 bits; all ones where there is no function. */
export const VENDOR_ID = 0x00;
/** 16 bits. */
export const DEVICE_ID = 0x02;
/** 16 bits: what the function may do on the bus. */
export const COMMAND = 0x04;
/** 16 bits. */
export const STATUS = 0x06;
/** 8 bits. */
export const REVISION_ID = 0x08;
/** 8 bits: layout of the rest in bits 0 to 6, more functions in bit 7. */
export const HEADER_TYPE = 0x0e;
/** 32 bits each; six in a device, two in a bridge. */
export const BAR0 = 0x10;
/** 16 bits; devices only. */
export const SUBSYSTEM_VENDOR_ID = 0x2c;
/** 16 bits; devices only. */
export const SUBSYSTEM_ID = 0x2e;
/** 8 bits: offset of the first capability, if `STATUS_CAPABILITIES` is set. */
export const CAPABILITIES_POINTER = 0x34;
/** 8 bits: 0 for none, 1 to 4 for INTA to INTD. */
export const INTERRUPT_PIN = 0x3d;

/** `COMMAND`: answers accesses to its I/O BARs. */
export const COMMAND_IO = 1 << 0;
/** `COMMAND`: answers accesses to its memory BARs. */
export const COMMAND_MEMORY = 1 << 1;
/** `COMMAND`: may read and write memory and send message-signalled interrupts. */
export const COMMAND_BUS_MASTER = 1 << 2;
/** `COMMAND`: does not assert its interrupt pin. */
export const COMMAND_INTX_DISABLE = 1 << 10;
/** `STATUS`: asserts its interrupt pin, or would if that were not disabled. */
export const STATUS_INTERRUPT = 1 << 3;
/** `STATUS`: has a list of capabilities. */
export const STATUS_CAPABILITIES = 1 << 4;

/** `HEADER_TYPE`: the layout. */
export const HEADER_TYPE_LAYOUT = 0x7f;
/** Layout of an ordinary function. */
export const HEADER_TYPE_DEVICE = 0;
/** Layout of a PCI-to-PCI bridge. */
export const HEADER_TYPE_BRIDGE = 1;
/** `HEADER_TYPE`: functions 1 to 7 may be there too. */
export const HEADER_TYPE_MULTI_FUNCTION = 0x80;

/** `BAR`: it is in I/O space. */
export const BAR_IO = 1 << 0;
/** `BAR`, memory: 64 bits wide, the next register is the upper half. */
export const BAR_MEMORY_64 = 1 << 2;
/** `BAR`, memory: reads have no side effects. */
export const BAR_MEMORY_PREFETCHABLE = 1 << 3;

/** Bridge, 8 bits: the bus that it is on. */
export const PRIMARY_BUS = 0x18;
/** Bridge, 8 bits: the bus behind it. */
export const SECONDARY_BUS = 0x19;
/** Bridge, 8 bits: the highest bus behind it. */
export const SUBORDINATE_BUS = 0x1a;
/** Bridge, 8 bits: address bits 12 to 15 of the first I/O port passed on, in bits 4 to 7. */
export const IO_BASE = 0x1c;
/** Bridge, 8 bits: likewise of the last. */
export const IO_LIMIT = 0x1d;
/** Bridge, 16 bits: address bits 20 to 31 of the first memory passed on, in bits 4 to 15. */
export const MEMORY_BASE = 0x20;
/** Bridge, 16 bits: likewise of the last. */
export const MEMORY_LIMIT = 0x22;
/** Bridge, 16 bits: as `MEMORY_BASE`, of prefetchable memory; bit 0 tells that it is 64 bits wide. */
export const PREFETCHABLE_BASE = 0x24;
/** Bridge, 16 bits. */
export const PREFETCHABLE_LIMIT = 0x26;
/** Bridge, 32 bits: address bits 32 to 63 of the first prefetchable memory passed on. */
export const PREFETCHABLE_BASE_UPPER = 0x28;
/** Bridge, 32 bits: likewise of the last. */
export const PREFETCHABLE_LIMIT_UPPER = 0x2c;
/** Bridge, 16 bits: upper halves of `IO_BASE` and `IO_LIMIT`. */
export const IO_BASE_UPPER = 0x30;
/** Bridge, 16 bits. */
export const IO_LIMIT_UPPER = 0x32;
