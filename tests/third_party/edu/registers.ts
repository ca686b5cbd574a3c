/** Registers of the educational device, of 32 bits each, by their offsets in BAR 0 (QEMU, docs/specs/edu.rst). */
export const Register = {
  identity: 0x00,
  liveness: 0x04,
  factorial: 0x08,
  status: 0x20,
  interruptStatus: 0x24,
  raise: 0x60,
  acknowledge: 0x64,
  source: 0x80,
  destination: 0x88,
  count: 0x90,
  command: 0x98,
} as const;

/** What the low byte of the identity is. */
export const EDU = 0xed;
/** Bits of the status. */
export const EduStatus = { computing: 0x01, interrupt: 0x80 } as const;
/** Bits of the DMA command. */
export const DmaCommand = { start: 1, toMemory: 2, interrupt: 4 } as const;
/** Causes of interrupts. */
export const Cause = { factorial: 0x001, dma: 0x100 } as const;
/** Where DMA finds the device's own buffer, and its bytes. */
export const BUFFER = { address: 0x40000, bytes: 4096 } as const;
