// A driver that breaks the rules. After each of these the device must serve, after a reset at most (2.1.1).

import { bit, Feature } from "../../core/virtio/features.ts";
import { INDIRECT, NEXT, WRITE } from "../../core/virtqueue/descriptor.ts";
import { DESCRIPTOR_BYTES } from "../../core/virtqueue/layout.ts";
import { type Check, needs } from "../check.ts";
import { COMMON } from "../common.ts";
import { exercise } from "../observe.ts";
import type { Rig } from "../rig.ts";
import type { RawRing } from "../ring.ts";

const INDIRECT_DESC = bit(Feature.INDIRECT_DESC);
/** The last bytes that 64 bits can name. */
const TOP = 2 ** 64 - 4096;
const SECTION = "2.1.2";

/** A started device, and the ring of its exercise. */
function start(rig: Rig, features = 0n): RawRing {
  const request = exercise(rig);
  const all = request.features | features;
  return rig.start({ features: all, queues: [request.queue] }).rings[0]!;
}

/** Shows what was written into the table from `head` on. */
async function show(rig: Rig, ring: RawRing, head = 0): Promise<void> {
  rig.offer(ring, head);
  await rig.settle();
}

function misuse(name: string, does: string, run: (rig: Rig) => Promise<unknown>): Check {
  return {
    name: `misuse.${name}`,
    section: SECTION,
    does: `serves, after a reset at most, though ${does}`,
    misuse: true,
    run: async (rig) => void await run(rig),
  };
}

/** A chain that is wrong in one place. */
function chain(
  name: string,
  does: string,
  write: (rig: Rig, ring: RawRing) => void,
  features = 0n,
): Check {
  return misuse(name, does, async (rig) => {
    needs((rig.offered & features) === features, "it does not offer what this misuses");
    const ring = start(rig, features);
    write(rig, ring);
    await show(rig, ring);
  });
}

/** A buffer of the arena, as a descriptor has it. */
function buffer(rig: Rig, length = 64) {
  return { address: rig.address(rig.take(length)), length };
}

/** What a driver does to the registers of a device that works. */
function registers(name: string, does: string, write: (rig: Rig, ring: RawRing) => void): Check {
  return misuse(name, does, async (rig) => {
    const ring = start(rig);
    await rig.ask(ring, exercise(rig).make(rig));
    write(rig, ring);
    await rig.settle();
  });
}

