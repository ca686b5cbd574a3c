/**
 * A vfio-user client for tests: what a virtual machine monitor is to a server, or pretends to be.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { receiveDescriptors, sendDescriptors } from "../../core/linux/descriptors.ts";
import { clear, close, eventfd } from "../../core/linux/fd.ts";
import { mapShared, memoryFile } from "../../core/linux/memory.ts";
import { connectUnix } from "../../core/linux/socket.ts";
import { COMMAND } from "../../core/pci/config_space.ts";
import { type Framed, Framing } from "../../serve/vfio_user/framing.ts";
import {
  decodeReply,
  encodeRequest,
  type Reply,
  type Request,
} from "../../serve/vfio_user/message.ts";
import { DmaFlag, Irq, Region, SetIrqs } from "../../serve/vfio_user/protocol.ts";
import { encodeCapabilities } from "../../serve/vfio_user/version.ts";
import { soon } from "./leaks.ts";

/** How long a server may take, in milliseconds. */
const PATIENCE = 20_000;

/** A connection to a server. */
export class Client implements Disposable {
  readonly #fd: number;
  readonly #framing = new Framing();
  readonly #descriptors: number[] = [];
  #id = 0;
  #isOpen = true;

  /** Connects, and says nothing yet. */
  constructor(path: string) {
    this.#fd = connectUnix(path);
  }

  /** One that has said its version. */
  static async greeted(path: string): Promise<Client> {
    const client = new Client(path);
    const data = encodeCapabilities({ max_msg_fds: 16, max_data_xfer_size: 2 ** 20 });
    try {
      await client.ask({ command: "VERSION", major: 0, minor: 0, data });
      return client;
    } catch (error) {
      client[Symbol.dispose]();
      throw error;
    }
  }

