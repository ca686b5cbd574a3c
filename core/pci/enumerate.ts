// The walk over the buses, through the bridges.

import { compareAddresses, type PciAddress } from "./address.ts";
import {
  HEADER_TYPE,
  HEADER_TYPE_BRIDGE,
  HEADER_TYPE_LAYOUT,
  HEADER_TYPE_MULTI_FUNCTION,
  PRIMARY_BUS,
  SECONDARY_BUS,
  SUBORDINATE_BUS,
  VENDOR_ID,
} from "./config_space.ts";
import type { Registers } from "./registers.ts";

/** The configuration space at an address; all ones can be read where there is no function. */
export type ConfigAccess = (address: PciAddress) => Registers;

/** A function that is there, with what is behind it if it is a bridge. */
export interface BusFunction {
  /** Where it is. */
  readonly address: PciAddress;
  /** Its configuration space. */
  readonly config: Registers;
  /** What is on the bus behind it, if it is a bridge. */
  readonly behind?: readonly BusFunction[];
  /** Why nothing behind it can be seen, if so: for people. */
  readonly unseen?: string;
}

/**
 * Finds all functions, as firmware does: the buses behind bridges are numbered on the way, depth first, because nothing
 * behind a bridge can be seen before it has its numbers.
 *
 * @param roots Buses that no bridge leads to, ascending. What is behind each gets the numbers up to the next one.
 */
export function enumerate(access: ConfigAccess, roots: readonly number[] = [0]): BusFunction[] {
  return roots.flatMap((root, i) => enumerateRoot(access, root, (roots[i + 1] ?? 256) - 1));
}

function enumerateRoot(access: ConfigAccess, root: number, most: number): BusFunction[] {
  let lastBus = root;

  function scanBus(bus: number): BusFunction[] {
    const found: BusFunction[] = [];
    for (let device = 0; device < 32; device++) {
      let functions = 1;
      for (let number = 0; number < functions; number++) {
        const address = { domain: 0, bus, device, function: number };
        const config = access(address);
        if (config.read16(VENDOR_ID) === 0xffff) continue; // functions after 0 may have gaps
        const type = config.read8(HEADER_TYPE);
        if (number === 0 && type & HEADER_TYPE_MULTI_FUNCTION) functions = 8;
        const isBridge = (type & HEADER_TYPE_LAYOUT) === HEADER_TYPE_BRIDGE;
        found.push({ address, config, ...(isBridge ? scanBehind(bus, config) : {}) });
      }
    }
    return found;
  }

  function scanBehind(primary: number, bridge: Registers): Pick<BusFunction, "behind" | "unseen"> {
    if (lastBus === most) {
      const unseen = `no bus number is left for what is behind it: ${root} to ${most} are in use`;
      return { behind: [], unseen };
    }
    const bus = ++lastBus;
    bridge.write8(PRIMARY_BUS, primary);
    bridge.write8(SECONDARY_BUS, bus);
    bridge.write8(SUBORDINATE_BUS, most); // passes everything on until it is known how many there are
    const behind = scanBus(bus);
    bridge.write8(SUBORDINATE_BUS, lastBus);
    return { behind };
  }

  return scanBus(root);
}

/** All functions of a tree in the order of their addresses. */
export function flatten(tree: readonly BusFunction[]): BusFunction[] {
  return tree.flatMap((found) => [found, ...flatten(found.behind ?? [])])
    .sort((a, b) => compareAddresses(a.address, b.address));
}
