/**
 * Driver for the VirtIO console device (virtio 1.4, 5.3): one port, or many that come and go.
 *
 * @module
 */

import {
  type Config,
  definePlugin,
  type Offer,
  type Plugin,
  type QueuePlan,
  Status,
} from "@virtio/deno/plugin";
import { ConsoleOperation, ConsoleWord, PortState } from "@virtio/deno/classes/console";
import { Control, HEARD_BUFFERS, HEARD_BYTES, NAME_BYTES } from "./control.ts";
import { Port } from "./port.ts";
import * as wire from "./wire.ts";

/** More ports are not driven; FreeBSD stops at as many. */
const MOST_PORTS = 32;
/** A `max_nr_ports` beyond this is nonsense, and so is all that the device says of several ports. */
const MOST_DECLARED = 0x8000;
/** Slots of each port, in each direction. */
const PORT_SLOTS = 8;
const SLOT_BYTES = 4096;
const CONTROL_SLOTS = 64;
const EVENT_SLOTS = 64;

/** Of a device without messages, whose only port is not opened or closed. */
const ALWAYS_OPEN = PortState.console | PortState.open | PortState.connected;

/** The driver. */
const consoleDriver: Plugin = definePlugin({
  plan(offer) {
    const several = portCount(offer);
    const ports = several ?? 1;
    const wanted = wire.F_SIZE | wire.F_EMERG_WRITE | (several ? wire.F_MULTIPORT : 0n);
    const features = offer.features & wanted;
    const queues: Record<string, QueuePlan> = {};
    for (let port = 0; port < ports; port++) {
      const index = wire.receiveq(port);
      queues[`receive${port}`] = { index, size: PORT_SLOTS };
      queues[`transmit${port}`] = { index: index + 1, size: PORT_SLOTS };
    }
    if (several) {
      queues.controlReceive = { index: wire.CONTROL_RECEIVEQ, size: HEARD_BUFFERS };
      queues.controlTransmit = { index: wire.CONTROL_TRANSMITQ, size: 2 };
    }
    return {
      features,
      queues,
      lanes: {
        // What came is shown before what is said about its port. Both directions wait for what others do.
        receive: { slots: ports * PORT_SLOTS, slotBytes: SLOT_BYTES, deadline: 0 },
        transmit: { slots: ports * PORT_SLOTS, slotBytes: SLOT_BYTES, deadline: 0 },
        control: { slots: CONTROL_SLOTS, slotBytes: 4, deadline: 5000 },
        events: { slots: EVENT_SLOTS, slotBytes: NAME_BYTES, deadline: 0 },
      },
      buffers: { heard: HEARD_BUFFERS * HEARD_BYTES, said: wire.CONTROL_BYTES },
      properties: { ports, emergencyWrite: (features & wire.F_EMERG_WRITE) !== 0n },
    };
  },

  start(device) {
    const { features, queues, lanes, buffers, config, tunables, writeConfig } = device;
    const { receive, transmit, events, control: lane } = lanes;
    const { controlReceive, controlTransmit } = queues;
    const next = new Int32Array(transmit.slots);
    const ports = Array.from({ length: receive.slots / PORT_SLOTS }, (_, id) =>
      new Port(id, {
        receiveq: queues[`receive${id}`]!,
        transmitq: queues[`transmit${id}`]!,
        receive,
        transmit,
        next,
        slots: Math.min(PORT_SLOTS, queues[`transmit${id}`]!.size),
        recall: ({ id }) => device.canResetQueues && device.resetQueue(`transmit${id}`),
        nameBytes: NAME_BYTES,
      }));
    const control = controlReceive && controlTransmit && new Control({
      receiveq: controlReceive,
      transmitq: controlTransmit,
      ...buffers,
      ports,
      declared: config.u32(wire.CONFIG_MAX_NR_PORTS),
      columnsFirst: tunables.resize_order !== "rows-cols",
      lane,
      changed,
    });
    const arena = new Uint8Array(buffers.heard.bytes.buffer);
    let requestsRefused = 0;

    // What the client is still to be told: ports that are not as they were, that we begin, and that all is known.
    const untold = new Uint8Array(ports.length);
    let anyUntold = false;
    let begun = false;
    let settled = false;

    function changed({ id }: Port): void {
      untold[id] = 1;
      anyUntold = true;
    }

    function lend(slot: number): boolean {
      const port = ports[receive.word(slot, ConsoleWord.port)];
      if (port) port.lend(slot);
      else {
        requestsRefused++;
        receive.complete(slot, Status.failed, 0);
      }
      return true;
    }

    function accept(slot: number): boolean {
      const port = ports[transmit.word(slot, ConsoleWord.port)];
      if (port) port.accept(slot);
      else {
        requestsRefused++;
        transmit.complete(slot, Status.failed, 0);
      }
      return true;
    }

    function obey(slot: number): boolean {
      const operation = lane.word(slot, ConsoleWord.operation);
      const port = ports[lane.word(slot, ConsoleWord.port)];
      const opens = operation === ConsoleOperation.open;
      if (port && (opens || operation === ConsoleOperation.close)) use(port, opens, slot);
      else if (operation === ConsoleOperation.emergencyWrite && features & wire.F_EMERG_WRITE) {
        writeConfig("emerg_wr", lane.word(slot, ConsoleWord.value) & 0xff);
        lane.complete(slot, Status.ok, 0);
      } else {
        requestsRefused++;
        lane.complete(slot, Status.unsupported, 0);
      }
      return true;
    }

    function use(port: Port, opens: boolean, slot: number): void {
      if (opens) port.state |= PortState.open;
      else {
        port.state &= ~PortState.open;
        port.drop();
      }
      // One that is not there yet is told when it comes.
      if (control && port.is(PortState.present)) control.open(port, slot);
      else lane.complete(slot, Status.ok, 0);
      if (port.is(PortState.present)) changed(port);
    }

    function tell(slot: number): boolean {
      if (!begun) {
        begun = true;
        return tellState(slot, PortState.begin);
      }
      const port = anyUntold && ports[untold.indexOf(1)];
      if (port) {
        untold[port.id] = 0;
        arena.set(port.name.subarray(0, port.nameLength), events.offset(slot));
        events.setWord(slot, ConsoleWord.port, port.id);
        events.setWord(slot, ConsoleWord.size, port.size);
        events.setWord(slot, ConsoleWord.generation, port.generation);
        return tellState(slot, port.state, port.nameLength);
      }
      anyUntold = false;
      if (settled || control && !control.settled) return false;
      settled = true;
      return tellState(slot, PortState.settled);
    }

    function tellState(slot: number, state: number, length = 0): true {
      events.setWord(slot, ConsoleWord.value, state);
      events.complete(slot, Status.ok, length);
      return true;
    }

    /** The size in the configuration is that of port 0. Where messages tell of changes it is the first one only. */
    function takeSize(now: Config): void {
      if (!(features & wire.F_SIZE)) return;
      const size = now.u16(wire.CONFIG_COLS) + now.u16(wire.CONFIG_ROWS) * 0x10000;
      if (size !== ports[0]!.size) changed(ports[0]!);
      ports[0]!.size = size;
    }

    takeSize(config);
    if (!control) {
      ports[0]!.state = ALWAYS_OPEN;
      ports[0]!.appear();
      changed(ports[0]!);
    }

    return {
      rung() {
        for (let id = 0; id < ports.length; id++) ports[id]!.drain();
        control?.drain();
        receive.take(lend);
        transmit.take(accept);
        lane.take(obey);
        control?.speak();
        events.take(tell);
      },

      configured(now) {
        if (!control) takeSize(now);
        return undefined;
      },

      queueReset(name, cookies) {
        if (name.startsWith("control")) {
          throw new Error("Cannot go on: what was said about ports was lost, to be said anew");
        }
        if (name.startsWith("receive")) cookies.forEach(lend);
        else cookies.forEach((slot) => transmit.complete(slot, Status.unknown, 0));
      },

      statistics: () => ({
        ...Object.assign({}, ...ports.filter((port) => port.is(PortState.present)).map(counts)),
        ...control?.counters,
        requests_refused: requestsRefused,
      }),
    };
  },
});

/** How many ports are to be driven; undefined if the device has but one, and no messages. */
function portCount({ features, config, queues }: Offer): number | undefined {
  if (!(features & wire.F_MULTIPORT)) return undefined;
  const declared = config.u32(wire.CONFIG_MAX_NR_PORTS);
  const has = (index: number) => (queues[index] ?? 0) > 0 && (queues[index + 1] ?? 0) > 0;
  if (declared < 1 || declared > MOST_DECLARED || !has(wire.CONTROL_RECEIVEQ)) return undefined;
  let ports = 1;
  while (ports < Math.min(declared, MOST_PORTS) && has(wire.receiveq(ports))) ports++;
  return ports;
}

/** Linux's figures of a port. */
function counts(port: Port): Record<string, number> {
  const figures = {
    guest_connected: Number(port.is(PortState.open)),
    host_connected: Number(port.is(PortState.connected)),
    outvq_full: Number(port.waits),
    is_console: Number(port.is(PortState.console)),
    ...port.counters,
  };
  return Object.fromEntries(
    Object.entries(figures).map(([name, count]) => [`port.${port.id}.${name}`, count]),
  );
}

export default consoleDriver;
