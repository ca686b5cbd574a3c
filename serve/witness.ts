// What is seen of a served device: told to a trace, and counted.

import type { Told, TracedDescriptor } from "../core/trace/event.ts";
import type { DeviceTrace } from "../core/trace/trace.ts";
import { registerMeanings } from "../core/virtio/register_meaning.ts";
import type { Chain, DeviceQueue } from "../core/virtqueue/device_queue.ts";
import { INDIRECT, WORDS } from "../core/virtqueue/descriptor.ts";
import { follow, relay } from "../simulation/lies/relay.ts";
import type { Ring } from "../simulation/ring.ts";
import { placeOf } from "../simulation/virtio_pci.ts";
import { writeRegion } from "./vfio_user/regions.ts";

/** A queue of a served device, in figures. Numbers of requests are of all machines that used it. */
export interface ServedQueue {
  /** Its name: `"queue 0"`. */
  readonly name: string;
  /** Its index in the device. */
  readonly index: number;
  /** Layout of its ring, as it was set up last. */
  readonly kind: "split" | "packed";
  /** Its entries. */
  readonly size: number;
  /** Requests that the device took. */
  readonly published: number;
  /** Of these, those that it used. */
  readonly completed: number;
  /** Those that it has. */
  readonly inFlight: number;
  /** Notifications of the driver. */
  readonly notifications: number;
  /** Bytes that the device was given to read, and that it wrote. */
  readonly bytes: { readonly read: number; readonly written: number };
}

/** A served device, in figures. */
export interface ServedFigures {
  /** Machines that came so far. */
  readonly clients: number;
  /** Whether one uses it now. */
  readonly connected: boolean;
  /** Interrupts that the device sent. */
  readonly interrupts: number;
  /** Queues that were in use. */
  readonly queues: readonly ServedQueue[];
}

type Counted = { -readonly [Name in keyof ServedQueue]: ServedQueue[Name] } & {
  bytes: { read: number; written: number };
};

/** Of the regions of a function (vfio-user), that of its configuration space. */
const CONFIG_REGION = 7;
/** Messages that are told as what they do. */
const ACCESSES = ["REGION_READ", "REGION_WRITE", "REGION_WRITE_MULTI"];

/**
 * What is seen of one served device. It stands beside the device: nothing waits for it, and nothing that it does changes what a
 * guest sees.
 */
export class Witness {
  readonly #trace: DeviceTrace | undefined;
  readonly #queues = new Map<number, Counted>();
  /** Finds what accesses to VirtIO's registers mean; undefined for other functions. */
  readonly #meaningOf: ReturnType<typeof registerMeanings> | undefined;
  #clients = 0;
  #connected = false;
  #interrupts = 0;

  /** @param virtio Whether its registers are VirtIO's. */
  constructor(trace: DeviceTrace | undefined, virtio: boolean) {
    this.#trace = trace;
    this.#meaningOf = virtio ? registerMeanings(() => undefined, []) : undefined;
  }

  /** What was counted so far. */
  get figures(): ServedFigures {
    return {
      clients: this.#clients,
      connected: this.#connected,
      interrupts: this.#interrupts,
      queues: [...this.#queues.values()]
        .sort((one, other) => one.index - other.index)
        .map((queue) => ({ ...queue, bytes: { ...queue.bytes } })),
    };
  }

  #tell(what: Told): void {
    this.#trace?.tell(what);
  }

  /** A machine has come. */
  came(): void {
    this.#clients++;
    this.#connected = true;
    this.#tell({ kind: "state", by: "device", state: "connected" });
  }

