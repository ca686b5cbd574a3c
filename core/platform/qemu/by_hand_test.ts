/**
 * Driving QEMU's devices by hand, for the tests beside: no rings of ours, no plugins, no kernel.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { writeAll } from "../../linux/fd.ts";
import { mapShared } from "../../linux/memory.ts";
import { poll, POLLIN } from "../../linux/poll.ts";
import { DeviceStatus } from "../../virtio/status.ts";
import { NO_VECTOR, type Transport } from "../../virtio/transport.ts";
import { layoutSplit } from "../../virtqueue/layout.ts";
import type { OpenFunction, PciFunction } from "../../pci/function.ts";
import type { Platform } from "../platform.ts";
import { testWith, withoutPrograms } from "../../../tests/support/needs.ts";
import { written } from "../written_test.ts";

/** Declares a test that needs QEMU. */
export function qemuTest(name: string, fn: () => Promise<void>): void {
  testWith(withoutPrograms("qemu-system-x86_64"), name, fn);
}

/** The functions with this device id. */
export function findAll(platform: Platform, device: number): PciFunction[] {
  return platform.functions.filter(({ config }) =>
    config.read16(0) === 0x1af4 && config.read16(2) === device
  );
}

/** Waits until a descriptor is readable. */
export function signalled(fd: number, milliseconds: number): boolean {
  return poll(new Int32Array([fd, POLLIN]), 1, milliseconds) > 0;
}

/** A part of a request. */
export interface Piece {
  /** What the device reads, or how many bytes it may write. */
  readonly data: Uint8Array | number;
}

const QUEUE_BYTES = 65536;
const NEXT = 1, WRITE = 2;
const ACCESS_PLATFORM = 1n << 33n;
const VERSION_1 = 1n << 32n;

/** A device with its queues, driven one request at a time. */
export class ByHand {
  readonly #device: OpenFunction;
  readonly #transport: Transport;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #view: DataView<SharedArrayBuffer>;
  readonly #address: number;
  readonly #data: number;
  #sizes: number[] = [];
  #asked: number[] = [];

  constructor(device: OpenFunction, transport: Transport, queues = transport.queues) {
    this.#device = device;
    this.#transport = transport;
    this.#data = queues * QUEUE_BYTES;
    const memory = device.dma(this.#data + QUEUE_BYTES);
    const shared = mapShared(memory.fd, memory.offset, memory.size);
    this.#bytes = new Uint8Array(shared);
    this.#view = new DataView(shared);
    this.#address = memory.runs[0]!.address;
  }

  /** Initialises the device (virtio 1.4, 3.1.1), each queue with its vector. */
  async start(vectors: readonly number[] = [], config = NO_VECTOR): Promise<this> {
    const transport = this.#transport;
    await transport.reset();
    transport.addStatus(DeviceStatus.ACKNOWLEDGE);
    transport.addStatus(DeviceStatus.DRIVER);
    const offered = transport.offeredFeatures();
    if (transport.kind === "modern") {
      transport.acceptFeatures(offered & (VERSION_1 | ACCESS_PLATFORM));
      transport.addStatus(DeviceStatus.FEATURES_OK);
      assert(transport.status() & DeviceStatus.FEATURES_OK, "the features were refused");
    } else transport.acceptFeatures(0n);
    assert(transport.setConfigVector(config));
    this.#bytes.fill(0);
    this.#sizes = [];
    this.#asked = [];
    for (let index = 0; index * QUEUE_BYTES < this.#data; index++) {
      const size = transport.queueMaximum(index);
      const { descriptors, driver, device } = this.#layout(index, size);
      assert(transport.setQueueVector(index, vectors[index] ?? NO_VECTOR));
      transport.enableQueue(index, {
        size,
        descriptors: this.#address + descriptors,
        driver: this.#address + driver,
        device: this.#address + device,
      });
      this.#sizes.push(size);
      this.#asked.push(0);
    }
    transport.addStatus(DeviceStatus.DRIVER_OK);
    return this;
  }

  #layout(index: number, size = this.#sizes[index]!) {
    return layoutSplit(index * QUEUE_BYTES, size, 0);
  }

  /** Hands over a request and rings the doorbell. */
  ask(index: number, pieces: readonly Piece[]): void {
    const { descriptors, driver, size } = this.#layout(index);
    let at = this.#data;
    pieces.forEach(({ data }, i) => {
      const length = typeof data === "number" ? data : data.length;
      if (typeof data !== "number") this.#bytes.set(data, at);
      const last = i === pieces.length - 1;
      const entry = descriptors + 16 * i;
      this.#view.setBigUint64(entry, BigInt(this.#address + at), true);
      this.#view.setUint32(entry + 8, length, true);
      this.#view.setUint16(
        entry + 12,
        (last ? 0 : NEXT) | (typeof data === "number" ? WRITE : 0),
        true,
      );
      this.#view.setUint16(entry + 14, i + 1, true);
      at += length;
    });
    const asked = this.#asked[index]!++;
    this.#view.setUint16(driver + 4 + 2 * (asked % size), 0, true);
    this.#view.setUint16(driver + 2, this.#asked[index]!, true);
    const { fd, message } = written(this.#transport.doorbell(index, 0n));
    writeAll(fd, message);
  }

  /** Whether all that was asked of a queue is done. */
  done(index: number): boolean {
    return this.#view.getUint16(this.#layout(index).device + 2, true) === this.#asked[index];
  }

  /** Looks again and again, a second at most, until it is. */
  finish(index: number): void {
    for (const end = performance.now() + 1000; !this.done(index);) {
      assert(performance.now() < end, "the device did not answer");
      this.#device.takeAnswers();
    }
  }

  /** Bytes of the last request. */
  answer(start: number, length: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(this.#data + start, this.#data + start + length);
  }

  /** Asks an entropy source for 32 bytes. */
  askRandom(): void {
    this.#bytes.fill(0, this.#data);
    this.ask(0, [{ data: 32 }]);
  }

  /** Checks that they came. */
  checkRandom(): void {
    this.finish(0);
    assert(this.answer(0, 32).some((byte) => byte !== 0));
  }

  /** Asks a disk for its first sector. */
  askSector(index = 0): void {
    this.#bytes.fill(0xee, this.#data);
    this.ask(index, [{ data: new Uint8Array(16) }, { data: 512 }, { data: 1 }]);
  }

  /** Checks that it came, as zeroes. */
  checkSector(index = 0): void {
    this.finish(index);
    assertEquals(this.answer(16, 513), new Uint8Array(513));
  }
}
