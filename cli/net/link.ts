import type { Frame } from "../../classes/network/mod.ts";
import { deadline, delay } from "@std/async";
import type { Feed } from "../../core/class/mod.ts";
import type { Card } from "./card.ts";
import { type Ethernet, ethernetFrame, readEthernet } from "./ethernet.ts";

/** How long what was sent last may take to be on its way, in milliseconds. */
const LAST_WAIT = 100;

/** Called with each frame that comes in. */
export type Listener = (frame: Ethernet) => void;

/**
 * A card as a small network stack sees it: listeners hear its frames, and a question is asked again until a
 * station answers.
 */
export class Link implements AsyncDisposable {
  /** Our hardware address. */
  readonly mac: Uint8Array;
  /** Most bytes of a packet. */
  readonly mtu: number;
  /** Aborted when the command wants no answer any more, or none can come because the card is gone. */
  readonly signal: AbortSignal;
  readonly #card: Card;
  readonly #hurry: number;
  /** Settles when all that was sent is on its way. */
  #last: Promise<void> = Promise.resolve();
  readonly #listeners = new Set<Listener>();
  readonly #frames: Feed<Frame>;
  readonly #lost = new AbortController();
  readonly #hearing: Promise<void>;

  /**
   * @param signal Ends all waiting.
   * @param hurry By what all waits are divided; for tests, whose networks are near.
   */
  constructor(card: Card, signal: AbortSignal, hurry = 1) {
    this.mac = card.mac;
    this.mtu = card.mtu;
    this.signal = AbortSignal.any([signal, this.#lost.signal]);
    this.#card = card;
    this.#hurry = hurry;
    this.#frames = card.frames();
    this.#hearing = this.#hear();
  }

  async #hear(): Promise<void> {
    for await (const { bytes } of this.#frames) {
      const frame = readEthernet(bytes);
      // What is tagged is for another network.
      if (!frame || frame.vlan) continue;
      for (const listener of this.#listeners) listener(frame);
    }
    this.#lost.abort(new Error("The network card is gone"));
  }

  /** Whether the card is gone. */
  get lost(): boolean {
    return this.#lost.signal.aborted;
  }

  /** Sends a packet to a neighbour. Whether it gets there is not known before he answers, as always on a network. */
  send(destination: Uint8Array, type: number, packet: Uint8Array): void {
    const frame = ethernetFrame(destination, this.mac, type, packet);
    this.#last = this.#card.send(frame).catch(() => {});
  }

  /** Lets `listener` hear all frames until the result is disposed. */
  listen(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * Asks, and asks again if no station answers.
   *
   * @param say Sends the question.
   * @param understand What a frame answers; undefined if it is no answer.
   * @param waits Milliseconds to wait after each question.
   * @returns The first answer; undefined if there is none.
   * @throws The reason of {@linkcode Link.signal}.
   */
  async ask<T>(
    say: () => void,
    understand: (frame: Ethernet) => T | undefined,
    waits: readonly number[],
  ): Promise<T | undefined> {
    let answer: T | undefined;
    const answered = new AbortController();
    using _listening = this.listen((frame) => {
      answer ??= understand(frame);
      if (answer !== undefined) answered.abort();
    });
    for (const wait of waits) {
      say();
      await this.pause(wait, answered.signal);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  /** Waits, until `enough` at most. */
  async pause(milliseconds: number, enough?: AbortSignal): Promise<void> {
    const signal = enough ? AbortSignal.any([this.signal, enough]) : this.signal;
    await delay(milliseconds / this.#hurry, { signal }).catch(() => {});
    this.signal.throwIfAborted();
  }

  /** Stops hearing, when what was sent is on its way; the card goes on. */
  async [Symbol.asyncDispose](): Promise<void> {
    // A card without a network may never take it.
    await deadline(this.#last, LAST_WAIT).catch(() => {});
    this.#frames[Symbol.dispose]();
    await this.#hearing;
  }
}
