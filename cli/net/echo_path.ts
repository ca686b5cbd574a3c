import type { Ethernet } from "./ethernet.ts";
import type { Echo } from "./icmp.ts";

/** What came back for an echo request. */
export interface Answer {
  /** The address of its sender. */
  readonly from: string;
  /** Which request it is about. */
  readonly identifier: number;
  /** Which of them. */
  readonly sequence: number;
  /** Hops that it had left. */
  readonly ttl: number;
  /** What came back; undefined if the request did not get there. */
  readonly data?: Uint8Array;
  /** Why the request did not get there. */
  readonly error?: string;
}

/** The way of echo messages to a station and back. */
export interface EchoPath {
  /** Our address. */
  readonly source: string;
  /** The station's. */
  readonly target: string;
  /** Bytes of a packet before the data. */
  readonly headers: number;
  /** Sends a request. */
  send(echo: Echo): void;
  /** What a frame answers; undefined if it is no answer. */
  read(frame: Ethernet): Answer | undefined;
}
