import { PAGE } from "../../dma/address_table.ts";
import { isIoBar } from "../../pci/bars.ts";
import type { OpenFunction } from "../../pci/function.ts";
import { findMsix, MSIX_ENTRY_BYTES } from "../../pci/msix.ts";
import { subRegisters } from "../../pci/registers.ts";
import type { RegisterNeed } from "../../plugin/manifest.ts";
import type { GrantedRegisters } from "../binding.ts";
import { PlanError } from "../plan.ts";

/**
 * The windows of registers that a driver's manifest names.
 *
 * @throws PlanError If one is not in a memory BAR of the function, or on a page with its interrupt table: a driver that
 *   could write there could make the device write anywhere.
 */
export function registerWindows(
  device: OpenFunction,
  needs: readonly RegisterNeed[],
): Readonly<Record<string, GrantedRegisters>> {
  const table = interruptTable(device);
  return Object.fromEntries(needs.map(({ name, bar, offset, bytes, doorbells }) => {
    const fail = (what: string): never => {
      throw new PlanError(
        `Cannot grant the registers ${name} of the driver's plugin.json: ${what}`,
      );
    };
    const whole = device.bar(bar) ?? fail(device.noRoom?.(bar) ?? `the device has no BAR ${bar}`);
    if (isIoBar(device.config, bar)) fail(`BAR ${bar} has I/O ports, and only memory is granted`);
    if (offset + bytes > whole.size) {
      fail(`they end at byte ${offset + bytes}, and BAR ${bar} has ${whole.size} bytes`);
    }
    const end = Math.ceil((offset + bytes) / PAGE) * PAGE;
    if (table && table.bar === bar && table.start < end && table.end > offset) {
      fail(`they share a page with the device's interrupt table`);
    }
    const window = subRegisters(whole, offset, bytes);
    const pages = device.pages?.(bar, offset, bytes);
    return [name, { window, ...pages && { pages }, ...doorbells && { doorbells } }];
  }));
}

/** Pages of the MSI-X table. */
function interruptTable(
  device: OpenFunction,
): { readonly bar: number; readonly start: number; readonly end: number } | undefined {
  const msix = findMsix(device.config, (bar) => device.bar(bar)?.size);
  if (!msix) return undefined;
  const { bar, offset, vectors } = msix;
  return {
    bar,
    start: Math.floor(offset / PAGE) * PAGE,
    end: Math.ceil((offset + vectors * MSIX_ENTRY_BYTES) / PAGE) * PAGE,
  };
}
