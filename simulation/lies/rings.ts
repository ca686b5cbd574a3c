import { AVAILABLE, INDIRECT, NEXT, QUIET, USED } from "../../core/virtqueue/descriptor.ts";
import type { Chain, DeviceQueue } from "../../core/virtqueue/device_queue.ts";
import { EVENT_DESCRIPTOR, EVENT_DISABLE } from "../../core/virtqueue/event_index.ts";
import { DESCRIPTOR_BYTES } from "../../core/virtqueue/layout.ts";
import { makeDeviceQueue } from "../../core/virtqueue/make_device_queue.ts";
import { EVENT_IDX, IN_ORDER, INDIRECT_DESC, RING_PACKED } from "../model.ts";
import type { Ring } from "../ring.ts";
import type { Lies } from "./lies.ts";
import { relay, taken, used } from "./relay.ts";

/** Lies told by the ring and by the memory behind it. Where a comment says so, only split rings can tell them. */
export const RINGS: Lies = {
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
  "D-44": () => ({
    does: "uses the second descriptor of each chain",
    without: INDIRECT_DESC | RING_PACKED, // only descriptors of a split ring are called by their index
    queue: (honest, ring) => {
      const halves = new Uint16Array(ring.memory);
      return relay(honest, {
        put(head, written) {
          const at = (ring.descriptors + DESCRIPTOR_BYTES * head) / 2;
          honest.put(halves[at + 6]! & NEXT ? halves[at + 7]! : head, written);
        },
      });
    },
  }),
  "D-45": () => ({
    does: "claims to have written more than there is room for",
    queue: used((queue, head, written) => queue.put(head, written + 0x10000)),
  }),
  "D-46": () => ({
    does: "claims to have written nothing",
    queue: used((queue, head) => queue.put(head, 0)),
  }),
  "D-47": () => ({
    does: "claims to have written half of what it did",
    queue: used((queue, head, written) => queue.put(head, written >> 1)),
  }),
  "D-48": () => ({
    does: "moves the used index further than there are requests",
    queue: used((queue, head, written) => {
      for (let i = 0; i <= queue.size; i++) queue.put(head, written);
    }),
  }),
  "D-49": () => ({
    does: "moves the used index back",
    without: RING_PACKED, // there is no index
    queue(honest, { memory, device }) {
      const halves = new Uint16Array(memory);
      const index = device / 2 + 1;
      return relay(honest, {
        publish() {
          const before = halves[index]!;
          const interrupt = honest.publish();
          if (halves[index] !== before) halves[index] = before - 1;
          return interrupt;
        },
      });
    },
  }),
  "D-50": () => ({
    does: "moves the used index before it writes the entry",
    without: RING_PACKED | IN_ORDER, // there is no index; there is not an entry for each request
    queue: late,
  }),
  "D-51": () => ({
    does: "changes used entries after it showed them",
    without: RING_PACKED | IN_ORDER, // a used descriptor is the driver's again
    queue(honest, ring) {
      const entry = entries(ring);
      let shown = 0;
      let put = 0;
      return relay(honest, {
        put(head, written) {
          put++;
          honest.put(head, written);
        },
        publish() {
          for (; shown < put - 1; shown++) entry(shown).fill(0xffffffff);
          return honest.publish();
        },
      });
    },
  }),
  "D-52": () => ({
    does: "writes into the descriptors that it has taken",
    queue: taken(({ memory, descriptors, kind }, _chain, first) => {
      // In a packed ring the flags are how it gives them back.
      const length = kind === "split" ? DESCRIPTOR_BYTES : DESCRIPTOR_BYTES - 4;
      new Uint8Array(memory, descriptors + DESCRIPTOR_BYTES * first, length).fill(0xff);
    }),
  }),
  "D-53": () => ({
    does: "writes into the available ring where it has taken from",
    without: RING_PACKED, // there is none
    queue(honest, { memory, driver, size }) {
      const halves = new Uint16Array(memory);
      let seen = 0;
      return relay(honest, {
        take(chain) {
          const any = honest.take(chain);
          if (any) halves[driver / 2 + 2 + seen++ % size] = 0xffff;
          return any;
        },
      });
    },
  }),
  "D-54": () => ({
    does: "writes into buffers after it gave them back",
    queue(honest, ring) {
      const chains = new Map<number, readonly Uint8Array[]>();
      const given = new Later();
      return relay(honest, {
        take(chain) {
          given.look();
          const any = honest.take(chain);
          if (any) chains.set(chain.head, buffers(ring, chain, chain.readable, chain.count));
          return any;
        },
        put(head, written) {
          given.add(() => chains.get(head)?.forEach((bytes) => bytes.fill(0xee)));
          honest.put(head, written);
        },
        publish() {
          given.publish();
          return honest.publish();
        },
      });
    },
  }),
  "D-55": () => ({
    does: "writes into buffers that it may only read",
    queue(honest, ring) {
      const chains = new Map<number, readonly Uint8Array[]>();
      return relay(honest, {
        take(chain) {
          const any = honest.take(chain);
          if (any) chains.set(chain.head, buffers(ring, chain, 0, chain.readable));
          return any;
        },
        put(head, written) {
          chains.get(head)?.forEach((bytes) => bytes.fill(0xee));
          honest.put(head, written);
        },
      });
    },
  }),
  "D-56": () => ({
    does: "agrees to use requests in order and uses each batch in reverse",
    with: IN_ORDER,
    queue(_honest, ring) {
      const free = makeDeviceQueue(ring.kind, { ...ring, inOrder: false });
      const batch: [head: number, written: number][] = [];
      return relay(free, {
        put: (head, written) => void batch.unshift([head, written]),
        publish() {
          for (const [head, written] of batch.splice(0)) free.put(head, written);
          return free.publish();
        },
      });
    },
  }),
  "D-58": () => ({
    does: "never wants to be notified and does not look either",
    without: EVENT_IDX,
    queue: (honest, { kind, memory, device }) => {
      const halves = new Uint16Array(memory);
      return relay(honest, {
        arm() {
          const more = honest.arm();
          if (kind === "split") halves[device / 2] = QUIET;
          else halves[device / 2 + 1] = EVENT_DISABLE;
          return more;
        },
      });
    },
  }),
  "D-59": () => ({
    does: "wants to be notified of a request that is long gone",
    with: EVENT_IDX,
    queue: (honest, { kind, memory, device, size }) => {
      const halves = new Uint16Array(memory);
      return relay(honest, {
        arm() {
          const more = honest.arm();
          if (kind === "split") halves[device / 2 + 2 + 4 * size]! -= 0x4000;
          else {
            const place = halves[device / 2]!;
            halves[device / 2] = place & 0x7fff ? place - 1 : (place | size - 1) ^ 0x8000;
          }
          return more;
        },
      });
    },
  }),
  "D-60": () => ({
    does: "uses the first descriptor of a packed ring with the wrong wrap counter",
    with: RING_PACKED,
    without: IN_ORDER,
    queue(honest, ring) {
      if (ring.kind === "split") return honest;
      const halves = new Uint16Array(ring.memory);
      // The first used descriptor is at the beginning of the ring.
      const flags = ring.descriptors / 2 + 7;
      const both = AVAILABLE | USED;
      let told = false;
      return relay(honest, {
        publish() {
          const interrupt = honest.publish();
          if (told || (halves[flags]! & both) !== both) return interrupt;
          told = true;
          halves[flags]! ^= both;
          return interrupt;
        },
      });
    },
  }),
  "D-61": () => ({
    does: "wants to be notified of a descriptor behind the end of a packed ring",
    with: RING_PACKED | EVENT_IDX,
    queue: (honest, { kind, memory, device }) =>
      kind === "split" ? honest : relay(honest, {
        arm() {
          const more = honest.arm();
          new Uint16Array(memory).set([0x7fff, EVENT_DESCRIPTOR], device / 2);
          return more;
        },
      }),
  }),
  "D-62": () => ({
    does: "writes into indirect tables that it has read",
    with: INDIRECT_DESC,
    queue: taken(({ memory, descriptors, translate }, _chain, first) => {
      const at = (descriptors + DESCRIPTOR_BYTES * first) / 4;
      const words = new Uint32Array(memory);
      const flags = words[at + 3]! & 0xffff | words[at + 3]! >>> 16;
      if (!(flags & INDIRECT)) return;
      const length = words[at + 2]!;
      const table = translate(words[at]! + words[at + 1]! * 2 ** 32, length);
      new Uint8Array(memory, table, length).fill(0xff);
    }),
  }),
  "D-63": () => ({
    does: "fills the part of the ring that it writes with ones after 5 requests",
    queue(honest, { kind, memory, descriptors, device, size }) {
      let left = 5;
      return relay(honest, {
        put(head, written) {
          left--;
          honest.put(head, written);
        },
        publish() {
          const interrupt = honest.publish();
          if (left > 0) return interrupt;
          left = Infinity;
          if (kind === "split") new Uint8Array(memory, device, 4 + 8 * size).fill(0xff);
          else new Uint8Array(memory, descriptors, DESCRIPTOR_BYTES * size).fill(0xff);
          return interrupt;
        },
      });
    },
  }),
};

