import { type DeviceRingOptions, DriverFault } from "../core/virtqueue/device_queue.ts";
import { DESCRIPTOR_BYTES, type QueueKind } from "../core/virtqueue/layout.ts";
import type { BusMemory } from "./device_memory.ts";
import { EVENT_IDX, IN_ORDER, INDIRECT_DESC, RING_PACKED } from "./model.ts";

/** Where a ring lies, of which kind it is, and what was agreed about it. */
export interface Ring extends DeviceRingOptions {
  /** Its layout: virtio 1.4, 2.7 or 2.8. */
  readonly kind: QueueKind;
}

/** The addresses of the three areas of a queue, as the driver wrote them. */
export interface Areas {
  /** Descriptor area. */
  readonly descriptors: number;
  /** Driver area. */
  readonly driver: number;
  /** Device area. */
  readonly device: number;
}

/**
 * Finds the ring that a driver has set up.
 *
 * @param rings Where the addresses of its areas are looked up; those in descriptors are always in `memory`.
 * @throws {DriverFault} If it cannot be there.
 */
export function findRing(
  memory: BusMemory,
  size: number,
  areas: Areas,
  features: bigint,
  rings: BusMemory = memory,
): Ring {
  const packed = (features & RING_PACKED) !== 0n;
  // Lengths and alignments: 2.7 and 2.8.10.1.
  const table = rings.find(aligned(areas.descriptors, 16), DESCRIPTOR_BYTES * size, packed);
  const driver = packed
    ? rings.find(aligned(areas.driver, 4), 4)
    : rings.find(aligned(areas.driver, 2), 6 + 2 * size);
  const device = rings.find(aligned(areas.device, 4), packed ? 4 : 6 + 8 * size, true);
  if (driver.memory !== table.memory || device.memory !== table.memory) {
    throw new DriverFault("The areas of a queue are in different memories");
  }
  return {
    kind: packed ? "packed" : "split",
    memory: table.memory,
    size,
    descriptors: table.offset,
    driver: driver.offset,
    device: device.offset,
    translate: (address, length) => {
      const place = memory.find(address, length);
      if (place.memory === table.memory) return place.offset;
      throw new DriverFault("An indirect table is not in the memory of its queue");
    },
    indirect: (features & INDIRECT_DESC) !== 0n,
    eventIndex: (features & EVENT_IDX) !== 0n,
    inOrder: (features & IN_ORDER) !== 0n,
  };
}

function aligned(address: number, alignment: number): number {
  if (address % alignment === 0) return address;
  throw new DriverFault(
    `The area at 0x${address.toString(16)} is not at a multiple of ${alignment}`,
  );
}

/**
 * Whether notification data (2.9) can be true of a ring: it says up to where the driver has made requests available.
 *
 * @param data The index of the available ring; or offset and wrap counter in a packed ring.
 * @param consumed Descriptors that the device may have taken since the driver notified.
 */
export function canBe(ring: Ring, data: number, consumed: number): boolean {
  const halves = new Uint16Array(ring.memory);
  if (ring.kind === "split") {
    // It may have gone on since then, but not back.
    return (Atomics.load(halves, ring.driver / 2 + 1) - data & 0xffff) < 0x8000;
  }
  const offset = data & 0x7fff;
  const wrap = data >>> 15;
  if (offset >= ring.size) return false;
  // A lap later all has changed.
  if (consumed >= ring.size) return true;
  const last = (offset === 0 ? ring.size : offset) - 1;
  const flags = Atomics.load(halves, (ring.descriptors + DESCRIPTOR_BYTES * last) / 2 + 7);
  return (flags >>> 7 & 1) === (offset === 0 ? wrap ^ 1 : wrap);
}
