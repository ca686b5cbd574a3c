// Interrupts (virtio 1.4, 4.1.4.5, 4.1.5 and 2.7.7).

import { bit, Feature } from "../../core/virtio/features.ts";
import { NO_VECTOR } from "../../core/virtio/transport.ts";
import { QUIET } from "../../core/virtqueue/descriptor.ts";
import { findMsix } from "../../core/pci/msix.ts";
import { type Check, must, needs } from "../check.ts";
import { COMMON } from "../common.ts";
import { exercise } from "../observe.ts";
import type { Rig } from "../rig.ts";
import type { RawRing } from "../ring.ts";

/** Bits of the ISR status: a queue, and the configuration. */
const ISR_BITS = 3;

function msix(rig: Rig): void {
  needs(rig.vectors.length > 0, "it has no MSI-X that can be received here");
}

/** Starts it with its requests interrupting, and looks whether it interrupts for one. */
async function interrupts(
  rig: Rig,
  features: bigint,
  before: (ring: RawRing) => void,
): Promise<boolean> {
  const request = exercise(rig);
  const ring = rig.startQueue(request.queue, {
    features: request.features | features,

    interrupts: true,
  });
  before(ring);
  rig.interrupted(rig.queueVector);
  await rig.ask(ring, request.make(rig));
  const end = performance.now() + rig.patience / 2;
  while (performance.now() < end) {
    if (rig.interrupted(rig.queueVector)) return true;
    await rig.settle();
  }
  return false;
}

