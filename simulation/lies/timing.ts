import type { Chain, DeviceQueue } from "../../core/virtqueue/device_queue.ts";
import { DeviceStatus } from "../../core/virtio/status.ts";
import { NO_VECTOR } from "../common_config.ts";
import type { Lie, LieHandle } from "../lie.ts";
import type { Ring } from "../ring.ts";
import type { Hooks, Lies } from "./lies.ts";
import { relay, used } from "./relay.ts";
import { RINGS } from "./rings.ts";

/** Lies about when: what is late, lost, too often, or gone. */
export const TIMING: Lies = {
  "D-64": () => ({ does: "never answers", queue: used(() => {}) }),
  "D-65": answersAfterReset,
  "D-66": answersInDisorder,
  "D-67": () => ({ does: "interrupts without end once it has begun", storms: true }),
  "D-68": () => ({ does: "never interrupts", interrupt: () => {} }),
  "D-69": () => {
    let config = NO_VECTOR;
    return {
      does: "tells of a changed configuration with every interrupt",
      write(field, value) {
        if (field === "config_msix_vector") config = value;
        return value;
      },
      interrupt(vector, send) {
        send(vector);
        if (config !== NO_VECTOR && config !== vector) send(config);
      },
    };
  },
  "D-70": () => ({
    does: "takes no interrupt vector",
    write: (field, value) => field.endsWith("_msix_vector") ? NO_VECTOR : value,
  }),
  "D-71": () => {
    let device: LieHandle;
    return {
      does: "interrupts on every vector before DRIVER_OK and after a reset",
      attach: (handle) => device = handle,
      write(field, value) {
        if (field === "queue_enable" || field === "device_status" && value === 0) {
          for (let vector = 0; vector < MOST_VECTORS; vector++) device.interrupt(vector);
        }
        return value;
      },
    };
  },
  "D-72": () => ({ does: "reads its ISR status as all ones", isr: () => 0xff }),
  "D-73": () => {
    let gone = false;
    return {
      does: "is pulled out after 5 requests",
      gone: () => gone,
      queue: used((queue, head, written, nth) => {
        gone ||= nth > 5;
        queue.put(head, written);
      }),
    };
  },
  "D-76": () => once("forgets everything after 5 requests, once", (device) => device.forget()),
  "D-77": () =>
    once("needs a reset after 5 requests, once", (device) => device.needsReset("it lies")),
  "D-79": () => {
    const broken = RINGS["D-41"]!();
    const does = `${broken.does}, every other time that it is started`;
    return during({ ...broken, id: "D-79", does }, (life) => life % 2 === 1);
  },
};

/** More than any test looks at. */
const MOST_VECTORS = 8;

/** D-73 at any moment: after so many accesses to its registers the device is gone. */
export function goneAfter(accesses: number): Lie {
  let count = 0;
  return {
    id: "D-73",
    does: `is pulled out after ${accesses} accesses`,
    gone: () => count++ >= accesses,
  };
}

/** D-64 for one request of each queue, counted from 1: it is never answered. */
export function neverAnswers(which: number): Lie {
  return {
    id: "D-64",
    does: `never answers request ${which}`,
    queue: used((queue, head, written, nth) => {
      if (nth !== which) queue.put(head, written);
    }),
  };
}

/** Does something when 5 requests were answered, and never again. */
function once(does: string, act: (device: LieHandle) => void): Hooks {
  let device: LieHandle;
  let done = false;
  return {
    does,
    attach: (handle) => device = handle,
    queue: used((queue, head, written, nth) => {
      queue.put(head, written);
      if (done || nth < 5) return;
      done = true;
      act(device);
    }),
  };
}

/** Answers when it was reset, as far as it still can reach the memory. */
function answersAfterReset(): Hooks {
  let late: (() => void)[] = [];
  let resetting = false;
  return {
    does: "answers after it was reset, and not before",
    write(field, value) {
      if (field === "device_status") resetting = value === 0;
      return value;
    },
    read(field, value) {
      if (field === "device_status" && value === 0 && resetting) {
        resetting = false;
        const answers = late;
        late = [];
        // When the driver has seen that the reset is over.
        queueMicrotask(() => answers.forEach((answer) => answer()));
      }
      return value;
    },
    queue(honest, ring) {
      const reachable = new Map<number, () => boolean>();
      return relay(honest, {
        take(chain) {
          const any = honest.take(chain);
          if (any) reachable.set(chain.head, reach(ring, chain));
          return any;
        },
        put(head, written) {
          late.push(() => {
            if (!reachable.get(head)?.()) return;
            honest.put(head, written);
            honest.publish();
          });
        },
      });
    },
  };
}

/** Makes a function that says whether the device can reach the memory of a request still. */
function reach(ring: Ring, chain: Chain): () => boolean {
  const [address, length] = [chain.address[0]!, chain.length[0]!];
  return () => {
    try {
      ring.translate(address, length);
      return true;
    } catch {
      return false;
    }
  };
}

/** Answers one request a millisecond, and not the one that has waited longest. */
function answersInDisorder(): Hooks {
  let device: LieHandle;
  let random = 1;
  return {
    does: "answers late, one request at a time, in any order",
    attach: (handle) => device = handle,
    queue(honest: DeviceQueue) {
      const waiting: [head: number, written: number][] = [];
      let due = false;
      return relay(honest, {
        put: (head, written) => void waiting.push([head, written]),
        publish() {
          if (due) {
            random = Math.imul(random, 1103515245) + 12345 & 0x7fffffff;
            for (const [head, written] of waiting.splice((random >> 8) % waiting.length, 1)) {
              honest.put(head, written);
            }
          }
          due = false;
          if (waiting.length > 0) {
            device.later(1, () => {
              due = true;
              device.look();
            });
          }
          return honest.publish();
        },
      });
    },
  };
}

/**
 * A lie that is told in some of a device's lives only. The first life begins when a driver acknowledges the device,
 * the second when one does so again after a reset, and so on.
 *
 * @example A device that breaks its queues once and is honest after a reset
 * ```ts
 * import { type DeviceModel, during, lie, lying } from "@virtio/deno/simulation";
 *
 * const honest: DeviceModel = { id: 4, queues: [64], handle: () => 0 };
 * const device = lying(honest, during(lie("D-41"), (life) => life === 1));
 * ```
 */
export function during(lie: Lie, when: (life: number) => boolean): Lie {
  let life = 0;
  let on = false;
  return {
    ...lie,
    write(field, value) {
      if (field === "device_status" && value === DeviceStatus.ACKNOWLEDGE) on = when(++life);
      return on ? lie.write?.(field, value) ?? value : value;
    },
    gone: () => on && (lie.gone?.() ?? false),
    read: (field, value) => on ? lie.read?.(field, value) ?? value : value,
    features: (offered) => on ? lie.features?.(offered) ?? offered : offered,
    isr: (value) => on ? lie.isr?.(value) ?? value : value,
    deviceConfig: (bytes) => on ? lie.deviceConfig?.(bytes) ?? bytes : bytes,
    queue: (honest, ring) => on ? lie.queue?.(honest, ring) ?? honest : honest,
    interrupt(vector, send) {
      if (on && lie.interrupt) lie.interrupt(vector, send);
      else send(vector);
    },
  };
}
