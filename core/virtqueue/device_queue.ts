// What the device's sides of split and packed rings share.

import { WRITE } from "./descriptor.ts";

/** What the device side of a virtqueue stands on. */
export interface DeviceRingOptions {
  /** Memory in which the ring lies. */
  readonly memory: SharedArrayBuffer;
  /** Number of entries. */
  readonly size: number;
  /** Offsets of the three areas in the memory (virtio 1.4, 2.6): descriptors. */
  readonly descriptors: number;
  /** The available ring, or the driver's event suppression. */
  readonly driver: number;
  /** The used ring, or the device's event suppression. */
  readonly device: number;
  /**
   * Where `length` bytes at a device address are in the memory.
   *
   * @throws DriverFault If they are not, or not in one piece.
   */
  readonly translate: (address: number, length: number) => number;
  /** Whether VIRTIO_F_INDIRECT_DESC was agreed. */
  readonly indirect: boolean;
  /** Whether VIRTIO_F_EVENT_IDX was agreed. */
  readonly eventIndex: boolean;
  /** Whether VIRTIO_F_IN_ORDER was agreed: requests then go back in the order in which they came. */
  readonly inOrder?: boolean;
  /** Where to go on, in a ring that another device has left; at the begin if absent. */
  readonly from?: RingPlace;
}

/**
 * How far the device side of a ring has come, 16 bits each: of a split ring the indexes that it has seen and shown;
 * of a packed ring offsets, with the wrap counters in bit 15.
 */
export interface RingPlace {
  /** Of the next request to take. */
  readonly available: number;
  /** Of the next one to give back. */
  readonly used: number;
}

/** A request as the device sees it. Made once and filled again for each request. */
export interface Chain {
  /** What names the request when it goes back: a descriptor of a split ring, a buffer id of a packed one. */
  head: number;
  /** How many buffers the arrays below describe; the readable ones come first. */
  count: number;
  /** How many of them the device may only read. */
  readable: number;
  /** Address of each buffer as the device knows it. */
  readonly address: Float64Array<ArrayBuffer>;
  /** Length of each in bytes. */
  readonly length: Uint32Array<ArrayBuffer>;
}

/** A chain with room for `segments` buffers. */
export function chain(segments: number): Chain {
  return {
    head: 0,
    count: 0,
    readable: 0,
    address: new Float64Array(segments),
    length: new Uint32Array(segments),
  };
}

/**
 * Adds a buffer to a chain.
 *
 * @param descriptor Which descriptor it is, for the fault.
 * @param flags Its flags.
 * @throws DriverFault If it cannot follow what the chain has, or the chain has no room for it.
 */
export function append(
  chain: Chain,
  descriptor: number,
  address: number,
  length: number,
  flags: number,
): void {
  const { count } = chain;
  if (length === 0) throw new DriverFault(`Descriptor ${descriptor} is empty`);
  if (count >= chain.address.length) {
    throw new DriverFault(`The chain of descriptor ${chain.head} has more than ${count} buffers`);
  }
  if (flags & WRITE) {
    // What follows must be writable too: `readable` then stays behind `count`.
  } else if (chain.readable === count) chain.readable++;
  else throw new DriverFault(`Descriptor ${descriptor} is readable but follows a writable one`);
  chain.address[count] = address;
  chain.length[count] = length;
  chain.count++;
}

/** Bytes that the device may write to a chain. */
export function writableBytes(chain: Chain): number {
  let bytes = 0;
  for (let i = chain.readable; i < chain.count; i++) bytes += chain.length[i]!;
  return bytes;
}

/** The device side of a virtqueue. What the driver writes is read once and checked. */
export interface DeviceQueue {
  /** Number of entries. */
  readonly size: number;
  /**
   * Takes the next available request into `chain`; false if there is none.
   *
   * @throws DriverFault If the driver's chain breaks the rules (loop, index out of range, and so on).
   */
  take(chain: Chain): boolean;
  /**
   * Hands a request back, `written` bytes filled, in any order. The driver sees it after {@linkcode publish}; with
   * VIRTIO_F_IN_ORDER, once all requests taken before it are put and published as well.
   */
  put(head: number, written: number): void;
  /** Shows all that was put to the driver. Returns whether it wants an interrupt for it. */
  publish(): boolean;
  /** Asks for a notification at the next request. Returns true if requests came meanwhile: look again. */
  arm(): boolean;
}

/** The device side of a virtqueue that can be left, and taken up again by another. */
export interface HonestQueue extends DeviceQueue {
  /** How far it has come, once all that was put is published. */
  readonly place: RingPlace;
  /**
   * Takes a request again that a device that is no more has taken from this ring, before all others.
   *
   * @throws DriverFault As {@linkcode DeviceQueue.take} does.
   */
  takeAgain(chain: Chain, taken: Taken): void;
}

/** A request that was taken from a ring. */
export interface Taken {
  /** What names it. */
  readonly head: number;
  /** Of a packed ring, its descriptors: in the ring others may have been written over them. None of a split ring. */
  readonly descriptors: readonly Descriptor[];
}

/** A descriptor of a packed ring (virtio 1.4, 2.8.13). */
export interface Descriptor {
  /** The device's address of the buffer. */
  readonly address: number;
  /** Its bytes. */
  readonly length: number;
  /** The buffer id, which the driver knows the request by. */
  readonly id: number;
  /** Its flags, as they stand in the ring. */
  readonly flags: number;
}

/** The driver broke the rules of the ring; the device stops and sets DEVICE_NEEDS_RESET (2.1.1). */
export class DriverFault extends Error {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "DriverFault";
}
