// Finds the structures of a device by its capabilities (virtio 1.4, 4.1.4).

import { isIoBar } from "../pci/bars.ts";
import { capabilities, VENDOR_SPECIFIC } from "../pci/capabilities.ts";
import type { Registers } from "../pci/registers.ts";
import { DeviceFault } from "../pci/device_fault.ts";

/** A structure of the device: a part of a BAR. */
export interface Structure {
  /** Index of the BAR. */
  readonly bar: number;
  /** First byte in it. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** Where a modern device keeps what the driver talks to (virtio 1.4, 4.1.4). */
export interface Structures {
  /** Common configuration. */
  readonly common: Structure;
  /** Notification registers. */
  readonly notify: Structure;
  /** Bytes between the notification registers of two queues, times their `queue_notify_off`. */
  readonly notifyMultiplier: number;
  /** Interrupt status. */
  readonly isr: Structure;
  /** Device-specific configuration, if the device type has one. */
  readonly device: Structure | undefined;
}

const COMMON = 1, NOTIFY = 2, ISR = 3, DEVICE = 4;

// Bytes of a capability of each kind, and of the structure that it names at least; alignment of that structure.
const KINDS: Readonly<
  Record<number, { name: string; bytes: number; least: number; align: number }>
> = {
  [COMMON]: { name: "common configuration", bytes: 16, least: 56, align: 4 },
  [NOTIFY]: { name: "notification", bytes: 20, least: 2, align: 2 },
  [ISR]: { name: "interrupt status", bytes: 16, least: 1, align: 1 },
  [DEVICE]: { name: "device configuration", bytes: 16, least: 1, align: 4 },
};

/**
 * Finds the structures of a modern device. Of several capabilities of a kind the first usable one counts; what a
 * later specification may add is passed over.
 *
 * @param config The function's configuration space.
 * @param barSize Bytes of a memory BAR; undefined if there is no such BAR.
 * @throws DeviceFault If a structure that must be there has no usable capability; it says why each was refused.
 * @throws PciFault If the capability list itself is broken.
 */
export function findStructures(
  config: Registers,
  barSize: (bar: number) => number | undefined,
): Structures {
  const found = new Map<number, Structure>();
  const refused: { rule: string; why: string }[] = [];
  let notifyMultiplier = 0;
  for (const { id, offset: at, length: capabilityLength } of capabilities(config)) {
    if (id !== VENDOR_SPECIFIC || capabilityLength < 4) continue;
    const type = config.read8(at + 3);
    const kind = KINDS[type];
    if (!kind || found.has(type)) continue;
    const refuse = (rule: string, why: string) =>
      refused.push({ rule, why: `the ${kind.name} capability at 0x${at.toString(16)} ${why}` });
    if (capabilityLength < kind.bytes) {
      refuse("D-03", `has ${capabilityLength} bytes instead of ${kind.bytes}`);
      continue;
    }
    const bar = config.read8(at + 4);
    const offset = config.read32(at + 8);
    const length = config.read32(at + 12);
    if (bar > 5) {
      refuse("D-05", `names BAR ${bar}`);
      continue;
    }
    // Ports could be used too, but not mapped; a device with ports has the same in memory, so that is next in the list.
    const size = isIoBar(config, bar) ? undefined : barSize(bar);
    if (size === undefined) refuse("D-06", `names BAR ${bar}, which is no memory BAR`);
    else if (length < kind.least) {
      refuse("D-10", `has a structure of ${length} bytes, ${kind.least} are needed`);
    } else if (offset % kind.align !== 0) {
      refuse("D-09", `has a structure at the odd offset ${offset}`);
    } // Both are below 2³², so the sum of two numbers cannot wrap (D-08).
    else if (offset + length > size) {
      refuse("D-07", `ends at ${offset + length} in BAR ${bar} of ${size} bytes`);
    } else {
      found.set(type, { bar, offset, length });
      if (type === NOTIFY) notifyMultiplier = config.read32(at + 16);
    }
  }
  const need = (type: number): Structure => {
    const structure = found.get(type);
    if (structure) return structure;
    const name = KINDS[type]!.name;
    const reasons = refused.filter(({ why }) => why.includes(name));
    throw new DeviceFault(
      reasons[0]?.rule ?? "D-11",
      `The device has no usable ${name} structure: ` +
        (reasons.map(({ why }) => why).join("; ") || "there is no such capability") +
        " (virtio 1.4, 4.1.4)",
    );
  };
  if (notifyMultiplier === 1 || (notifyMultiplier & notifyMultiplier - 1) !== 0) {
    throw new DeviceFault(
      "D-14",
      `The notification multiplier ${notifyMultiplier} is neither 0 nor an even power of two`,
    );
  }
  checkApart([...found]);
  return {
    common: need(COMMON),
    notify: need(NOTIFY),
    notifyMultiplier,
    isr: need(ISR),
    device: found.get(DEVICE),
  };
}

/** The end of the last structure that a device says it has in a BAR; 0 if it has none there. */
export function structureExtent(config: Registers, bar: number): number {
  return capabilities(config)
    .filter(({ id, offset, length }) =>
      id === VENDOR_SPECIFIC && length >= 16 && KINDS[config.read8(offset + 3)] !== undefined &&
      config.read8(offset + 4) === bar
    )
    .map(({ offset }) => config.read32(offset + 8) + config.read32(offset + 12))
    .reduce((most, end) => Math.max(most, end), 0);
}

/** Structures that overlap cannot both be what they are said to be (D-12). */
function checkApart(found: readonly (readonly [number, Structure])[]): void {
  found.forEach(([type, one], i) => {
    for (const [other, two] of found.slice(i + 1)) {
      const apart = one.bar !== two.bar || one.offset + one.length <= two.offset ||
        two.offset + two.length <= one.offset;
      if (apart) continue;
      throw new DeviceFault(
        "D-12",
        `The ${KINDS[type]!.name} structure overlaps the ${
          KINDS[other]!.name
        } structure in BAR ${one.bar}`,
      );
    }
  });
}
