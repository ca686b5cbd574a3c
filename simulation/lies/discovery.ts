import { VENDOR_SPECIFIC } from "../../core/pci/capabilities.ts";
import { BAR0, CAPABILITIES_POINTER, VENDOR_ID } from "../../core/pci/config_space.ts";
import type { CapabilityOffsets } from "../lie.ts";
import type { Hooks, Lies } from "./lies.ts";

// Kinds of capability (virtio 1.4, 4.1.4).
const COMMON = 1, SHARED_MEMORY = 8, UNKNOWN = 0x7f;

/** Lies about what the device is and where it keeps what. */
export const DISCOVERY: Lies = {
  "D-01": () => ({
    does: "has a capability list that leads back to itself",
    config: (space, at) => space.setUint8(at.notify + 1, at.common),
  }),
  "D-02": () => ({
    does: "has a capability pointer into the header",
    config: (space) => space.setUint8(CAPABILITIES_POINTER, 0x3c),
  }),
  "D-03": () => ({
    does: "has a common configuration capability too short for its fields",
    config: (space, at) => space.setUint8(at.common + 2, 8),
  }),
  "D-04": () => ({
    does: "has a capability of an unknown kind, and a bad common configuration before the good one",
    config(space, at) {
      insert(space, at.end, 16, COMMON, 2);
      insert(space, at.end + 16, 16, UNKNOWN, 4);
    },
  }),
  "D-05": () => ({
    does: "puts the common configuration into BAR 6",
    config: (space, at) => space.setUint8(at.common + 4, 6),
  }),
  "D-06": () => ({
    does: "puts the common configuration into a BAR that it does not have",
    config: (space, at) => space.setUint8(at.common + 4, 2),
  }),
  "D-07": () => ({
    does: "puts the common configuration across the end of its BAR",
    config: structure("common", 0x3ff0, 0x38),
  }),
  "D-08": () => ({
    does: "puts the common configuration where offset and length overflow 32 bits",
    config: structure("common", 0xfffff000, 0x2000),
  }),
  "D-09": () => ({
    does: "puts the common configuration at an odd offset",
    config: structure("common", 2, 0x38),
  }),
  "D-10": () => ({
    does: "has a common configuration of length 0",
    config: structure("common", 0, 0),
  }),
  "D-11": () => ({
    does: "has no notification structure",
    config: (space, at) => space.setUint8(at.notify + 3, UNKNOWN),
  }),
  "D-12": () => ({
    does: "has its notification structure where the common configuration is",
    config: (space, at) => space.setUint32(at.notify + 8, 0, true),
  }),
  "D-13": () => ({
    does: "has a notification register behind the end of the structure",
    read: (field, value) => field === "queue_notify_off" ? 0xffff : value,
  }),
  "D-14": () => ({
    does: "has a notification multiplier that is no power of two",
    config: (space, at) => space.setUint32(at.notify + 16, 3, true),
  }),
  "D-15": () => ({
    does: "has a 64-bit BAR where no memory can be",
    config: (space) => space.setUint32(BAR0 + 4 * 5, 0xdeadbeef, true),
  }),
  "D-16": () => {
    let used = false;
    return {
      does: "has no vendor any more once it is in use",
      write(field, value) {
        if (field === "device_status" && value !== 0) used = true;
        return value;
      },
      readConfig: (offset, value) => used && offset < VENDOR_ID + 4 ? 0xffffffff : value,
    };
  },
  "D-17": () => ({
    does: "has an MSI-X table of 2048 vectors behind the end of its BAR",
    config(space, { msix }) {
      if (msix === 0) return;
      space.setUint16(msix + 2, 2047, true);
      space.setUint32(msix + 4, 0x7ffff001, true);
    },
  }),
  "D-18": () => ({
    does: "has shared memory whose offset and length overflow 64 bits",
    config(space, at) {
      insert(space, at.end, 24, SHARED_MEMORY, 4);
      for (let i = 8; i < 24; i += 4) space.setUint32(at.end + i, 0xfffff000, true);
    },
  }),
};

/** A lie about where a structure is in its BAR. */
function structure(
  which: "common",
  offset: number,
  length: number,
): NonNullable<Hooks["config"]> {
  return (space: DataView, at: CapabilityOffsets) => {
    space.setUint32(at[which] + 8, offset, true);
    space.setUint32(at[which] + 12, length, true);
  };
}

/** Puts a capability before all others. */
function insert(space: DataView, at: number, length: number, kind: number, bar: number): void {
  space.setUint8(at, VENDOR_SPECIFIC);
  space.setUint8(at + 1, space.getUint8(CAPABILITIES_POINTER));
  space.setUint8(at + 2, length);
  space.setUint8(at + 3, kind);
  space.setUint8(at + 4, bar);
  space.setUint32(at + 12, 0x38, true);
  space.setUint8(CAPABILITIES_POINTER, at);
}
