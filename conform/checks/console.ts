// Consoles (virtio 1.4, 5.3).

import { type Check, must, needs } from "../check.ts";
import type { Rig } from "../rig.ts";

const CONSOLE = 3;
const F_SIZE = 1n << 0n, F_MULTIPORT = 1n << 1n, F_EMERG_WRITE = 1n << 2n;
const RECEIVE = 0, TRANSMIT = 1, CONTROL_RECEIVE = 2, CONTROL_TRANSMIT = 3;
const DEVICE_READY = 0, DEVICE_ADD = 1, PORT_READY = 3, PORT_NAME = 7;
/** Buffers for control messages. */
const BUFFERS = 8;
const BUFFER = 64;

interface Message {
  readonly id: number;
  readonly event: number;
  readonly value: number;
  readonly length: number;
}

/** Starts the control queues, and says that the driver is ready. */
async function handshake(rig: Rig) {
  needs((rig.offered & F_MULTIPORT) !== 0n, "it does not offer VIRTIO_CONSOLE_F_MULTIPORT");
  const { rings: [receive, transmit] } = rig.start({
    features: F_MULTIPORT,
    queues: [CONTROL_RECEIVE, CONTROL_TRANSMIT],
    size: 16,
  });
  const rooms = Array.from({ length: BUFFERS }, () => rig.room(BUFFER));
  rooms.forEach((part, head) => {
    receive!.chain(head, [part]);
    receive!.offer(head);
  });
  receive!.publish();
  rig.notify(CONTROL_RECEIVE);
  const say = async (id: number, event: number, value: number) => {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, id, true);
    view.setUint16(4, event, true);
    view.setUint16(6, value, true);
    const { written } = await rig.ask(transmit!, [rig.give(bytes)]);
    must(written === 0, `it says that it wrote ${written} bytes into a message to it`);
  };
  /** What it has said so far. */
  const heard = async (): Promise<Message[]> => {
    await rig.settle();
    rig.mustWork();
    return Array.from({ length: Math.min(receive!.used, BUFFERS) }, (_, i) => {
      const { id: head, written } = receive!.element(i);
      const room = rooms[head];
      must(room !== undefined, `it gave descriptor ${head} back`);
      must(written >= 8 && written <= BUFFER, `a message of ${written} bytes`);
      const view = new DataView(rig.read([room]).buffer);
      return {
        id: view.getUint32(0, true),
        event: view.getUint16(4, true),
        value: view.getUint16(6, true),
        length: written,
      };
    });
  };
  await say(0, DEVICE_READY, 1);
  return { say, heard };
}

const ALL: readonly Omit<Check, "type">[] = [
  {
    name: "console.configuration",
    section: "5.3.4",
    does: "has a configuration that can be true",
    run(rig) {
      const { specific, offered } = rig;
      const at = (end: number) => {
        must(specific !== undefined && specific.size >= end, `it has fewer than ${end} bytes`);
        return specific!;
      };
      if (offered & F_SIZE) {
        const columns = at(4).read16(0);
        must(columns !== 0xffff, "it has 65535 columns");
      }
      if (!(offered & F_MULTIPORT)) return;
      const ports = at(8).read32(4);
      must(ports >= 1, "it can have no ports");
      const queues = rig.common.read16(0x12);
      must(queues === 2 * ports + 2, `it can have ${ports} ports, and has ${queues} queues`);
    },
  },
  {
    name: "console.transmit",
    section: "5.3.6",
    does: "takes bytes of its first port, and writes nothing into them",
    async run(rig) {
      const ring = rig.startQueue(TRANSMIT);
      for (const length of [1, 64, 4096]) {
        const { written } = await rig.ask(ring, [rig.give(new Uint8Array(length).fill(0x2e))]);
        must(written === 0, `it says that it wrote ${written} bytes`);
      }
    },
  },
  {
    name: "console.receive_waits",
    section: "5.3.6",
    does: "keeps buffers for bytes until there are some",
    async run(rig) {
      const ring = rig.startQueue(RECEIVE);
      ring.chain(0, [rig.room(64)]);
      rig.offer(ring);
      await rig.settle();
      rig.mustWork();
      if (ring.used > 0) must(ring.element(0).written > 0, "it gave one back with no bytes");
    },
  },
  {
    name: "console.ready",
    section: "5.3.6.2.1",
    does: "adds its ports when the driver is ready, each once and below max_nr_ports",
    async run(rig) {
      const { heard } = await handshake(rig);
      const most = rig.specific!.read32(4);
      const added = (await heard()).filter(({ event }) => event === DEVICE_ADD).map(({ id }) => id);
      must(new Set(added).size === added.length, `it adds ports ${added.join(", ")}`);
      const beyond = added.find((id) => id >= most);
      must(beyond === undefined, `it adds port ${beyond}, and can have ${most}`);
    },
  },
  {
    name: "console.introduces",
    section: "5.3.6.2.1",
    does: "tells only of a port that it has added, once the driver has it ready",
    async run(rig) {
      const { say, heard } = await handshake(rig);
      const [first] = (await heard()).filter(({ event }) => event === DEVICE_ADD);
      needs(first !== undefined, "it has no ports");
      await say(first.id, PORT_READY, 1);
      const messages = await heard();
      const known = new Set(
        messages.filter(({ event }) => event === DEVICE_ADD).map(({ id }) => id),
      );
      const stray = messages.find(({ id }) => !known.has(id));
      must(stray === undefined, `it tells of port ${stray?.id}, which it did not add`);
      const unknown = messages.find(({ event }) => event < DEVICE_ADD || event > PORT_NAME);
      must(unknown === undefined, `it says ${unknown?.event}`);
    },
  },
  {
    name: "console.unknown_port",
    section: "5.3.6.2",
    does: "goes on after a message about a port that is not there",
    async run(rig) {
      const { say, heard } = await handshake(rig);
      await say(0xfffe, PORT_READY, 1);
      await heard();
      rig.mustWork();
    },
  },
  {
    name: "console.unknown_event",
    section: "5.3.6.2",
    does: "goes on after a message that it does not know",
    async run(rig) {
      const { say, heard } = await handshake(rig);
      await say(0, 0x7ffe, 1);
      await heard();
      rig.mustWork();
    },
  },
  {
    name: "console.emergency",
    section: "5.3.5.1",
    does: "takes an emergency write before it is set up",
    run(rig) {
      needs((rig.offered & F_EMERG_WRITE) !== 0n, "it does not offer VIRTIO_CONSOLE_F_EMERG_WRITE");
      const { specific } = rig;
      must(specific !== undefined && specific.size >= 12, "it has no emerg_wr");
      specific.write32(8, 0x0a);
      must(rig.status === 0, () => `its status is ${rig.status} after that`);
    },
  },
];

export const CONSOLE_CHECKS: readonly Check[] = ALL.map((check) => ({ ...check, type: CONSOLE }));
