// Lays out what a driver is granted: places in control memory and in the arena.

import { CONTROL_BYTES, LANES } from "../bus/control.ts";
import type { Grant, QueueGrant, WirePlan } from "../bus/message.ts";
import { type LaneLayout, lanePlaces } from "../bus/lane.ts";
import { deviceAddress, type DmaRun, PAGE } from "../dma/address_table.ts";
import { Feature, has } from "../virtio/features.ts";
import { layoutPacked, layoutSplit, MOST_SEGMENTS, type QueueLayout } from "../virtqueue/layout.ts";
import { PlanError } from "./plan.ts";

/** What a grant is made of, besides the plan. */
export interface GrantOptions {
  /** All features that were agreed. */
  readonly features: bigint;
  /** The arena. */
  readonly runs: readonly DmaRun[];
}

/** The part of a grant that says where everything is. */
export type Places = Pick<Grant, "features" | "runs" | "queues" | "buffers" | "lanes">;

/**
 * Finds a place in arena and control memory for all that a checked plan wants.
 *
 * @throws PlanError If it does not fit.
 */
export function makeGrant(
  plan: WirePlan,
  options: GrantOptions,
): Places {
  const { features, runs } = options;
  const arena = new ArenaCursor(runs);
  const layOut = has(features, Feature.RING_PACKED) ? layoutPacked : layoutSplit;
  const indirect = has(features, Feature.INDIRECT_DESC);
  const largest = Math.max(0, ...plan.lanes.map(({ slotBytes }) => slotBytes));
  const queues = plan.queues.map(({ name, index, size, buffers }): QueueGrant => {
    // In an arena of several runs any buffer may straddle some, a page each at worst.
    const segments = buffers + (runs.length > 1 ? Math.ceil(largest / PAGE) : 0);
    if (indirect && segments > MOST_SEGMENTS) {
      throw new PlanError(
        `Cannot grant the driver's plan: a request of queue ${name} may need ${segments} descriptors, ` +
          `${MOST_SEGMENTS} are possible; smaller slots need less`,
      );
    }
    const tables = indirect && segments > 1 ? segments : 0;
    const { end } = layOut(0, size, tables);
    const layout = layOut(arena.take(end, `queue ${name}`), size, tables);
    return {
      name,
      index,
      layout,
      eventIndex: has(features, Feature.EVENT_IDX),
      inOrder: has(features, Feature.IN_ORDER),
    };
  });
  const buffers = plan.buffers.map(({ name, bytes }) => ({
    name,
    bytes,
    offset: arena.take(bytes, `buffer ${name}`),
  }));
  let control = LANES;
  const lanes = plan.lanes.map(({ name, slots, slotBytes }): LaneLayout => {
    const layout = {
      name,
      slots,
      slotBytes,
      control,
      data: arena.take(slots * slotBytes, `lane ${name}`, false),
    };
    control = Math.ceil(lanePlaces(control, slots).end * 4 / 64) * 64;
    if (control > CONTROL_BYTES) {
      throw new PlanError(`Cannot grant the driver's plan: it has too many slots`);
    }
    return layout;
  });
  return { features: plan.features, runs, queues, buffers, lanes };
}

/** Device addresses of the parts of a queue. */
export function queueAddresses(
  layout: QueueLayout,
  runs: readonly DmaRun[],
): { descriptors: number; driver: number; device: number } {
  return {
    descriptors: deviceAddress(runs, layout.descriptors),
    driver: deviceAddress(runs, layout.driver),
    device: deviceAddress(runs, layout.device),
  };
}

/** Hands out an arena from its start, in whole pages. */
class ArenaCursor {
  readonly #runs: readonly DmaRun[];
  readonly #size: number;
  #next = 0;

  constructor(runs: readonly DmaRun[]) {
    this.#runs = runs;
    this.#size = runs.reduce((sum, { length }) => sum + length, 0);
  }

  /** Takes `bytes` in one piece of device addresses, unless that does not matter. */
  take(bytes: number, what: string, whole = true): number {
    const offset = whole ? this.#wholePlace(bytes) : this.#next;
    this.#next = Math.ceil((offset + bytes) / PAGE) * PAGE;
    if (this.#next > this.#size) {
      throw new PlanError(
        `Cannot grant the driver's plan: ${what} needs ${bytes} bytes, and of the arena's ${this.#size} only ` +
          `${
            Math.max(0, this.#size - offset)
          } are left; limits.memoryMiB in its plugin.json may be raised`,
      );
    }
    return offset;
  }

  /** The first place from here on where so many bytes are in one run; the end if there is none. */
  #wholePlace(bytes: number): number {
    let start = 0;
    for (const { length } of this.#runs) {
      const from = Math.max(start, this.#next);
      if (from + bytes <= start + length) return from;
      start += length;
    }
    return this.#size;
  }
}