  /** It has left. */
  left(why?: string): void {
    this.#connected = false;
    for (const queue of this.#queues.values()) queue.inFlight = 0;
    this.#tell({
      kind: "state",
      by: "device",
      state: "waiting",
      ...(why !== undefined && { why }),
    });
  }

  /** The device needs a reset. */
  failed(why: string): void {
    this.#tell({ kind: "state", by: "device", state: "in need of a reset", why });
  }

  /** The machine said something. */
  heard(type: string, body: unknown): void {
    if (!this.#trace || ACCESSES.includes(type)) return;
    this.#tell({ kind: "message", by: "machine", type, body: plain(body) });
  }

  /** The driver accessed a region of the function. */
  accessed(access: "read" | "write", region: number, offset: number, data: Uint8Array): void {
    writeRegion(
      (at, width, value) => this.#register(access, region, at, width, value),
      offset,
      data,
    );
  }

  #register(
    access: "read" | "write",
    region: number,
    offset: number,
    width: 1 | 2 | 4,
    value: number,
  ): void {
    const place = this.#meaningOf && placeOf(region, offset);
    if (place?.structure === "notify") {
      if (access === "write") this.rung(place.offset, value);
      return;
    }
    if (!this.#trace) return;
    const told = { kind: "register", by: "driver", access, width, value } as const;
    if (place) {
      const { structure, offset } = place;
      const meaning = this.#meaningOf!(structure, offset, { write: access === "write", value });
      return this.#tell({ ...told, window: structure, offset, ...meaning });
    }
    const window = region === CONFIG_REGION ? "configuration space" : `BAR ${region}`;
    this.#tell({ ...told, window, offset });
  }

  /** The driver notified the device of a queue. */
  rung(index: number, data = 0): void {
    const queue = this.#queues.get(index);
    if (queue) queue.notifications++;
    this.#tell({ kind: "doorbell", by: "driver", queue: nameOf(index), data });
  }

  /** The device interrupted. */
  interrupted(source: string): void {
    this.#interrupts++;
    this.#tell({ kind: "interrupt", by: "device", source });
  }

  /** Stands at a ring of the device. */
  readonly seen = (honest: DeviceQueue, ring: Ring, index: number): DeviceQueue => {
    const name = nameOf(index);
    const { kind, size } = ring;
    const queue: Counted = {
      ...{ name, index, published: 0, completed: 0, notifications: 0 },
      ...{ bytes: { read: 0, written: 0 } },
      ...this.#queues.get(index),
      ...{ kind, size, inFlight: 0 },
    };
    this.#queues.set(index, queue);
    this.#tell({ kind: "ring", by: "device", queue: name, layout: kind, size });
    /** Numbers of the requests that it has, by what they are given back by. */
    const out = new Map<number, number>();
    const told = this.#trace && descriptorsOf(ring);
    return relay(honest, {
      take: (chain) => {
        if (!honest.take(chain)) return false;
        const number = ++queue.published;
        queue.inFlight++;
        queue.bytes.read += readBytes(chain);
        out.set(chain.head, number);
        if (told) {
          const { head } = chain;
          this.#tell({
            ...{ kind: "request", by: "device", queue: name, number, cookie: head, id: head },
            ...told(chain),
          });
        }
        return true;
      },
      put: (head, written) => {
        // 0 is one that it does not have: a lie, or one that another program has left in the ring.
        const number = out.get(head) ?? 0;
        if (out.delete(head)) {
          queue.completed++;
          queue.inFlight--;
          queue.bytes.written += written;
        }
        this.#tell({ kind: "used", by: "device", queue: name, number, cookie: head, written });
        honest.put(head, written);
      },
    });
  };
}

function nameOf(index: number): string {
  return `queue ${index}`;
}

/** What is told of the descriptors of a request. */
interface ToldChain {
  readonly indirect: boolean;
  readonly descriptors: readonly TracedDescriptor[];
}

/**
 * Makes what tells the descriptors of each request that was taken, in order: the buffers are those that the device found. Which
 * descriptors they have is read from the ring once more, where the driver could have changed it meanwhile: that costs the trace, and
 * nothing else.
 */
function descriptorsOf(ring: Ring): (chain: Chain) => ToldChain {
  const { kind, memory, size } = ring;
  const words = new Uint32Array(memory);
  const firstOf = follow(ring);
  const flagsAndNext = (slot: number) => words[ring.descriptors / 4 + slot * WORDS + 3]!;
  return (chain) => {
    const first = firstOf(chain) % size;
    const flags = kind === "split" ? flagsAndNext(first) : flagsAndNext(first) >>> 16;
    const indirect = (flags & INDIRECT) !== 0;
    let slot = indirect ? 0 : first;
    const descriptors = Array.from({ length: chain.count }, (_, i): TracedDescriptor => {
      const told = {
        slot,
        address: `0x${chain.address[i]!.toString(16)}`,
        bytes: chain.length[i]!,
        write: i >= chain.readable,
      };
      const next = indirect || kind === "packed" ? slot + 1 : flagsAndNext(slot) >>> 16;
      slot = indirect ? next : next % size;
      return told;
    });
    return { indirect, descriptors };
  };
}

/** Bytes that the device is to read. */
function readBytes({ readable, length }: Chain): number {
  let bytes = 0;
  for (let i = 0; i < readable; i++) bytes += length[i]!;
  return bytes;
}

/** What a message says, as JSON has it: numbers of 64 bits and bytes in hexadecimal. */
function plain(body: unknown): Readonly<Record<string, unknown>> {
  const text = JSON.stringify(
    body ?? {},
    (_, value) =>
      typeof value === "bigint"
        ? `0x${value.toString(16)}`
        : value instanceof Uint8Array
        ? value.toHex()
        : value,
  );
  const value = JSON.parse(text);
  return typeof value === "object" && !Array.isArray(value) ? value : { value };
}
