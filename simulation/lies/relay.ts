import type { Chain, DeviceQueue } from "../../core/virtqueue/device_queue.ts";
import type { Lie } from "../lie.ts";
import type { Ring } from "../ring.ts";

/** A ring that does what the honest one does, but for `lies`. */
export function relay(honest: DeviceQueue, lies: Partial<DeviceQueue>): DeviceQueue {
  return {
    size: honest.size,
    take: (chain) => honest.take(chain),
    put: (head, written) => honest.put(head, written),
    publish: () => honest.publish(),
    arm: () => honest.arm(),
    ...lies,
  };
}

/**
 * A lie about what was used: for {@linkcode Lie.queue}.
 *
 * @param put Called in place of the honest one, and given its queue; `nth` counts the queue's requests from 1.
 */
export function used(
  put: (honest: DeviceQueue, head: number, written: number, nth: number) => void,
): NonNullable<Lie["queue"]> {
  return (honest) => {
    let nth = 0;
    return relay(honest, { put: (head, written) => put(honest, head, written, ++nth) });
  };
}

/**
 * A lie about what was taken.
 *
 * @param took Called after each request that was, with the index of its first descriptor in the descriptor area.
 */
export function taken(
  took: (ring: Ring, chain: Chain, first: number) => void,
): NonNullable<Lie["queue"]> {
  return (honest, ring) => {
    const first = follow(ring);
    return relay(honest, {
      take(chain) {
        const any = honest.take(chain);
        if (any) took(ring, chain, first(chain));
        return any;
      },
    });
  };
}

/** Makes a function that says where each request starts, if it is asked after each was taken, in order. */
export function follow({ kind, memory, descriptors, size }: Ring): (chain: Chain) => number {
  if (kind === "split") return (chain) => chain.head;
  const halves = new Uint16Array(memory);
  const INDIRECT = 4;
  let next = 0;
  return ({ count }) => {
    const first = next;
    const flags = halves[(descriptors + 16 * first) / 2 + 7]!;
    next = (next + (flags & INDIRECT ? 1 : count)) % size;
    return first;
  };
}