/** Makes a function that gives the used element of the `nth` request: two words (2.7.8). */
function entries({ memory, device, size }: Ring): (nth: number) => Uint32Array {
  return (nth) => new Uint32Array(memory, device + 4 + 8 * (nth % size), 2);
}

/** What is to be done when the device looks at its ring again after it has published what this is about. */
class Later {
  #waiting: (() => void)[] = [];
  #due: (() => void)[] = [];

  add(act: () => void): void {
    this.#waiting.push(act);
  }

  publish(): void {
    this.#due.push(...this.#waiting.splice(0));
  }

  look(): void {
    for (const act of this.#due.splice(0)) act();
  }
}

/** Writes each used element only when it looks at the ring the next time. */
function late(honest: DeviceQueue, ring: Ring): DeviceQueue {
  const entry = entries(ring);
  const unwritten = new Later();
  let nth = 0;
  return relay(honest, {
    take(chain) {
      unwritten.look();
      return honest.take(chain);
    },
    put(head, written) {
      const element = entry(nth++);
      const before = element.slice();
      honest.put(head, written);
      element.set(before);
      unwritten.add(() => element.set([head, written]));
    },
    publish() {
      unwritten.publish();
      return honest.publish();
    },
  });
}

/** The bytes behind a part of a chain. */
function buffers(ring: Ring, chain: Chain, start: number, end: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let i = start; i < end; i++) {
    const offset = ring.translate(chain.address[i]!, chain.length[i]!);
    found.push(new Uint8Array(ring.memory, offset, chain.length[i]!));
  }
  return found;
}
