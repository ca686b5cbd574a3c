// Split rings at work (virtio 1.4, 2.7), with a request that each device of the type must answer.

import { bit, Feature } from "../../core/virtio/features.ts";
import { QUIET } from "../../core/virtqueue/descriptor.ts";
import { passed } from "../../core/virtqueue/event_index.ts";
import { DESCRIPTOR_BYTES } from "../../core/virtqueue/layout.ts";
import { cannotTell, type Check, must, needs } from "../check.ts";
import { exercise, type Manner, observe, type Observed, watch } from "../observe.ts";
import type { Rig } from "../rig.ts";
import type { Part, RawRing } from "../ring.ts";

const INDIRECT_DESC = bit(Feature.INDIRECT_DESC);
const EVENT_IDX = bit(Feature.EVENT_IDX);
/** Rings of more entries are not tried. */
const MOST = 256;
/** Requests until the indexes of 16 bits are what they were, and how many times its patience that may take. */
const INDEXES = 65536, LAP = 18;
/** How many rounds of two requests are looked at while the indexes begin anew. */
const ROUNDS = 8;

/** A check of one thing that a device may do wrong while it does requests. */
function watching(
  name: string,
  section: string,
  does: string,
  key: keyof Observed,
): Check {
  return {
    name: `rings.${name}`,
    section,
    does,
    async run(rig) {
      const { [key]: wrong } = await observe(rig);
      must(wrong === undefined, wrong!);
    },
  };
}

/** A check that everything is right while it does requests in some manner. */
function working(
  name: string,
  section: string,
  does: string,
  manner: (rig: Rig) => Manner,
): Check {
  return {
    name: `rings.${name}`,
    section,
    does,
    async run(rig) {
      const wrong = Object.values(await observe(rig, manner(rig)))[0];
      must(wrong === undefined, wrong!);
    },
  };
}

/** Each part of more than one byte as two. */
function halved(parts: readonly Part[]): Part[] {
  return parts.flatMap(({ offset, length, write }) => {
    if (length < 2) return [{ offset, length, write }];
    const first = length >> 1;
    return [
      { offset, length: first, write },
      { offset: offset + first, length: length - first, write },
    ];
  });
}

/** Writes a request as a table of its own. */
function indirect(rig: Rig, ring: RawRing, head: number, parts: readonly Part[]): number {
  const table = rig.take(DESCRIPTOR_BYTES * parts.length);
  ring.indirect(head, parts, table);
  return table;
}

/** A number of requests, notified only where the device wants that. */
async function polite(rig: Rig, wanted: (ring: RawRing, index: number) => boolean, more = 0n) {
  const request = exercise(rig);
  const ring = rig.startQueue(request.queue, { features: request.features | more });
  for (let i = 0; i < 6; i++) {
    ring.chain(0, request.make(rig));
    ring.offer(0);
    ring.publish();
    if (wanted(ring, ring.next)) rig.notify(request.queue);
    const due = ring.next;
    const end = performance.now() + rig.patience;
    while (ring.used !== due && performance.now() < end) await rig.settle();
    rig.mustWork();
    must(
      ring.used === due,
      `request ${due} was not done; it did not want to be notified of it`,
    );
  }
}