export const MISUSE: readonly Check[] = [
  ...([["", 0], ["_to_write", WRITE]] as const).flatMap(([suffix, flags]) => [
    chain(
      `address_outside${suffix}`,
      "a buffer is where no memory is",
      (rig, ring) => ring.put(0, { address: rig.nowhere, length: 64, flags }),
    ),
    chain(
      `address_wraps${suffix}`,
      "a buffer wraps around the end of all addresses",
      (_rig, ring) => ring.put(0, { address: TOP, length: 8192, flags }),
    ),
    chain(
      `zero_length${suffix}`,
      "a buffer has no bytes",
      (rig, ring) => ring.put(0, { ...buffer(rig), length: 0, flags }),
    ),
    chain(
      `huge_length${suffix}`,
      "a buffer has 4 GiB",
      (rig, ring) => ring.put(0, { ...buffer(rig), length: 0xffffffff, flags }),
    ),
  ]),
  chain("loop", "a chain leads back to its beginning", (rig, ring) => {
    ring.put(0, { ...buffer(rig), flags: NEXT, next: 1 });
    ring.put(1, { ...buffer(rig), flags: NEXT, next: 0 });
  }),
  chain(
    "loop_to_itself",
    "a descriptor is its own successor",
    (rig, ring) => ring.put(0, { ...buffer(rig), flags: NEXT | WRITE, next: 0 }),
  ),
  chain(
    "next_outside",
    "a successor is not in the table",
    (rig, ring) =>
      ring.put(0, { ...buffer(rig), flags: NEXT, next: ring.size + rig.random.below(1000) }),
  ),
  chain(
    "write_before_read",
    "what is to be written comes before what is to be read",
    (rig, ring) => {
      ring.put(0, { ...buffer(rig), flags: WRITE | NEXT, next: 1 });
      ring.put(1, { ...buffer(rig), flags: 0 });
    },
  ),
  chain(
    "unknown_flags",
    "a descriptor has flags that mean nothing",
    (rig, ring) => ring.put(0, { ...buffer(rig), flags: 0xfff8 }),
  ),
  chain("wrong_direction", "a request is turned around", (rig, ring) => {
    const parts = exercise(rig).make(rig);
    ring.chain(0, parts.map((part) => ({ ...part, write: !part.write })));
  }),
  chain("short_request", "a request ends too early", (rig, ring) => {
    const [first, ...rest] = exercise(rig).make(rig);
    const length = 1 + rig.random.below(Math.max(1, first!.length - 1));
    ring.chain(0, [{ ...first!, length }, ...rest]);
  }),
  chain("half_a_request", "a request has its first part only", (rig, ring) => {
    ring.chain(0, exercise(rig).make(rig).slice(0, 1));
  }),
  chain(
    "indirect_not_agreed",
    "a table is used that was not agreed",
    (rig, ring) => ring.put(0, { ...buffer(rig), flags: INDIRECT }),
  ),
  chain("indirect_in_indirect", "a table has a table", (rig, ring) => {
    const [outer, inner] = [rig.take(16), rig.take(16)];
    ring.put(0, { ...buffer(rig), flags: WRITE }, inner);
    ring.put(0, { address: rig.address(inner), length: 16, flags: INDIRECT }, outer);
    ring.put(0, { address: rig.address(outer), length: 16, flags: INDIRECT });
  }, INDIRECT_DESC),
  chain(
    "indirect_odd",
    "a table ends in the middle of a descriptor",
    (rig, ring) => ring.put(0, { ...buffer(rig), length: 40, flags: INDIRECT }),
    INDIRECT_DESC,
  ),
  chain(
    "indirect_empty",
    "a table has no descriptors",
    (rig, ring) => ring.put(0, { ...buffer(rig), length: 0, flags: INDIRECT }),
    INDIRECT_DESC,
  ),
  chain("indirect_and_next", "a table has a successor", (rig, ring) => {
    ring.put(0, { ...buffer(rig, 16), flags: INDIRECT | NEXT, next: 1 });
    ring.put(1, { ...buffer(rig), flags: WRITE });
  }, INDIRECT_DESC),
  chain(
    "indirect_outside",
    "a table is where no memory is",
    (rig, ring) => ring.put(0, { address: rig.nowhere, length: 64, flags: INDIRECT }),
    INDIRECT_DESC,
  ),
  chain("indirect_loop", "the descriptors of a table go in a circle", (rig, ring) => {
    const table = rig.take(2 * DESCRIPTOR_BYTES);
    ring.put(0, { ...buffer(rig), flags: NEXT, next: 1 }, table);
    ring.put(1, { ...buffer(rig), flags: NEXT, next: 0 }, table);
    ring.put(0, { address: rig.address(table), length: 32, flags: INDIRECT });
  }, INDIRECT_DESC),
  misuse("head_outside", "the available ring names a descriptor that is not there", async (rig) => {
    const ring = start(rig);
    await show(rig, ring, ring.size + rig.random.below(60_000));
  }),
  misuse("index_jumps", "the available index jumps by more than the ring has", async (rig) => {
    const ring = start(rig);
    ring.publish(ring.size + 1 + rig.random.below(30_000));
    rig.notify(ring.queue);
    await rig.settle();
  }),
  misuse("index_goes_back", "the available index goes back", async (rig) => {
    const ring = start(rig);
    await rig.ask(ring, exercise(rig).make(rig));
    ring.publish(0xffff);
    rig.notify(ring.queue);
    await rig.settle();
  }),
  misuse("same_head_twice", "a descriptor is made available twice", async (rig) => {
    const ring = start(rig);
    ring.chain(0, exercise(rig).make(rig));
    ring.offer(0);
    await show(rig, ring);
  }),
  misuse("random_tables", "the table holds random descriptors", async (rig) => {
    for (let i = 0; i < 8; i++) {
      const ring = start(rig);
      const places = [() => rig.nowhere, () => buffer(rig).address, () => TOP];
      for (let index = 0; index < ring.size; index++) {
        ring.put(index, {
          address: places[rig.random.below(places.length)]!(),
          length: rig.random.below(2 ** rig.random.below(33)),
          flags: rig.random.below(8),
          next: rig.random.below(ring.size + 2),
        });
        ring.offer(rig.random.below(ring.size + 1));
      }
      await show(rig, ring);
      await rig.reset();
    }
  }),
  misuse("ring_outside", "a ring is where no memory is", async (rig) => {
    const { queue, features } = exercise(rig);
    rig.negotiate(features);
    rig.tell(queue, rig.place(8));
    for (const at of [COMMON.queueDescriptors, COMMON.queueDriver, COMMON.queueDevice]) {
      rig.write64(at, rig.nowhere);
    }
    rig.common.write16(COMMON.queueEnable, 1);
    rig.go();
    rig.notify(queue);
    await rig.settle();
  }),
  misuse("ring_at_odd_addresses", "a ring is at odd addresses", async (rig) => {
    const { queue, features } = exercise(rig);
    rig.negotiate(features);
    const place = rig.place(8);
    rig.tell(queue, place);
    rig.write64(COMMON.queueDescriptors, rig.address(place.descriptors) + 1);
    rig.write64(COMMON.queueDevice, rig.address(place.device) + 3);
    rig.common.write16(COMMON.queueEnable, 1);
    rig.go();
    rig.notify(queue);
    await rig.settle();
  }),
  ...[0, 3, 0xffff].map((size) =>
    misuse(`queue_size_${size}`, `a queue is to have ${size} entries`, async (rig) => {
      const { queue } = exercise(rig);
      rig.negotiate();
      rig.tell(queue, rig.place(8));
      rig.common.write16(COMMON.queueSize, size);
      rig.common.write16(COMMON.queueEnable, 1);
      rig.go();
      rig.notify(queue);
      await rig.settle();
    })
  ),
  misuse("notify_not_enabled", "it is notified of queues that are not enabled", async (rig) => {
    rig.start();
    for (let queue = 0; queue < rig.common.read16(COMMON.numQueues) && queue < 8; queue++) {
      rig.notify(queue);
    }
    await rig.settle();
  }),
  misuse("notify_before_driver_ok", "it is notified in each step of the handshake", async (rig) => {
    rig.notify(0);
    rig.status = 1;
    rig.notify(0);
    rig.negotiate();
    rig.notify(0);
    rig.enable(0);
    rig.notify(0);
    await rig.settle();
  }),
  registers("notify_unknown", "it is notified of queues that are not there", (rig, { queue }) => {
    const at = rig.notifyOffset(queue);
    for (const value of [0xffff, 0x7fff, rig.random.below(0x10000)]) {
      rig.notifications.write16(at, value);
    }
  }),
  registers("queue_moved", "a queue is moved and resized while it is enabled", (rig, { queue }) => {
    rig.common.write16(COMMON.queueSelect, queue);
    rig.common.write16(COMMON.queueSize, 2);
    rig.write64(COMMON.queueDescriptors, rig.nowhere);
    rig.notify(queue);
  }),
  registers("queue_disabled", "a queue is disabled by hand", (rig, { queue }) => {
    rig.common.write16(COMMON.queueSelect, queue);
    rig.common.write16(COMMON.queueEnable, 0);
    rig.notify(queue);
  }),
  registers("queue_unknown", "registers of a queue are written that is not there", (rig) => {
    rig.common.write16(COMMON.queueSelect, 0xfffe);
    rig.common.write16(COMMON.queueSize, 8);
    rig.write64(COMMON.queueDescriptors, rig.nowhere);
    rig.common.write16(COMMON.queueEnable, 1);
  }),
  registers(
    "queue_reset_not_agreed",
    "a queue is reset where that was not agreed",
    (rig, { queue }) => {
      if (rig.common.size < COMMON.queueReset + 2) return;
      rig.common.write16(COMMON.queueSelect, queue);
      rig.common.write16(COMMON.queueReset, 1);
      rig.notify(queue);
    },
  ),
  registers("features_in_use", "features are written while it works", (rig) => {
    rig.accept(2n ** 128n - 1n);
    rig.accept(0n);
  }),
  registers("status_back", "bits of its status are taken back", (rig, { queue }) => {
    rig.status = 1;
    rig.notify(queue);
    rig.status = 0xff;
    rig.status = 3;
  }),
  misuse("status_random", "its status is written in any order", async (rig) => {
    for (let i = 0; i < 64; i++) {
      rig.status = rig.random.below(256);
      void rig.status;
    }
    await rig.settle();
  }),
  misuse("driver_ok_first", "DRIVER_OK comes before everything", async (rig) => {
    const { queue } = exercise(rig);
    rig.status = 4;
    rig.enable(queue);
    rig.notify(queue);
    await rig.settle();
  }),
  registers("read_only_registers", "registers are written that can only be read", (rig) => {
    const { common } = rig;
    common.write32(COMMON.deviceFeature, 0xffffffff);
    common.write16(COMMON.numQueues, 0);
    common.write8(COMMON.configGeneration, 0xff);
    common.write16(COMMON.queueNotifyOffset, 0xffff);
    rig.isr.write8(0, 0xff);
  }),
  registers("random_registers", "its common configuration is written anywhere", (rig) => {
    const { common, random } = rig;
    for (let i = 0; i < 200; i++) {
      // Without the addresses of queues: a ring is nowhere but where this driver has memory.
      const at = random.below(COMMON.queueDescriptors);
      const width = ([1, 2, 4] as const)[random.below(3)]!;
      const value = random.below(2 ** (8 * width));
      if (at % width !== 0) continue;
      if (width === 1) common.write8(at, value);
      else if (width === 2) common.write16(at, value);
      else common.write32(at, value);
    }
  }),
  registers("random_configuration", "its configuration is written anywhere", (rig) => {
    const { specific, random } = rig;
    if (!specific) return;
    for (let i = 0; i < 64; i++) {
      specific.write8(random.below(Math.min(specific.size, 64)), random.below(256));
    }
  }),
  misuse(
    "reset_in_flight",
    "it is reset again and again in the middle of its work",
    async (rig) => {
      const request = exercise(rig);
      for (let i = 0; i < 16; i++) {
        const ring = start(rig);
        for (let head = 0; head < 2; head++) {
          ring.chain(4 * head, request.make(rig));
          ring.offer(4 * head);
        }
        ring.publish();
        rig.notify(ring.queue);
        await rig.reset();
      }
    },
  ),
];
