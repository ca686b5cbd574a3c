import { equal } from "./bytes.ts";
import { type Arp, arpMessage, ArpOperation, readArp } from "./arp.ts";
import { BROADCAST, EtherType } from "./ethernet.ts";
import type { Link } from "./link.ts";

/** How we take part in an IPv4 network. */
export interface Ipv4Setup {
  /** Ours. */
  readonly address: Uint8Array;
  /** Which bits of an address all on this network have in common. */
  readonly mask: Uint8Array;
  /** The router for what is not on this network. */
  readonly gateway?: Uint8Array;
}

/** Milliseconds until a question is asked again. */
const WAITS = [300, 1000, 1000];

/** The neighbour that packets for `target` are given to; undefined if there is none. */
export function nextHop(
  { address, mask, gateway }: Ipv4Setup,
  target: Uint8Array,
): Uint8Array | undefined {
  const here = target.every((byte, i) => ((byte ^ address[i]!) & mask[i]!) === 0);
  return here ? target : gateway;
}

/** The hardware address of a neighbour; undefined if he does not answer. */
export function resolve(
  link: Link,
  sender: Uint8Array,
  target: Uint8Array,
): Promise<Uint8Array | undefined> {
  const request = arpMessage({
    operation: ArpOperation.request,
    senderMac: link.mac,
    sender,
    targetMac: new Uint8Array(6),
    target,
  });
  return link.ask(
    () => link.send(BROADCAST, EtherType.arp, request),
    (frame) => {
      const arp = readArp(frame);
      const answer = arp?.operation === ArpOperation.reply && equal(arp.sender, target);
      return answer ? arp.senderMac.slice() : undefined;
    },
    WAITS,
  );
}

/** Tells stations that ask that `address` is ours, until the result is disposed. */
export function answerArp(link: Link, address: Uint8Array): Disposable {
  return link.listen((frame) => {
    const arp = readArp(frame);
    if (arp?.operation !== ArpOperation.request || !equal(arp.target, address)) return;
    const reply: Arp = {
      operation: ArpOperation.reply,
      senderMac: link.mac,
      sender: address,
      targetMac: arp.senderMac,
      target: arp.sender,
    };
    link.send(arp.senderMac, EtherType.arp, arpMessage(reply));
  });
}
