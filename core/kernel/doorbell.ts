// The doorbells that a driver host rings, on credit where each is answered.

import { ControlWord } from "../bus/control.ts";
import { type DeviceMemory, mapDevice } from "../linux/device_memory.ts";
import { varyingWriter, writer } from "../linux/fd.ts";
import type { Pass } from "../linux/filter.ts";
import { PAGE } from "../dma/address_table.ts";
import type { Doorbell, MappedDoorbell, WrittenDoorbell } from "../pci/function.ts";

/** How a driver host keeps to its doorbell credits. */
export interface Credits {
  /** Control memory. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Half of the credits are used: a good time to take answers. */
  readonly low: () => void;
  /** All are used: asks for answers to be taken, and returns when there is room. */
  readonly wait: (room: () => boolean) => void;
}

/** Rings. It is given where the next request will be; only a device that wants notification data (virtio 1.4, 2.9) is told. */
export type Ring = (data: number) => void;

/** The doorbells of a device's queues, made once for a driver host. */
export class Doorbells implements Disposable {
  /** What rings the doorbell of each queue. */
  readonly rings: readonly Ring[];
  /** Pages of the device by their place in its file: doorbells may share one. */
  readonly #pages = new Map<number, DeviceMemory>();

  /** @param pass What a filter on this process's calls will ask for. */
  constructor(doorbells: readonly Doorbell[], limits: Credits, pass?: Pass) {
    this.rings = doorbells.map((each) =>
      "message" in each ? writing(each, limits, pass) : storing(each, this.#map(each))
    );
  }

  #map({ fd, page }: MappedDoorbell): ArrayBuffer {
    let mapped = this.#pages.get(page);
    if (!mapped) this.#pages.set(page, mapped = mapDevice(fd, page, PAGE));
    return mapped.buffer;
  }

  /** Unmaps the device: ringing has no effect any more. */
  [Symbol.dispose](): void {
    for (const page of this.#pages.values()) page.unmap();
  }
}

/** One store, of exactly the width of the register. */
function storing({ at, width, value }: MappedDoorbell, page: ArrayBuffer): Ring {
  const index = at / width;
  if (width === 2) {
    const registers = new Uint16Array(page);
    return () => {
      registers[index] = value;
    };
  }
  const registers = new Uint32Array(page);
  return (data) => {
    registers[index] = data & 0xffff0000 | value;
  };
}

/**
 * One write. Where the platform answers each, the answers pile up until the core takes them; past the credits the
 * platform would stand still, so the driver does instead.
 */
function writing(
  { fd, message, credits, data }: WrittenDoorbell,
  limits: Credits,
  pass: Pass | undefined,
): Ring {
  const write = data ? varyingWriter(fd, message, data, pass) : writer(fd, message, pass);
  if (credits === undefined) return write;
  const { words, low, wait } = limits;
  const half = credits >> 1;
  const open = () =>
    words[ControlWord.doorbellsRung]! - Atomics.load(words, ControlWord.doorbellsAnswered) | 0;
  const room = () => open() < credits;
  return (data) => {
    if (!room()) wait(room);
    else if (open() === half) low();
    Atomics.store(words, ControlWord.doorbellsRung, words[ControlWord.doorbellsRung]! + 1 | 0);
    write(data);
  };
}
