// What a driver's plan must be, whatever the kind of its device.

import type { WirePlan } from "../bus/message.ts";
import { MOST_SLOTS } from "../bus/lane.ts";
import { MOST_SEGMENTS, type QueueKind, wrongSize } from "../virtqueue/layout.ts";

/** A driver's plan asks for what it cannot have. */
export class PlanError extends Error {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "PlanError";
}

/** What a plan is held against. */
export interface Offered {
  /** Features of the device type. */
  readonly features: bigint;
  /** Greatest size of each queue; 0 where there is none. */
  readonly queues: readonly number[];
  /** Whether a queue may be smaller than that. */
  readonly resizable: boolean;
  /** The kind of ring that is going to be used. */
  readonly kind: QueueKind;
}

/**
 * Checks a driver's plan against what was offered.
 *
 * @returns The plan with queues cut down to what the device has.
 * @throws PlanError At the first thing that cannot be; the message names it.
 */
export function checkPlan(plan: WirePlan, offered: Offered): WirePlan {
  const fail = (what: string): never => {
    throw new PlanError(`Cannot grant the driver's plan: ${what}`);
  };
  const beyond = BigInt(plan.features) & ~offered.features;
  if (beyond !== 0n) {
    fail(`it wants the features 0x${beyond.toString(16)}, which the device does not offer`);
  }
  unique(plan.queues.map(({ name }) => name), "queue name", fail);
  unique(plan.queues.map(({ index }) => index), "queue index", fail);
  unique(plan.lanes.map(({ name }) => name), "lane name", fail);
  unique(plan.buffers.map(({ name }) => name), "buffer name", fail);
  for (const { name, slots, slotBytes } of plan.lanes) {
    if (slots < 1 || slots > MOST_SLOTS) {
      fail(`lane ${name} has ${slots} slots; 1 to ${MOST_SLOTS} are possible`);
    }
    if (slotBytes < 1) fail(`lane ${name} has slots of ${slotBytes} bytes`);
  }
  for (const { name, bytes } of plan.buffers) {
    if (bytes < 1) fail(`buffer ${name} has ${bytes} bytes`);
  }
  return {
    ...plan,
    queues: plan.queues.map((queue) => {
      const { name, index, size, buffers } = queue;
      const wrong = wrongSize(size);
      if (wrong) fail(`queue ${name} has the size ${size}: ${wrong}`);
      if (buffers < 1 || buffers > MOST_SEGMENTS) {
        fail(`queue ${name} has ${buffers} buffers in a request`);
      }
      const most = offered.queues[index] ?? 0;
      if (most === 0) {
        fail(`queue ${name} has the index ${index}, and the device has no such queue`);
      }
      if (buffers > most) {
        fail(
          `a request of queue ${name} may have ${buffers} buffers, and the device's queue has ${most} entries: no ` +
            "chain of descriptors may be longer (virtio 1.4, 2.7.5.3.1)",
        );
      }
      const unusable = wrongSize(most, offered.kind);
      if (unusable) fail(`the device's queue ${index} has the size ${most}: ${unusable} [D-33]`);
      return { ...queue, size: offered.resizable ? Math.min(size, most) : most };
    }),
  };
}

function unique(
  values: readonly (string | number)[],
  what: string,
  fail: (what: string) => never,
): void {
  const twice = values.find((value, i) => values.indexOf(value) !== i);
  if (twice !== undefined) fail(`${what} ${twice} stands in it twice`);
}
