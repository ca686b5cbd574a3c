import { capabilities, MSI_X } from "./capabilities.ts";
import type { Registers } from "./registers.ts";

/** Where a function has its MSI-X table (PCI 3.0, 6.8.2). */
export interface Msix {
  /** Offset of the capability in the configuration space. */
  readonly capability: number;
  /** Number of vectors, 1 to 2048. */
  readonly vectors: number;
  /** The memory BAR that holds the table. */
  readonly bar: number;
  /** Offset of the table in it. */
  readonly offset: number;
}

const MESSAGE_CONTROL = 2;
const TABLE = 4;
const TABLE_SIZE = 0x7ff;
const FUNCTION_MASK = 1 << 14;
const ENABLE = 1 << 15;

const CAPABILITY_BYTES = 12;
/** Bytes of an entry of the table. */
export const MSIX_ENTRY_BYTES = 16;
const ENTRY_MASKED = 1;

/**
 * Finds the MSI-X table of a function; undefined if it has none that can be used: a device without vectors uses the
 * interrupt pin, or polls.
 *
 * @param barSize Bytes of a memory BAR, undefined if there is no such BAR: a table that is not inside one is none.
 * @throws {PciFault} If its capability list is broken.
 */
export function findMsix(
  config: Registers,
  barSize: (bar: number) => number | undefined,
): Msix | undefined {
  const found = capabilities(config).find(({ id }) => id === MSI_X);
  if (!found || found.length < CAPABILITY_BYTES) return undefined;
  const table = config.read32(found.offset + TABLE);
  const vectors = (config.read16(found.offset + MESSAGE_CONTROL) & TABLE_SIZE) + 1;
  const bar = table & 0x7;
  const offset = (table & ~0x7) >>> 0;
  if (offset + vectors * MSIX_ENTRY_BYTES > (barSize(bar) ?? 0)) return undefined;
  return { capability: found.offset, vectors, bar, offset };
}

/** Whether a function has MSI-X and it is turned on. */
export function isMsixEnabled(config: Registers): boolean {
  const found = capabilities(config).find(({ id }) => id === MSI_X);
  return found !== undefined && (config.read16(found.offset + MESSAGE_CONTROL) & ENABLE) !== 0;
}

/** What the function writes when it signals a vector. */
export interface Message {
  /** Where: a multiple of 4. */
  readonly address: number;
  /** What: 32 bits. */
  readonly data: number;
}

/**
 * Turns MSI-X on, with `messages` for the first vectors and all others masked. The whole function is masked until
 * the table is complete, so that no half of an entry is ever used.
 *
 * @param table The registers of the BAR that the table is in.
 */
export function enableMsix(
  config: Registers,
  msix: Msix,
  table: Registers,
  messages: readonly Message[],
): void {
  const control = msix.capability + MESSAGE_CONTROL;
  config.write16(control, ENABLE | FUNCTION_MASK);
  for (let vector = 0; vector < msix.vectors; vector++) {
    const entry = msix.offset + vector * MSIX_ENTRY_BYTES;
    const message = messages[vector];
    if (message) {
      table.write32(entry, message.address % 2 ** 32);
      table.write32(entry + 4, Math.floor(message.address / 2 ** 32));
      table.write32(entry + 8, message.data);
    }
    table.write32(entry + 12, message ? 0 : ENTRY_MASKED);
  }
  config.write16(control, ENABLE);
}

/** Turns MSI-X off. */
export function disableMsix(config: Registers, msix: Msix): void {
  config.write16(msix.capability + MESSAGE_CONTROL, FUNCTION_MASK);
}
