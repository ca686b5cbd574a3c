import type { PciAddress } from "./address.ts";
import { byteRegisters } from "./byte_registers.ts";
import {
  BAR0,
  HEADER_TYPE,
  HEADER_TYPE_BRIDGE,
  HEADER_TYPE_MULTI_FUNCTION,
  PREFETCHABLE_BASE,
  PREFETCHABLE_LIMIT,
  SECONDARY_BUS,
  SUBORDINATE_BUS,
  VENDOR_ID,
} from "./config_space.ts";
import type { ConfigAccess } from "./enumerate.ts";
import type { Registers } from "./registers.ts";

/** A function of a machine for tests; it is strict about what is behind a bridge. */
export interface FakeFunction {
  /** Device on its bus. */
  readonly device: number;
  /** Function of its device; 0 if not given. */
  readonly function?: number;
  /** Whether it says that its device has more functions. */
  readonly multi?: boolean;
  /** What its BARs read after all ones were written, for example `0xffffc00c`; two numbers for one of 64 bits. */
  readonly bars?: readonly number[];
  /** Makes it a bridge. */
  readonly behind?: readonly FakeFunction[];
  /** Whether the bridge has a 64-bit prefetchable window. */
  readonly wide?: boolean;
}

/**
 * The configuration spaces of a machine with these functions on a root bus. What is behind a bridge can be reached only
 * under the bus number that the bridge was given.
 */
export function fakeMachine(functions: readonly FakeFunction[], bus = 0): ConfigAccess {
  const root = functions.map(fakeNode);
  const nothing = byteRegisters(new Uint8Array(256).fill(0xff));
  return (address) => reach(root, bus, address) ?? nothing;
}

interface Node {
  readonly fake: FakeFunction;
  readonly config: Registers;
  readonly behind: readonly Node[];
}

function fakeNode(fake: FakeFunction): Node {
  return { fake, config: fakeConfig(fake), behind: (fake.behind ?? []).map(fakeNode) };
}

function reach(nodes: readonly Node[], bus: number, address: PciAddress): Registers | undefined {
  if (address.bus === bus) {
    return nodes.find(({ fake }) =>
      fake.device === address.device && (fake.function ?? 0) === address.function
    )?.config;
  }
  for (const { fake, config, behind } of nodes) {
    if (!fake.behind) continue;
    const secondary = config.read8(SECONDARY_BUS);
    if (secondary === 0 || secondary === bus) continue;
    if (address.bus < secondary || address.bus > config.read8(SUBORDINATE_BUS)) continue;
    return reach(behind, secondary, address);
  }
  return undefined;
}

function fakeConfig({ bars = [], behind, multi, wide }: FakeFunction): Registers {
  const config = byteRegisters(new Uint8Array(256));
  config.write16(VENDOR_ID, 0x1af4);
  config.write8(
    HEADER_TYPE,
    (behind ? HEADER_TYPE_BRIDGE : 0) | (multi ? HEADER_TYPE_MULTI_FUNCTION : 0),
  );
  // A kind of memory that there is not: bits of the address of a BAR below 16 bytes, as QEMU has them.
  const flags = (mask: number, high: boolean) =>
    high || (mask & 0x7) === 0x6 ? 0 : mask & (mask & 1 ? 0x3 : 0xf);
  const isHigh = bars.map((_, i) => i > 0 && (bars[i - 1]! & 0x7) === 0x4);
  bars.forEach((mask, i) => config.write32(BAR0 + 4 * i, flags(mask, isHigh[i]!)));
  const count = behind ? 2 : 6;
  const bridgeBits = wide ? 1 : 0;
  config.write16(PREFETCHABLE_BASE, behind ? bridgeBits : 0);
  return {
    ...config,
    write32(offset, value) {
      const i = (offset - BAR0) / 4;
      if (i < 0 || i >= count) return config.write32(offset, value);
      const mask = bars[i] ?? 0;
      config.write32(offset, ((value & mask) | flags(mask, isHigh[i] ?? false)) >>> 0);
    },
    write16(offset, value) {
      const readOnly = behind && (offset === PREFETCHABLE_BASE || offset === PREFETCHABLE_LIMIT);
      config.write16(offset, readOnly ? value & 0xfff0 | bridgeBits : value);
    },
  };
}