export const RINGS: readonly Check[] = [
  watching("ids", "2.7.8.2", "gives back what it was given, each once", "id"),
  watching("index", "2.7.8.2", "moves the used index by what it used", "index"),
  watching("written", "2.7.8.2", "says how much it wrote", "written"),
  watching("room", "2.7.8.2", "does not write more than there is room for", "overlong"),
  watching("read_only", "2.7.5.1", "writes into no buffer that it may only read", "readable"),
  watching(
    "owned",
    "2.7.5.1",
    "writes into no descriptor and not into the available ring",
    "owned",
  ),
  watching("elements", "2.7.8", "leaves used elements alone that it has shown", "elements"),
  watching("late", "2.7.8", "leaves buffers alone that it gave back", "late"),
  watching("answer", "5", "answers a request that it must know", "answer"),
  working("wrap", "2.7.6", "goes on where a ring of 4 entries begins anew", () => ({
    size: 4,
    batch: 1,
    rounds: 14,
  })),
  {
    name: "rings.index_wrap",
    section: "2.7.13.3",
    does: "goes on where the indexes of 16 bits begin anew, after 65536 requests",
    long: true,
    async run(rig) {
      const request = exercise(rig);
      needs(!request.once, "what its requests give away cannot be given twice");
      const size = Math.min(rig.largest(request.queue), MOST);
      const ring = rig.startQueue(request.queue, { size, features: request.features });
      // One request, as often as the ring has room for: what is in it is looked at by the last rounds.
      const parts = request.make(rig);
      const heads = Array.from(
        { length: Math.floor(size / parts.length) },
        (_, i) => i * parts.length,
      );
      for (const head of heads) ring.chain(head, parts);
      const end = performance.now() + LAP * rig.patience;
      for (let left = INDEXES - ROUNDS; left > 0; left -= heads.length) {
        if (performance.now() > end) {
          throw cannotTell(`it did not do ${INDEXES} requests in ${LAP * rig.patience} ms`);
        }
        for (const head of heads.slice(0, left)) ring.offer(head);
        ring.publish();
        rig.notify(request.queue);
        await rig.used(ring, ring.next);
      }
      const manner = { rounds: ROUNDS, batch: 2 };
      const wrong = Object.values(await watch(rig, ring, request, manner))[0];
      must(wrong === undefined, wrong!);
      must(ring.next < INDEXES / 2, "the indexes did not begin anew");
    },
  },
  working("largest", "2.7", "works with the largest ring that it takes", (rig) => ({
    size: Math.min(rig.largest(exercise(rig).queue), MOST),
    batch: 8,
    rounds: 3,
  })),
  working("batch", "2.7.13", "does many requests that were made available at once", () => ({
    size: 64,
    batch: 16,
    rounds: 4,
  })),
  working("framing", "2.7.4.1", "takes a request however it is cut into descriptors", () => ({
    size: 16,
    batch: 2,
    rounds: 2,
    shape: (_rig, ring, head, parts) => void ring.chain(head, halved(parts)),
  })),
  {
    name: "rings.many_descriptors",
    section: "2.7.4.1",
    does: "takes a chain that has all descriptors of a ring",
    async run(rig) {
      const request = exercise(rig);
      const ring = rig.startQueue(request.queue, { features: request.features });
      let parts: readonly Part[] = request.make(rig);
      while (parts.length < ring.size) {
        const longest = parts.reduce((a, b) => b.length > a.length ? b : a);
        needs(longest.length >= 2, "its request is too short to be cut so often");
        parts = parts.flatMap((part) => part === longest ? halved([part]) : [part]);
      }
      const { written } = await rig.ask(ring, parts);
      const [least, most] = request.written;
      must(written >= least && written <= most, `it says that it wrote ${written} bytes`);
    },
  },
  working("indirect", "2.7.5.3", "takes requests in tables of their own", (rig) => {
    rig.needFeature(Feature.INDIRECT_DESC, "VIRTIO_F_INDIRECT_DESC");
    return {
      features: INDIRECT_DESC,
      shape: (rig, ring, head, parts) => void indirect(rig, ring, head, parts),
    };
  }),
  {
    name: "rings.indirect_owned",
    section: "2.7.5.3",
    does: "writes into no table of descriptors",
    async run(rig) {
      rig.needFeature(Feature.INDIRECT_DESC, "VIRTIO_F_INDIRECT_DESC");
      const request = exercise(rig);
      const ring = rig.startQueue(request.queue, { features: request.features | INDIRECT_DESC });
      const parts = request.make(rig);
      const table = indirect(rig, ring, 0, parts);
      const tableBytes = () => rig.bytes.slice(table, table + DESCRIPTOR_BYTES * parts.length);
      const before = tableBytes();
      rig.offer(ring);
      await rig.used(ring, 1);
      must(tableBytes().every((byte, i) => byte === before[i]), "a table is not what was written");
    },
  },
  working("indirect_cut", "2.7.5.3", "takes a table however its request is cut", (rig) => {
    rig.needFeature(Feature.INDIRECT_DESC, "VIRTIO_F_INDIRECT_DESC");
    return {
      batch: 1,
      rounds: 3,
      features: INDIRECT_DESC,
      shape: (rig, ring, head, parts) => void indirect(rig, ring, head, halved(parts)),
    };
  }),
  {
    name: "rings.mixed",
    section: "2.7.5.3.2",
    does: "takes a chain whose last descriptor is a table",
    async run(rig) {
      rig.needFeature(Feature.INDIRECT_DESC, "VIRTIO_F_INDIRECT_DESC");
      const request = exercise(rig);
      const ring = rig.startQueue(request.queue, { features: request.features | INDIRECT_DESC });
      const [first, ...rest] = request.make(rig);
      needs(rest.length > 0, "its request has one part only");
      ring.put(0, {
        address: rig.address(first!.offset),
        length: first!.length,
        flags: 1,
        next: 1,
      });
      indirect(rig, ring, 1, rest);
      rig.offer(ring);
      await rig.used(ring, 1);
      const { id, written } = ring.element(0);
      const [least, most] = request.written;
      must(id === 0, `it gave descriptor ${id} back`);
      must(written >= least && written <= most, `it says that it wrote ${written} bytes`);
    },
  },
  working("event_index", "2.7.10", "works with event indexes", (rig) => {
    rig.needFeature(Feature.EVENT_IDX, "VIRTIO_F_EVENT_IDX");
    return { features: EVENT_IDX };
  }),
  {
    name: "rings.notify_flag",
    section: "2.7.10.2",
    does: "does requests of which it did not want to be notified by its flags",
    run: (rig) => polite(rig, (ring) => (ring.usedFlags & QUIET) === 0),
  },
  {
    name: "rings.notify_event",
    section: "2.7.10.2",
    does: "does requests of which it did not want to be notified by its event index",
    run(rig) {
      rig.needFeature(Feature.EVENT_IDX, "VIRTIO_F_EVENT_IDX");
      return polite(
        rig,
        (ring, index) => passed(ring.availableEvent, index, index - 1 & 0xffff),
        EVENT_IDX,
      );
    },
  },
  {
    name: "rings.in_order",
    section: "2.7.9",
    does: "uses requests in their order where that was agreed",
    async run(rig) {
      rig.needFeature(Feature.IN_ORDER, "VIRTIO_F_IN_ORDER");
      const request = exercise(rig);
      const ring = rig.startQueue(request.queue, {
        features: request.features | bit(Feature.IN_ORDER),
      });
      const heads: number[] = [];
      for (let i = 0; i < 2; i++) {
        const head = 4 * i;
        ring.chain(head, request.make(rig));
        ring.offer(head);
        heads.push(head);
      }
      ring.publish();
      rig.notify(request.queue);
      await rig.used(ring, heads.length);
      for (let done = 0; done < heads.length;) {
        // One element may stand for those before it, and stands where the first of them would.
        const { id } = ring.element(done);
        const place = heads.indexOf(id);
        must(place >= done, `it used descriptor ${id} out of its turn`);
        done = place + 1;
      }
    },
  },
];
