import type { DeviceQueue } from "../virtqueue/device_queue.ts";
import { DeviceStatus } from "../virtio/status.ts";
import type { CapabilityOffsets, Lie } from "./lie.ts";
import { type DeviceModel, VERSION_1 } from "./model.ts";

/** Number of a lie in the catalogue, for example `"D-41"`. */
export type LieId = `D-${number}`;

type Hooks = Omit<Lie, "id">;

/**
 * The catalogue of hostile devices: for each number, a device that does just this. To add one, add a line.
 *
 * Each entry makes a new lie, since some remember what they said.
 */
const CATALOGUE: Record<LieId, () => Hooks> = {
  // Discovery and capabilities.
  "D-01": () => ({
    does: "has a capability list that leads back to itself",
    config: (space, at) => space.setUint8(at.notify + 1, at.common),
  }),
  "D-02": () => ({
    does: "has a capability pointer into the header",
    config: (space) => space.setUint8(0x34, 0x3c),
  }),
  "D-03": () => ({
    does: "has a common configuration capability too short for its fields",
    config: (space, at) => space.setUint8(at.common + 2, 8),
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
  "D-10": () => ({
    does: "has a common configuration of length 0",
    config: structure("common", 0, 0),
  }),
  "D-11": () => ({
    does: "has no notification structure",
    config: (space, at) => space.setUint8(at.notify + 3, 0x7f),
  }),

  // Status and features.
  "D-19": () => ({
    does: "keeps no status bit",
    read: (field, value) => field === "device_status" ? 0 : value,
  }),
  "D-20": () => ({
    does: "refuses every choice of features",
    read: (field, value) => field === "device_status" ? value & ~DeviceStatus.FEATURES_OK : value,
  }),
  "D-21": () => ({
    does: "reads its status as all ones",
    read: (field, value) => field === "device_status" ? 0xff : value,
  }),
  "D-23": () => ({
    does: "does not offer VIRTIO_F_VERSION_1",
    features: (offered) => offered & ~VERSION_1,
  }),
  "D-24": () => {
    let stuck = false;
    return {
      does: "never ends a reset once it was in use",
      write: (field, value) => {
        if (field === "device_status" && value & DeviceStatus.DRIVER_OK) stuck = true;
        return value;
      },
      read: (field, value) => field === "device_status" && stuck && value === 0 ? 1 : value,
    };
  },
  "D-26": () => {
    let reads = 0;
    return {
      does: "offers other features at every read",
      features: (offered) => offered ^ BigInt(reads++ & 0xff),
    };
  },

  // Queues and configuration.
  "D-31": () => ({
    does: "claims 65535 queues",
    read: (field, value) => field === "num_queues" ? 0xffff : value,
  }),
  "D-32": () => ({ does: "has queues of size 0", queueSize: () => 0 }),
  "D-33": () => ({ does: "has queues of size 3", queueSize: () => 3 }),
  "D-34": () => ({ does: "has queues of size 32768", queueSize: () => 32768 }),
  "D-37": () => {
    let generation = 0;
    return {
      does: "changes the configuration's generation at every read",
      read: (field, value) => field === "config_generation" ? generation++ & 0xff : value,
    };
  },

  // Used ring.
  "D-41": () => ({
    does: "uses a descriptor that does not exist",
    queue: used((queue, _head, written) => queue.put(queue.size, written)),
  }),
  "D-42": () => ({
    does: "uses a descriptor that is not in flight",
    queue(honest) {
      const inFlight = new Set<number>();
      return relay(honest, {
        take(chain) {
          const taken = honest.take(chain);
          if (taken) inFlight.add(chain.head);
          return taken;
        },
        put(head, written) {
          let idle = 0;
          while (inFlight.has(idle)) idle++;
          honest.put(idle < honest.size ? idle : head, written);
          inFlight.delete(head);
        },
      });
    },
  }),
  "D-43": () => ({
    does: "uses each descriptor twice",
    queue: used((queue, head, written) => {
      queue.put(head, written);
      queue.put(head, written);
    }),
  }),
  "D-45": () => ({
    does: "claims to have written more than there is room for",
    queue: used((queue, head, written) => queue.put(head, written + 0x10000)),
  }),
  "D-46": () => ({
    does: "claims to have written nothing",
    queue: used((queue, head) => queue.put(head, 0)),
  }),
  "D-48": () => ({
    does: "moves the used index further than there are requests",
    queue: used((queue, head, written) => {
      for (let i = 0; i <= queue.size; i++) queue.put(head, written);
    }),
  }),

  // Timing.
  "D-64": () => ({ does: "never answers", queue: used(() => {}) }),
};

/** All numbers in the catalogue, in its order. */
export const LIES: readonly LieId[] = Object.keys(CATALOGUE) as LieId[];

/**
 * A new lie out of the catalogue.
 *
 * @throws {RangeError} If it is not there.
 */
export function lie(id: LieId): Lie {
  const make = CATALOGUE[id];
  if (!make) throw new RangeError(`Cannot lie as ${id}: the catalogue has ${LIES.join(", ")}`);
  return { id, ...make() };
}

/**
 * Makes a model lie: by number out of the catalogue, or in its own way. Replaces the lies it had.
 *
 * @example
 * ```ts
 * import { type DeviceModel, lying } from "@virtio/deno/simulation";
 *
 * const honest: DeviceModel = { id: 4, queues: [64], handle: () => 0 };
 * const device = lying(honest, "D-41", "D-37");
 * ```
 *
 * @returns The model.
 */
export function lying<Model extends DeviceModel>(
  model: Model,
  ...lies: readonly (LieId | Lie)[]
): Model {
  return Object.assign(model, {
    lies: lies.map((each) => typeof each === "string" ? lie(each) : each),
  });
}

/** A ring that does what the honest one does, but for `lies`. */
function relay(honest: DeviceQueue, lies: Partial<DeviceQueue>): DeviceQueue {
  return {
    size: honest.size,
    take: (chain) => honest.take(chain),
    put: (head, written) => honest.put(head, written),
    publish: () => honest.publish(),
    arm: () => honest.arm(),
    ...lies,
  };
}

/** A lie about what was used: `put` is called in place of the honest one, and given its queue. */
function used(
  put: (honest: DeviceQueue, head: number, written: number) => void,
): NonNullable<Hooks["queue"]> {
  return (honest) => relay(honest, { put: (head, written) => put(honest, head, written) });
}

/** A lie about where a structure is in its BAR. */
function structure(
  which: keyof CapabilityOffsets,
  offset: number,
  length: number,
): NonNullable<Hooks["config"]> {
  return (space, at) => {
    space.setUint32(at[which] + 8, offset, true);
    space.setUint32(at[which] + 12, length, true);
  };
}
