/**
 * A machine that uses a device by vhost-user, without a guest: for tests of what serves devices.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { addressTable } from "../../core/dma/address_table.ts";
import { receiveDescriptors, sendDescriptors } from "../../core/linux/descriptors.ts";
import { clear, close, eventfd, signal } from "../../core/linux/fd.ts";
import { mapShared, memoryFile } from "../../core/linux/memory.ts";
import { connectUnix, receive, socketPair } from "../../core/linux/socket.ts";
import { EVENT_IDX, IN_ORDER, RING_PACKED } from "../../simulation/model.ts";
import {
  decodeAcknowledgement,
  decodeAnswer,
  encodeMessage,
  type Frame,
  Framing,
  type Question,
} from "../../core/vhost/message.ts";
import {
  type AnswerOf,
  type BodyOf,
  F_PROTOCOL_FEATURES,
  FRONT_END,
} from "../../core/vhost/protocol.ts";
import { makeDriverQueue } from "../../core/virtqueue/driver_queue.ts";
import { layoutPacked, layoutSplit, type QueueLayout } from "../../core/virtqueue/layout.ts";
import type { DriverQueue } from "../../core/virtqueue/virtqueue.ts";

/** How long anything may take, in milliseconds. */
const DEADLINE = 60_000;
/** Where its memory is for the guest, and for itself. */
export const GUEST = 0x1000_0000, USER = 0x7f00_0000_0000;
const MEMORY = 1 << 20;
/** Each ring has a part of it: first the ring, then the buffers. */
const PART = 1 << 17;

/** What there is of the protocol. */
type Names = typeof FRONT_END;

/** A ring of the machine's driver. */
export interface MachineRing {
  readonly layout: QueueLayout;
  readonly driver: DriverQueue;
  readonly kick: number;
  readonly call: number;
  /** Where the next buffer goes. */
  next: number;
}

/** Waits until something is so. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`It never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** The machine. Disposing it hangs up. */
export class VhostMachine implements Disposable {
  /** Its connection. */
  readonly fd: number;
  readonly memoryFd = memoryFile("guest", MEMORY);
  readonly memory = mapShared(this.memoryFd, 0, MEMORY);
  readonly bytes = new Uint8Array(this.memory);
  readonly rings: MachineRing[] = [];
  features = 0n;
  readonly #framing = new Framing(FRONT_END, "answers");
  readonly #descriptors: number[] = [];
  readonly #done = new Map<number, number>();
  #cookie = 0;
  #channel = -1;

  /** Connects. */
  constructor(path: string) {
    this.fd = connectUnix(path);
  }

  /** Sends bytes, whatever they are. */
  send(bytes: Uint8Array<ArrayBuffer>, descriptors: readonly number[] = []): void {
    sendDescriptors(this.fd, bytes, descriptors);
  }