  /** Sends bytes, whatever they are; those that find no room are lost. */
  send(bytes: Uint8Array<ArrayBuffer>, descriptors: readonly number[] = []): void {
    sendDescriptors(this.#fd, bytes, descriptors);
  }

  /** Waits for the next message; undefined if the server ends the connection. */
  async receive(): Promise<Framed | undefined> {
    for (const deadline = performance.now() + PATIENCE;;) {
      const came: number[] = [];
      const got = receiveDescriptors(this.#fd, this.#framing.room, 16, came, false);
      came.forEach(close);
      if (got === 0) return undefined;
      const message = got > 0 ? this.#framing.filled(got, []) : undefined;
      if (message) return message;
      assert(performance.now() < deadline, "the server does not answer");
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  /** Asks for something that is done. */
  async ask<R extends Request>(
    request: R,
    descriptors: readonly number[] = [],
  ): Promise<Reply<R["command"]>> {
    const id = this.#id++ & 0xffff;
    this.send(encodeRequest(id, request), descriptors);
    const message = await this.receive();
    assert(message, `${request.command}: the server ends the connection`);
    assertEquals([message.header.id, message.header.error], [id, 0], request.command);
    return decodeReply(message.header, message.payload) as Reply<R["command"]>;
  }

  /** Waits until the server has ended the connection, whatever it says before. */
  async ended(): Promise<void> {
    while (await this.receive());
  }

  /** Reads registers, up to four bytes of them. */
  async read(region: number, offset: number, count: number): Promise<number> {
    const request = { command: "REGION_READ", region, offset: BigInt(offset), count } as const;
    const { data } = await this.ask(request);
    return data.reduceRight((value, byte) => value * 256 + byte, 0);
  }

  /** Writes them, and waits until that is done. */
  async write(region: number, offset: number, count: number, value: number): Promise<void> {
    const data = Uint8Array.from({ length: count }, (_, i) => value / 256 ** i & 0xff);
    await this.ask({ command: "REGION_WRITE", region, offset: BigInt(offset), count, data });
  }

  /** Turns on what the function needs to work. */
  enable(): Promise<void> {
    return this.write(Region.CONFIG, COMMAND, 2, 7);
  }

  /** Gives the function memory of this many bytes. */
  async memory(address: number, bytes: number): Promise<SharedArrayBuffer> {
    const fd = memoryFile("guest", bytes);
    const memory = mapShared(fd, 0, bytes);
    new Uint8Array(memory)[bytes - 1] = 1;
    await this.map(address, bytes, fd);
    close(fd);
    return memory;
  }

  /** Maps a file. */
  async map(address: number, bytes: number, fd: number, offset = 0): Promise<void> {
    await this.ask({
      command: "DMA_MAP",
      argsz: 32,
      flags: DmaFlag.READ | DmaFlag.WRITE,
      offset: BigInt(offset),
      address: BigInt(address),
      size: BigInt(bytes),
    }, [fd]);
  }

  /** Takes a range away. */
  async unmap(address: bigint, bytes: bigint): Promise<void> {
    await this.ask({ command: "DMA_UNMAP", argsz: 24, flags: 0, address, size: bytes });
  }

  /** Wants to hear of an interrupt. Returns a function that waits for it. */
  async interrupts(index: number, vector: number): Promise<() => Promise<boolean>> {
    const fd = eventfd();
    this.#descriptors.push(fd);
    await this.ask({
      command: "DEVICE_SET_IRQS",
      argsz: 24,
      flags: SetIrqs.EVENTFD | SetIrqs.TRIGGER,
      index,
      start: vector,
      count: 1,
      data: new Uint8Array(),
    }, [fd]);
    return () => soon(() => clear(fd), PATIENCE);
  }

  /** It may signal its pin again. */
  async unmaskPin(): Promise<void> {
    await this.ask({
      command: "DEVICE_SET_IRQS",
      argsz: 20,
      flags: SetIrqs.NONE | SetIrqs.UNMASK,
      index: Irq.INTX,
      start: 0,
      count: 1,
      data: new Uint8Array(),
    });
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    close(this.#fd);
    this.#descriptors.forEach(close);
  }
}

/** The BAR of a simulated VirtIO device, and where things are in it. */
const BAR = 4;
const COMMON = 0, ISR = 0x1000, NOTIFY = 0x3000;
const Common = {
  selectFeature: 0x00,
  feature: 0x04,
  selectAccepted: 0x08,
  accepted: 0x0c,
  status: 0x14,
  selectQueue: 0x16,
  queueSize: 0x18,
  queueVector: 0x1a,
  queueEnable: 0x1c,
  descriptors: 0x20,
  driver: 0x28,
  device: 0x30,
} as const;

/**
 * A guest's driver of one queue of a VirtIO device, as simple as can be: a split ring of 8 at the start of the guest's
 * memory, a request at a time.
 */
export class GuestQueue {
  readonly #client: Client;
  readonly #halves: Uint16Array<SharedArrayBuffer>;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #base: number;
  readonly #queue: number;
  #requests = 0;

  private constructor(client: Client, memory: SharedArrayBuffer, base: number, queue: number) {
    this.#client = client;
    this.#halves = new Uint16Array(memory);
    this.#words = new Uint32Array(memory);
    this.#base = base;
    this.#queue = queue;
  }

  /** Sets the device up, with vector 1 for the queue. The memory begins at the address `base`. */
  static async start(
    client: Client,
    memory: SharedArrayBuffer,
    base: number,
    queue = 0,
  ): Promise<GuestQueue> {
    const write = (offset: number, width: number, value: number) =>
      client.write(BAR, COMMON + offset, width, value);
    await write(Common.status, 1, 0);
    await write(Common.status, 1, 3);
    await write(Common.selectAccepted, 4, 1);
    await write(Common.accepted, 4, 1); // VERSION_1
    await write(Common.status, 1, 11);
    await write(Common.selectQueue, 2, queue);
    await write(Common.queueSize, 2, 8);
    await write(Common.queueVector, 2, 1);
    for (
      const [at, offset] of [[Common.descriptors, 0], [Common.driver, 256], [Common.device, 512]]
    ) {
      await write(at!, 4, base + offset!);
      await write(at! + 4, 4, 0);
    }
    await write(Common.queueEnable, 2, 1);
    await write(Common.status, 1, 15);
    return new GuestQueue(client, memory, base, queue);
  }

  /**
   * Makes one request available and notifies the device.
   *
   * @param buffers Address, length, and whether the device writes there.
   */
  async submit(...buffers: readonly (readonly [number, number, boolean])[]): Promise<void> {
    buffers.forEach(([address, length, writes], i) => {
      const last = i === buffers.length - 1;
      const flags = (writes ? 2 : 0) | (last ? 0 : 1);
      this.#words.set([address, 0, length, flags | (i + 1) << 16], 4 * i);
    });
    this.#halves[128 + 2 + this.#requests++ % 8] = 0;
    Atomics.store(this.#halves, 128 + 1, this.#requests);
    await this.#client.write(BAR, NOTIFY + 4 * this.#queue, 2, this.#queue);
  }

  /** How many requests the device has answered. */
  get used(): number {
    return Atomics.load(this.#halves, 256 + 1);
  }

  /** Bytes that it has written to the last one. */
  get written(): number {
    return this.#words[128 + 1 + 2 * ((this.used - 1) % 8) + 1]!;
  }

  /** Where the queue is. */
  get base(): number {
    return this.#base;
  }

  /** Reads and so clears the ISR status. */
  isr(): Promise<number> {
    return this.#client.read(BAR, ISR, 1);
  }
}
