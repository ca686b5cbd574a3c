// Network devices (virtio 1.4, 5.1).

import { type Check, must, needs } from "../check.ts";
import type { Rig } from "../rig.ts";

const NETWORK = 1;
const F_MTU = 1n << 3n, F_MAC = 1n << 5n, F_STATUS = 1n << 16n, F_CTRL_VQ = 1n << 17n;
const F_CTRL_RX = 1n << 18n, F_CTRL_VLAN = 1n << 19n, F_MQ = 1n << 22n, F_CTRL_MAC_ADDR = 1n << 23n;
const OK = 0, ERR = 1;
/** Of a device whose driver knows of no more pairs. */
const TRANSMIT = 1, CONTROL = 2;
const HEADER = 12;

/** Sends commands, each to be answered by an acknowledgement. */
function control(rig: Rig, features = 0n) {
  needs((rig.offered & F_CTRL_VQ) !== 0n, "it does not offer VIRTIO_NET_F_CTRL_VQ");
  needs((rig.offered & features) === features, "it does not offer the commands");
  const ring = rig.startQueue(CONTROL, { features: F_CTRL_VQ | features });
  return async (kind: number, command: number, data: Uint8Array, wanted: number) => {
    const { bytes, written } = await rig.ask(ring, [
      rig.give(Uint8Array.of(kind, command)),
      ...(data.length > 0 ? [rig.give(data)] : []),
      rig.room(1),
    ]);
    const name = `command ${kind}.${command}`;
    must(bytes[0] === wanted, `it acknowledges ${name} by ${bytes[0]}, and not by ${wanted}`);
    must(written === 1, `it says that it wrote ${written} bytes of an acknowledgement`);
  };
}

/** Sends frames. */
async function transmit(rig: Rig, lengths: readonly number[], split: boolean): Promise<void> {
  const ring = rig.startQueue(TRANSMIT);
  for (const length of lengths) {
    const frame = new Uint8Array(length);
    frame.fill(0xff, 0, 6);
    frame.set([2, 0, 0, 0, 0, 1, 0x88, 0xb5], 6);
    const whole = new Uint8Array(HEADER + length);
    whole.set(frame, HEADER);
    const parts = split ? [rig.give(new Uint8Array(HEADER)), rig.give(frame)] : [rig.give(whole)];
    const { written } = await rig.ask(ring, parts);
    must(written === 0, `it says that it wrote ${written} bytes into a frame that is sent`);
  }
}

const ALL: readonly Omit<Check, "type">[] = [
  {
    name: "network.configuration",
    section: "5.1.4.1",
    does: "has a configuration that can be true",
    run(rig) {
      const { specific, offered } = rig;
      const at = (end: number) => {
        must(specific !== undefined && specific.size >= end, `it has fewer than ${end} bytes`);
        return specific!;
      };
      if (offered & F_MAC) must((at(6).read8(0) & 1) === 0, "its address is one of a group");
      if (offered & F_STATUS) {
        const status = at(8).read16(6);
        must((status & ~3) === 0, `its status is ${status}`);
      }
      if (offered & F_MQ) {
        const pairs = at(10).read16(8);
        must(pairs >= 1 && pairs <= 0x8000, `it has ${pairs} pairs of queues`);
      }
      if (offered & F_MTU) {
        const mtu = at(12).read16(10);
        must(mtu >= 68, `its MTU is ${mtu}`);
      }
    },
  },
  {
    name: "network.transmit",
    section: "5.1.9.2",
    does: "sends frames of 14 to 1514 bytes, header and frame in one buffer",
    run: (rig) => transmit(rig, [60, 14, 1514, 61], false),
  },
  {
    name: "network.transmit_split",
    section: "5.1.9.2",
    does: "sends frames whose headers are in buffers of their own",
    run: (rig) => transmit(rig, [60, 14, 1514, 61], true),
  },
  {
    name: "network.receive_waits",
    section: "5.1.9.3",
    does: "keeps buffers for frames until there are some",
    async run(rig) {
      const ring = rig.startQueue(0);
      const part = rig.room(1526);
      ring.chain(0, [part]);
      rig.offer(ring);
      await rig.settle();
      rig.mustWork();
      if (ring.used === 0) return;
      // A frame may have come.
      const { written } = ring.element(0);
      must(written > HEADER, `it gave a buffer back with ${written} bytes, which is no frame`);
    },
  },
  {
    name: "network.unknown_class",
    section: "5.1.9.5",
    does: "acknowledges a command of a class that it does not know by ERR",
    run: (rig) => control(rig)(0xee, 0, new Uint8Array(4), ERR),
  },
  {
    name: "network.unknown_command",
    section: "5.1.9.5",
    does: "acknowledges a command that its class does not have by ERR",
    run: (rig) => control(rig, F_CTRL_RX)(0, 0xee, Uint8Array.of(1), ERR),
  },
  {
    name: "network.promiscuous",
    section: "5.1.9.5.1",
    does: "can be switched to receive everything, and all of a group, and back",
    async run(rig) {
      const command = control(rig, F_CTRL_RX);
      for (const what of [0, 1]) {
        for (const on of [1, 0]) await command(0, what, Uint8Array.of(on), OK);
      }
    },
  },
  {
    name: "network.short_command",
    section: "5.1.9.5.1",
    does: "acknowledges a command without its data by ERR",
    should: true,
    run: (rig) => control(rig, F_CTRL_RX)(0, 0, new Uint8Array(), ERR),
  },
  {
    name: "network.address_table",
    section: "5.1.9.5.2",
    does: "takes a table of addresses, an empty one too, and refuses one that ends too early",
    async run(rig) {
      const command = control(rig, F_CTRL_RX);
      await command(1, 0, new Uint8Array(8), OK);
      await command(1, 0, Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0), OK);
      await command(1, 0, Uint8Array.of(9, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0), ERR);
    },
  },
  {
    name: "network.address",
    section: "5.1.9.5.2",
    does: "takes another address, and shows it in its configuration",
    async run(rig) {
      const wanted = F_CTRL_MAC_ADDR | F_MAC & rig.offered;
      const { specific } = rig;
      const before = Uint8Array.from({ length: 6 }, (_, i) => specific!.read8(i));
      const command = control(rig, wanted);
      const other = Uint8Array.of(2, 0x11, 0x22, 0x33, 0x44, 0x55);
      await command(1, 1, other, OK);
      const now = Uint8Array.from({ length: 6 }, (_, i) => specific!.read8(i));
      await command(1, 1, before, OK);
      must(
        (wanted & F_MAC) === 0n || now.every((byte, i) => byte === other[i]),
        `it is ${now.toHex()}`,
      );
    },
  },
  {
    name: "network.vlan",
    section: "5.1.9.5.3",
    does: "lets VLANs in and out of its table",
    async run(rig) {
      const command = control(rig, F_CTRL_VLAN);
      await command(2, 0, Uint8Array.of(7, 0), OK);
      await command(2, 1, Uint8Array.of(7, 0), OK);
    },
  },
  {
    name: "network.not_agreed",
    section: "5.1.9.5",
    does: "acknowledges a command whose feature was not agreed by ERR",
    should: true,
    run: (rig) => control(rig)(4, 0, Uint8Array.of(1, 0), ERR),
  },
];

export const NETWORK_CHECKS: readonly Check[] = ALL.map((check) => ({ ...check, type: NETWORK }));