  /** Waits for an answer. */
  async answer(): Promise<Frame> {
    const deadline = performance.now() + DEADLINE;
    for (;;) {
      const { room, mostDescriptors, descriptors } = this.#framing;
      const got = receiveDescriptors(this.fd, room, mostDescriptors, descriptors, false);
      if (got === 0) throw new Error("The device has hung up");
      if (got > 0) {
        const frame = this.#framing.received(got);
        if (frame) {
          this.#descriptors.push(...frame.descriptors);
          return frame;
        }
        continue;
      }
      if (performance.now() > deadline) throw new Error("There is no answer");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Asks a question. */
  async ask<Name extends keyof Names>(
    name: Name,
    body: BodyOf<Names[Name]>,
  ): Promise<AnswerOf<Names[Name]>> {
    this.send(encodeMessage(FRONT_END[name] as never, body as never));
    return decodeAnswer(
      FRONT_END[name] as unknown as Question<AnswerOf<Names[Name]>>,
      await this.answer(),
    );
  }

  /** Says something, and waits until it is done. */
  async tell<Name extends keyof Names>(
    name: Name,
    body: BodyOf<Names[Name]>,
    ...descriptors: readonly number[]
  ): Promise<void> {
    this.send(encodeMessage(FRONT_END[name] as never, body as never, true), descriptors);
    assertEquals(decodeAcknowledgement(await this.answer()), 0n);
  }

  /** Agrees on features, as machines do at first. */
  async begin(wanted: bigint): Promise<bigint> {
    const offered = await this.ask("GET_FEATURES", undefined);
    assert(offered & F_PROTOCOL_FEATURES);
    const protocol = await this.ask("GET_PROTOCOL_FEATURES", undefined);
    this.send(encodeMessage(FRONT_END.SET_PROTOCOL_FEATURES, protocol));
    await this.tell("SET_OWNER", undefined);
    this.features = offered & (wanted | F_PROTOCOL_FEATURES | 1n << 32n);
    await this.tell("SET_FEATURES", this.features);
    return offered;
  }

  /** Shows its memory to the device. */
  async share(): Promise<void> {
    const region = { guest: BigInt(GUEST), user: BigInt(USER), size: BigInt(MEMORY), offset: 0n };
    await this.tell("SET_MEM_TABLE", [region], this.memoryFd);
  }

  /** Makes a ring, empty. */
  make(index: number, size = 16, segments = 0): MachineRing {
    const lay = this.features & RING_PACKED ? layoutPacked : layoutSplit;
    const layout = lay(index * PART, size, segments);
    this.bytes.fill(0, index * PART, (index + 1) * PART);
    const kick = eventfd(), call = eventfd();
    this.#descriptors.push(kick, call);
    const ring: MachineRing = {
      layout,
      kick,
      call,
      next: layout.end,
      driver: makeDriverQueue({
        memory: this.memory,
        layout,
        addresses: addressTable([{ address: GUEST, length: MEMORY }]),
        eventIndex: (this.features & EVENT_IDX) !== 0n,
        inOrder: (this.features & IN_ORDER) !== 0n,
        notify: () => signal(kick),
      }),
    };
    return this.rings[index] = ring;
  }

  /** Where a ring is, for SET_VRING_ADDR. */
  place(index: number): BodyOf<Names["SET_VRING_ADDR"]> {
    const { descriptors, driver, device } = this.rings[index]!.layout;
    const at = (offset: number) => BigInt(USER + offset);
    return {
      index,
      flags: 0,
      descriptors: at(descriptors),
      used: at(device),
      available: at(driver),
      log: 0n,
    };
  }

  /** Starts a ring. */
  async start(index: number, base?: number): Promise<void> {
    const { layout, kick, call } = this.rings[index]!;
    const begin = this.features & RING_PACKED ? 0x80008000 : 0;
    await this.tell("SET_VRING_NUM", { index, value: layout.size });
    await this.tell("SET_VRING_BASE", { index, value: base ?? begin });
    await this.tell("SET_VRING_ADDR", this.place(index));
    await this.tell("SET_VRING_CALL", { index, none: false }, call);
    await this.tell("SET_VRING_KICK", { index, none: false }, kick);
    await this.tell("SET_VRING_ENABLE", { index, value: 1 });
  }

  /** Stops a ring. Returns how far the device has come. */
  async stop(index: number): Promise<number> {
    await this.tell("SET_VRING_ENABLE", { index, value: 0 });
    return (await this.ask("GET_VRING_BASE", { index, value: 0 })).value;
  }

  /** All of it, for a device with so many rings. */
  async ready(wanted: bigint, rings = 1, segments = 0): Promise<void> {
    await this.begin(wanted);
    await this.share();
    for (let index = 0; index < rings; index++) {
      this.make(index, 16, segments);
      await this.start(index);
    }
  }

  /** Puts a request into a ring. Returns its number. */
  submit(index: number, bytes: Uint8Array, room: number): { number: number; at: number } {
    const ring = this.rings[index]!;
    if (ring.next + bytes.length + room > (index + 1) * PART) ring.next = ring.layout.end;
    const at = ring.next;
    ring.next += bytes.length + room;
    this.bytes.set(bytes, at);
    const number = this.#cookie++;
    ring.driver.begin(number);
    if (bytes.length > 0) ring.driver.readable(at, bytes.length);
    if (room > 0) ring.driver.writable(at + bytes.length, room);
    assert(ring.driver.commit(), "the ring is full");
    ring.driver.publish();
    return { number, at: at + bytes.length };
  }

  /** Looks which requests came back; how often each of them did. */
  drain(index: number): Map<number, number> {
    clear(this.rings[index]!.call);
    const { driver } = this.rings[index]!;
    driver.drain((cookie, written) => {
      assert(!this.#done.has(cookie), `request ${cookie} came back twice`);
      this.#done.set(cookie, written);
    });
    driver.arm();
    assertEquals(driver.broken, undefined);
    return this.#done;
  }

  /** Waits for a request. Returns what was written. */
  async finish(index: number, { number, at }: { number: number; at: number }): Promise<Uint8Array> {
    await until(`request ${number}`, () => this.drain(index).has(number));
    return this.bytes.slice(at, at + this.#done.get(number)!);
  }

  /** A whole request. */
  request(index: number, bytes: Uint8Array, room: number): Promise<Uint8Array> {
    return this.finish(index, this.submit(index, bytes, room));
  }

  /** Opens the channel on which the device speaks by itself. */
  async listen(): Promise<void> {
    const [ours, theirs] = socketPair();
    this.#channel = ours;
    this.#descriptors.push(ours, theirs);
    await this.tell("SET_BACKEND_REQ_FD", undefined, theirs);
  }

  /** How many bytes it has said there. */
  heard(): number {
    return Math.max(0, receive(this.#channel, new Uint8Array(4096), false));
  }

  /** Waits until the device has hung up. */
  async hungUp(): Promise<void> {
    const bytes = new Uint8Array(4096);
    await until("the device hangs up", () => receive(this.fd, bytes, false) === 0);
  }

  [Symbol.dispose](): void {
    this.#framing.descriptors.splice(0).forEach(close);
    this.#descriptors.splice(0).forEach(close);
    close(this.memoryFd);
    close(this.fd);
  }
}
