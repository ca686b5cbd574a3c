import { FRAME_HEADER } from "../../classes/network/mod.ts";
import { arpMessage, ArpOperation } from "./arp.ts";
import type { Card } from "./card.ts";
import { ethernetFrame, EtherType } from "./ethernet.ts";
import { icmpEcho, IcmpType } from "./icmp.ts";
import { ipv4Packet, Protocol } from "./ipv4.ts";

/** The station at the other end of a simulated wire, and who it thinks that we are. */
const STATION = Uint8Array.of(10, 0, 2, 2), SELF = Uint8Array.of(10, 0, 2, 15);
const EVERYONE = new Uint8Array(6).fill(0xff);
/** Milliseconds from one call to the next. */
const EVERY = 250;
/** What a call says. */
const DATA = new TextEncoder().encode("Is anything to be seen here?");

/**
 * Calls the station at the other end of a wire on which nothing else speaks, so that there is something to hear: by turns
 * it is asked where it is (ARP), and to send something back (ICMP). Disposing it ends the calls.
 */
export class Caller implements Disposable {
  readonly #card: Pick<Card, "mac" | "send">;
  readonly #timer: ReturnType<typeof setInterval>;
  #station = EVERYONE;
  #calls = 0;

  /** Begins with the next turn: what listens by then hears all answers. */
  constructor(card: Pick<Card, "mac" | "send">) {
    this.#card = card;
    this.#timer = setInterval(() => this.#call(), EVERY);
    setTimeout(() => this.#call(), 0);
  }

  /** Hears where the station is. */
  hear(frame: Uint8Array): void {
    if (frame.length >= FRAME_HEADER) this.#station = frame.slice(6, 12);
  }

  #call(): void {
    // A card that is gone says so to those who listen.
    this.#card.send(this.#calls++ % 4 === 0 ? this.#where() : this.#echo()).catch(() => {});
  }

  #where(): Uint8Array<ArrayBuffer> {
    const { mac } = this.#card;
    const message = arpMessage({
      operation: ArpOperation.request,
      senderMac: mac,
      sender: SELF,
      targetMac: new Uint8Array(6),
      target: STATION,
    });
    return ethernetFrame(EVERYONE, mac, EtherType.arp, message);
  }

  #echo(): Uint8Array<ArrayBuffer> {
    const payload = icmpEcho(IcmpType.echoRequest, {
      identifier: 1,
      sequence: this.#calls,
      data: DATA,
    });
    const packet = ipv4Packet({
      source: SELF,
      destination: STATION,
      protocol: Protocol.icmp,
      payload,
    });
    return ethernetFrame(this.#station, this.#card.mac, EtherType.ipv4, packet);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
