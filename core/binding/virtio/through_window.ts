import { DoorbellRelay } from "../../irq/doorbell_relay.ts";
import type { InterruptLoop } from "../../irq/interrupt_loop.ts";
import { isIoBar } from "../../pci/bars.ts";
import { BAR0 } from "../../pci/config_space.ts";
import type { Registers } from "../../pci/registers.ts";
import type { OpenFunction } from "../../pci/function.ts";
import { structureExtent } from "../../virtio/capabilities.ts";
import { pciCfgWindow } from "../../virtio/pci_cfg_window.ts";

/**
 * A function whose BARs, where the platform cannot reach them, are reached through the window that a VirtIO device has
 * in its configuration space (virtio 1.4, 4.1.4.9). It is slow, but it needs no memory space at all.
 *
 * Drivers cannot write there: they ring an eventfd, and the core notifies the device of all its queues.
 */
export function throughWindow(device: OpenFunction, loop: InterruptLoop): OpenFunction {
  const windows = new Map<number, Registers>();
  let relay: DoorbellRelay | undefined;

  function window(bar: number): Registers | undefined {
    const known = windows.get(bar);
    if (known || isIoBar(device.config, bar)) return known;
    // A BAR that reads 0 is none, unless there was no room for it; the device would answer for it all the same.
    const none = device.config.read32(BAR0 + 4 * bar) === 0;
    if (none && device.noRoom?.(bar) === undefined) return undefined;
    const length = structureExtent(device.config, bar);
    const found = length === 0
      ? undefined
      : pciCfgWindow(device.config, { bar, offset: 0, length });
    if (found) windows.set(bar, found);
    return found;
  }

  return {
    config: device.config,
    ...(device.inThread && { inThread: true }),
    ...(device.wanted === undefined ? {} : { wanted: device.wanted }),
    ...(device.failed === undefined ? {} : { failed: device.failed }),
    dma: (bytes, reach) => device.dma(bytes, reach),
    renew: (memory) => device.renew?.(memory),
    failure: () => device.failure?.(),
    settled: () => device.settled?.() ?? Promise.resolve(),
    physical: (memory) => device.physical?.(memory) ?? memory.runs,
    vectors: (wanted) => device.vectors(wanted),
    ...(device.useVectors ? { useVectors: (count) => device.useVectors!(count) } : {}),
    intx: () => device.intx?.(),
    unmaskIntx: () => device.unmaskIntx?.(),
    takeAnswers: () => device.takeAnswers(),
    restore: () => device.restore?.(),
    ...(device.reset ? { reset: () => device.reset!() } : {}),
    bar: (index) => device.bar(index) ?? window(index),
    noRoom: (index) => device.noRoom?.(index),
    doorbell(bar, offset, value, width) {
      if (device.bar(bar)) return device.doorbell(bar, offset, value, width);
      const registers = window(bar);
      if (!registers) {
        throw new RangeError(`Cannot ring a doorbell: the function has no BAR ${bar}`);
      }
      relay ??= new DoorbellRelay(loop);
      return relay.add(
        value,
        width === 2
          ? () => registers.write16(offset, value)
          : () => registers.write32(offset, value),
      );
    },
    [Symbol.dispose]() {
      relay?.[Symbol.dispose]();
      device[Symbol.dispose]();
    },
  };
}
