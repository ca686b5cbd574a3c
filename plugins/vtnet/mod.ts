/**
 * Driver for the VirtIO network device (virtio 1.4, 5.1).
 *
 * @module
 */

import { definePlugin, type Plugin, Status } from "@virtio/deno/plugin";
import { NetEventWord } from "@virtio/deno/classes/network";
import { controlQueue } from "./control.ts";
import { makePlan, shapeOf } from "./plan.ts";
import { receiveQueue } from "./receive.ts";
import { State } from "./state.ts";
import { transmitQueues } from "./transmit.ts";

/** The driver. */
const vtnet: Plugin = definePlugin({
  plan: makePlan,

  start(device) {
    const { features, queues, lanes, buffers, config, legacy } = device;
    const { receive: receiveLane, transmit: transmitLane, control: controlLane, events } = lanes;
    const shape = shapeOf(features, config, legacy);
    const { headerBytes } = shape;
    const arena = buffers.commands!.bytes.buffer;
    const numbered = (name: string) =>
      Object.entries(queues).filter(([each]) => each.startsWith(name)).map(([, queue]) => queue);

    const receiving = numbered("receive").map((queue, pair) =>
      receiveQueue({
        pair,
        queue,
        lane: receiveLane!,
        arena,
        features,
        headerBytes,
        apart: legacy,
        longest: shape.longest,
      })
    );
    const transmitting = numbered("transmit");
    const transmit = transmitQueues({
      queues: transmitting,
      lane: transmitLane!,
      long: lanes.long,
      arena,
      features,
      headerBytes,
      apart: legacy,
      longest: shape,
    });
    const state = new State(features, config);
    const control = controlQueue({
      queue: queues.control,
      index: shape.control,
      lane: controlLane!,
      commands: buffers.commands!,
      results: buffers.results!,
      device,
      pairs: receiving.length,
      transmit,
      transmitting,
      announced: () => state.announced(),
    });

    /** Each slot waits in the same queue, again and again. */
    const wait = receiving.length === 1
      ? receiving[0]!.provide
      : (slot: number) => receiving[slot % receiving.length]!.provide(slot);

    // Frames may come as soon as the device is live.
    receiveLane!.take(wait);
    for (const queue of receiving) queue.publish();

    const tell = (slot: number) => {
      const { link, announce, speed, duplex } = state;
      if (!state.take()) return false;
      events!.setWord(slot, NetEventWord.link, Number(link));
      events!.setWord(slot, NetEventWord.announce, Number(announce));
      events!.setWord(slot, NetEventWord.speed, speed);
      events!.setWord(slot, NetEventWord.duplex, duplex);
      events!.complete(slot, Status.ok, 0);
      return true;
    };

    const provide: Readonly<Record<string, (slot: number) => boolean>> = {
      receive: wait,
      transmit: transmit.provide,
      control: control.provide,
    };

    return {
      rung() {
        for (let i = 0; i < receiving.length; i++) receiving[i]!.collect();
        transmit.collect();
        control.collect();
        receiveLane!.take(wait);
        transmitLane!.take(transmit.provide);
        controlLane!.take(control.provide);
        events!.take(tell);
      },
      configured(changed) {
        state.update(changed);
        return undefined;
      },
      queueReset(name, slots) {
        const [kind = ""] = name.match(/^[a-z]+/) ?? [];
        for (const slot of slots) provide[kind]?.(slot);
      },
      statistics: () => ({
        ...Object.assign({}, ...receiving.map(({ counters }, i) => counters.report(`rxq${i}.`))),
        ...Object.assign({}, ...transmit.counters.map((each, i) => each.report(`txq${i}.`))),
        "control.commands": control.counts.commands,
        "control.failed": control.counts.failed,
      }),
    };
  },
});

export default vtnet;