export const INTERRUPTS: readonly Check[] = [
  {
    name: "interrupts.vectors",
    section: "4.1.5.1.2.1",
    does: "has at least two vectors, if it has MSI-X",
    should: true,
    run({ device }) {
      const found = findMsix(device.config, (bar) => device.bar(bar)?.size);
      needs(found !== undefined, "it has no MSI-X");
      must(found.vectors >= 2, "it has one");
    },
  },
  {
    name: "interrupts.queue_vector",
    section: "4.1.5.1.2.1",
    does: "keeps the vector of a queue, any of its table",
    run(rig) {
      msix(rig);
      rig.largest(0);
      for (const vector of rig.vectors.keys()) {
        rig.common.write16(COMMON.queueVector, vector);
        const now = rig.common.read16(COMMON.queueVector);
        must(now === vector, `it has vector ${now} where ${vector} was written`);
      }
    },
  },
  {
    name: "interrupts.config_vector",
    section: "4.1.5.1.2.1",
    does: "keeps the vector of the configuration",
    run(rig) {
      msix(rig);
      for (const vector of rig.vectors.keys()) {
        rig.common.write16(COMMON.configVector, vector);
        const now = rig.common.read16(COMMON.configVector);
        must(now === vector, `it has vector ${now} where ${vector} was written`);
      }
    },
  },
  {
    name: "interrupts.no_vector",
    section: "4.1.5.1.2.1",
    does: "takes back a vector by NO_VECTOR",
    run(rig) {
      msix(rig);
      rig.largest(0);
      for (const at of [COMMON.queueVector, COMMON.configVector]) {
        rig.common.write16(at, 0);
        rig.common.write16(at, NO_VECTOR);
        const now = rig.common.read16(at);
        must(now === NO_VECTOR, `it has vector ${now} after that`);
      }
    },
  },
  {
    name: "interrupts.vector_beyond",
    section: "4.1.5.1.2.1",
    does: "answers a vector that its table does not have by NO_VECTOR",
    run(rig) {
      msix(rig);
      const { device } = rig;
      const count = findMsix(device.config, (bar) => device.bar(bar)?.size)?.vectors ?? 0;
      rig.largest(0);
      rig.common.write16(COMMON.queueVector, count);
      const now = rig.common.read16(COMMON.queueVector);
      must(now === NO_VECTOR, `it has ${count} vectors, and takes vector ${now}`);
    },
  },
  {
    name: "interrupts.queue",
    section: "2.7.7.2",
    does: "interrupts when it has used a request",
    async run(rig) {
      msix(rig);
      must(await interrupts(rig, 0n, () => {}), "it did not interrupt");
    },
  },
  {
    name: "interrupts.quiet",
    section: "2.7.7.2",
    does: "does not interrupt where the driver's flags ask it not to",
    should: true,
    async run(rig) {
      msix(rig);
      const told = await interrupts(rig, 0n, (ring) => ring.flags = QUIET);
      must(!told, "it interrupted");
    },
  },
  {
    name: "interrupts.event",
    section: "2.7.7.2",
    does: "interrupts for the request that the driver's event index names, whatever its flags",
    async run(rig) {
      msix(rig);
      rig.needFeature(Feature.EVENT_IDX, "VIRTIO_F_EVENT_IDX");
      const told = await interrupts(rig, bit(Feature.EVENT_IDX), (ring) => {
        ring.usedEvent = 0;
        ring.flags = QUIET;
      });
      must(told, "it did not interrupt");
    },
  },
  {
    name: "interrupts.event_later",
    section: "2.7.7.2",
    does: "does not interrupt before the request that the driver's event index names",
    should: true,
    async run(rig) {
      msix(rig);
      rig.needFeature(Feature.EVENT_IDX, "VIRTIO_F_EVENT_IDX");
      const request = exercise(rig);
      const ring = rig.startQueue(request.queue, {
        features: request.features | bit(Feature.EVENT_IDX),

        interrupts: true,
      });
      // QEMU tells of the first request in any case; the specification lets it.
      ring.usedEvent = 0;
      await rig.ask(ring, request.make(rig));
      await rig.settle();
      ring.usedEvent = 3;
      rig.interrupted(rig.queueVector);
      await rig.ask(ring, request.make(rig));
      await rig.settle();
      must(
        !rig.interrupted(rig.queueVector),
        "it interrupted for request 1, and was asked to for 3",
      );
    },
  },
  {
    name: "interrupts.none",
    section: "4.1.5.1.2",
    does: "does not interrupt by a queue that has no vector",
    async run(rig) {
      msix(rig);
      const request = exercise(rig);
      const ring = rig.startQueue(request.queue, { features: request.features });
      await rig.ask(ring, request.make(rig));
      await rig.settle();
      for (const vector of rig.vectors.keys()) {
        must(!rig.interrupted(vector), `it interrupted by vector ${vector}`);
      }
    },
  },
  {
    name: "interrupts.before",
    section: "2.1.2",
    does: "does not interrupt before DRIVER_OK",
    async run(rig) {
      msix(rig);
      rig.negotiate();
      rig.enable(0, undefined, rig.queueVector);
      await rig.settle();
      for (const vector of rig.vectors.keys()) {
        must(!rig.interrupted(vector), `it interrupted by vector ${vector}`);
      }
    },
  },
  {
    name: "interrupts.once",
    section: "2.7.7",
    does: "does not go on interrupting when there is nothing new",
    async run(rig) {
      msix(rig);
      await interrupts(rig, 0n, () => {});
      await rig.settle();
      let count = 0;
      while (count < 3 && rig.interrupted(rig.queueVector)) {
        count++;
        await rig.settle();
      }
      must(count < 3, "it interrupts without end");
    },
  },
  {
    name: "interrupts.configuration",
    section: "4.1.5.4",
    does: "does not tell of a changed configuration where none changed",
    async run(rig) {
      msix(rig);
      needs(rig.vectors.length > 1, "it has one vector only");
      rig.common.write16(COMMON.configVector, 0);
      await interrupts(rig, 0n, () => {});
      must(!rig.interrupted(0), "it interrupted by the vector of the configuration");
    },
  },
  {
    name: "interrupts.isr_bits",
    section: "4.1.4.5",
    does: "has no bit in its ISR status that has no meaning",
    run(rig) {
      rig.start();
      const isr = rig.isr.read8(0);
      must((isr & ~ISR_BITS) === 0, `its ISR status is ${isr}`);
    },
  },
  {
    name: "interrupts.isr_clears",
    section: "4.1.4.5.1",
    does: "has ISR status 0 once that was read",
    run(rig) {
      rig.start();
      rig.isr.read8(0);
      const isr = rig.isr.read8(0);
      must(isr === 0, `its ISR status is ${isr} after it was read`);
    },
  },
];
