// How a VirtIO device interrupts: vectors, one vector, the pin, or polling.

import { clearer, close, eventfd, signaller } from "../../linux/fd.ts";
import type { InterruptLoop } from "../../irq/interrupt_loop.ts";
import type { OpenFunction } from "../../pci/function.ts";
import { DeviceFault } from "../../pci/device_fault.ts";
import {
  CONFIG_INTERRUPT,
  NO_VECTOR,
  QUEUE_INTERRUPT,
  type Transport,
} from "../../virtio/transport.ts";
import { type InterruptKind, INTERRUPTS } from "../interrupt_kind.ts";

/** What the core does about interrupts that are not a driver's alone. */
export interface InterruptEvents {
  /** The configuration may have changed (2.5). */
  readonly config: () => void;
  /** One came to the core; from where. */
  readonly heard?: (source: string) => void;
}

/**
 * The most vectors for queues of one device: with more queues, each vector tells of several. Vectors and descriptors of
 * a driver's process are few, and a driver looks at all its queues whichever of them it is told of.
 */
const MOST_QUEUE_VECTORS = 32;

/**
 * The interrupts of one device. What tells of queues only goes straight to the driver's host; what tells of changed
 * configuration too comes here first, and is passed on.
 */
export class Interrupts implements Disposable {
  /** Eventfds for the driver's host. */
  readonly queueFds: readonly number[];
  readonly #device: OpenFunction;
  readonly #transport: Transport;
  readonly #loop: InterruptLoop;
  readonly #events: InterruptEvents;
  /** An eventfd for each MSI-X vector that the device may need: how many it does, its driver's plan will say. */
  readonly #vectors: readonly number[];
  /** Tells the driver's host on behalf of the core. */
  readonly #relay = eventfd();
  readonly #pass = signaller(this.#relay);
  #best: InterruptKind;
  #kind: InterruptKind = "polling";
  readonly #watched: number[] = [];

  /** @param best The best kind to use. */
  constructor(
    device: OpenFunction,
    transport: Transport,
    best: InterruptKind,
    loop: InterruptLoop,
    events: InterruptEvents,
  ) {
    this.#device = device;
    this.#transport = transport;
    this.#best = best;
    this.#loop = loop;
    this.#events = events;
    const queues = Math.min(transport.queues, MOST_QUEUE_VECTORS);
    const wanted = best === "msix" ? queues + 1 : best === "shared" ? 1 : 0;
    this.#vectors = wanted === 0 ? [] : device.vectors(wanted);
    this.queueFds = [...this.#vectors.slice(1), this.#relay];
  }

  /** Which kind is in use. */
  get kind(): InterruptKind {
    return this.#kind;
  }

  /**
   * Whether changed configuration is told of. One vector for all does not say what it is about, and looking each time
   * would cost more than the request that has ended.
   */
  get tellsOfConfig(): boolean {
    return this.#kind === "msix" || this.#kind === "intx";
  }

  /**
   * Finds the best kind that the device takes, and uses it (4.1.5.1.2). The device has forgotten all of it whenever it
   * was reset.
   *
   * @param queues Indexes of the queues in use, not enabled yet.
   * @returns The MSI-X vector of each queue; none without MSI-X.
   */
  use(queues: readonly number[]): readonly number[] {
    this.#unwatch();
    const kinds = INTERRUPTS.slice(INTERRUPTS.indexOf(this.#best));
    for (const kind of kinds) {
      const vectors = this.#try(kind, queues);
      if (!vectors) continue;
      this.#kind = kind;
      return vectors;
    }
    throw new DeviceFault("D-70", "The device takes not even no interrupt vector");
  }

  #try(kind: InterruptKind, queues: readonly number[]): readonly number[] | undefined {
    switch (kind) {
      case "msix": {
        // One for the configuration, and no more for the queues than there are.
        const count = this.#take(1 + queues.length);
        if (count < 2) return undefined;
        const vectors = queues.map((_, i) => 1 + i % (count - 1));
        if (!this.#assign(0, queues, vectors)) return undefined;
        this.#watch(this.#vectors[0]!, "vector 0, the configuration", this.#events.config);
        return vectors;
      }
      case "shared": {
        if (this.#take(1) === 0) return undefined;
        const vectors = queues.map(() => 0);
        if (!this.#assign(0, queues, vectors)) return undefined;
        this.#watch(this.#vectors[0]!, "vector 0, for all", () => this.#pass());
        return vectors;
      }
      case "intx": {
        const pin = this.#device.intx?.();
        if (pin === undefined || !this.#assign(NO_VECTOR, queues)) return undefined;
        this.#best = "intx"; // with the pin, vectors are given up
        this.#watch(pin, "the pin", () => this.#answerPin());
        return [];
      }
      case "polling":
        return this.#assign(NO_VECTOR, queues) ? [] : undefined;
    }
  }

  /** Takes vectors from the machine. Returns how many there are, the first ones. */
  #take(wanted: number): number {
    const count = Math.min(wanted, this.#vectors.length);
    return this.#device.useVectors?.(count) ?? count;
  }

  /** Tells the device its vectors. Returns whether it took them all. */
  #assign(config: number, queues: readonly number[], vectors?: readonly number[]): boolean {
    const transport = this.#transport;
    return transport.setConfigVector(config) &&
      queues.every((queue, i) => transport.setQueueVector(queue, vectors?.[i] ?? NO_VECTOR));
  }

  /** The pin may be shared with other functions: what it means for this one, its interrupt status says (4.1.4.5). */
  #answerPin(): void {
    let causes: number;
    try {
      causes = this.#transport.interruptStatus();
    } finally {
      this.#device.unmaskIntx?.();
    }
    if (causes & QUEUE_INTERRUPT) this.#pass();
    if (causes & CONFIG_INTERRUPT) this.#events.config();
  }

  #watch(fd: number, source: string, handler: () => void): void {
    const clear = clearer(fd);
    this.#watched.push(fd);
    this.#loop.add(fd, () => {
      clear();
      this.#events.heard?.(source);
      handler();
    });
  }

  #unwatch(): void {
    for (const fd of this.#watched.splice(0)) this.#loop.remove(fd);
  }

  [Symbol.dispose](): void {
    this.#unwatch();
    close(this.#relay);
  }
}
