// The device status field (virtio 1.4, 2.1), step by step as in 3.1.1.

import { DeviceStatus } from "../../core/virtio/status.ts";
import { type Check, must } from "../check.ts";
import { exercise } from "../observe.ts";
import type { Rig } from "../rig.ts";

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus;

function holds(rig: Rig, wanted: number): void {
  const { status } = rig;
  must(status === wanted, `its status reads as ${status} where ${wanted} was written`);
}

/** A ring with one request, before DRIVER_OK. */
function prepare(rig: Rig) {
  const request = exercise(rig);
  rig.negotiate(request.features);
  const ring = rig.enable(request.queue);
  ring.chain(0, request.make(rig));
  ring.offer(0);
  ring.publish();
  return ring;
}

export const STATUS: readonly Check[] = [
  {
    name: "status.zero",
    section: "2.4.1",
    does: "has status 0 after a reset, for as long as it is not written",
    async run(rig) {
      for (let i = 0; i < 8; i++) holds(rig, 0);
      await rig.settle();
      holds(rig, 0);
    },
  },
  {
    name: "status.acknowledge",
    section: "2.1",
    does: "keeps ACKNOWLEDGE",
    run(rig) {
      rig.status = ACKNOWLEDGE;
      holds(rig, ACKNOWLEDGE);
    },
  },
  {
    name: "status.driver",
    section: "2.1",
    does: "keeps DRIVER",
    run(rig) {
      rig.status = ACKNOWLEDGE;
      rig.status = ACKNOWLEDGE | DRIVER;
      holds(rig, ACKNOWLEDGE | DRIVER);
    },
  },
  {
    name: "status.features_ok",
    section: "2.2.2",
    does: "keeps FEATURES_OK for features of its own",
    run(rig) {
      rig.negotiate();
      holds(rig, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    },
  },
  {
    name: "status.driver_ok",
    section: "2.1",
    does: "keeps DRIVER_OK, and does not need a reset as soon as it works",
    async run(rig) {
      rig.start();
      const wanted = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
      holds(rig, wanted);
      await rig.settle();
      holds(rig, wanted);
    },
  },
  {
    name: "status.failed",
    section: "2.1",
    does: "can be given up by FAILED, and reset",
    async run(rig) {
      rig.status = ACKNOWLEDGE | DRIVER | FAILED;
      must((rig.status & FAILED) !== 0, "it does not keep FAILED");
      await rig.reset();
    },
  },
  {
    name: "status.not_before_driver_ok",
    section: "2.1.2",
    does: "consumes no buffers before DRIVER_OK",
    async run(rig) {
      const ring = prepare(rig);
      await rig.settle();
      must(ring.used === 0, `it used ${ring.used} requests before DRIVER_OK`);
    },
  },
  {
    name: "status.after_driver_ok",
    section: "3.1.1",
    does: "takes what was made available before DRIVER_OK when it is notified after",
    async run(rig) {
      const ring = prepare(rig);
      rig.go();
      rig.notify(ring.queue);
      await rig.used(ring, 1);
    },
  },
  {
    name: "status.healthy",
    section: "2.1.2",
    does: "does not say that it needs a reset while nothing is asked of it",
    run(rig) {
      const steps = [ACKNOWLEDGE, DRIVER].reduce((status, step) => {
        rig.status = status | step;
        must(
          (rig.status & DEVICE_NEEDS_RESET) === 0,
          "it needs a reset in the middle of the handshake",
        );
        return status | step;
      }, 0);
      must(steps === (ACKNOWLEDGE | DRIVER), "the steps are known");
      rig.negotiate();
      rig.go();
      must((rig.status & DEVICE_NEEDS_RESET) === 0, "it needs a reset once it is set up");
    },
  },
];
