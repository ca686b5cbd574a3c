// What a platform lends of one PCI function.

import type { DmaRun } from "../dma/address_table.ts";
import type { Registers } from "./registers.ts";

/** What can be known of a PCI function without taking it. */
export interface FunctionFacts {
  /** As lspci prints it with `-D`: `0000:00:03.0`. */
  readonly address: string;
  /** Its configuration space: at least the first 64 bytes, else 256 or 4096. */
  readonly config: Registers;
  /** The kernel driver that holds it, if there is one. */
  readonly kernelDriver?: string;
  /** Its IOMMU group: functions that can reach each other and so are handed out together or not at all. */
  readonly iommuGroup?: number;
  /** The processors that it is near to. */
  readonly numaNode?: number;
  /** Why nothing keeps it from reaching all memory, if so: a full sentence for people. */
  readonly unsafeDma?: string;
  /** What of it cannot be reached, because the machine had no room for it, and why: for people. */
  readonly noRoom?: string;
  /** Why this platform will not hand it out, if so: a full sentence for people. */
  readonly refusal?: string;
}

/** One PCI function. */
export interface PciFunction extends FunctionFacts {
  /**
   * Takes the function for exclusive use: memory space and bus mastering are on afterwards.
   *
   * @throws If it is refused, or was taken already.
   */
  open(): OpenFunction;
}

/** A PCI function that was taken. Disposing it turns bus mastering off and gives everything back. */
export interface OpenFunction extends Disposable {
  /** Its configuration space. */
  readonly config: Registers;
  /**
   * The registers behind a BAR, 0 to 5, of memory or of I/O ports; undefined if the function has no such BAR, or the
   * platform found no room for it. Which of both it is stands in the configuration space: see `isIoBar`. It matters
   * to a search for what a modern device has: that may have to be mapped, and ports cannot be.
   */
  bar(index: number): Registers | undefined;
  /** Why the platform found no room for a BAR, if so: for people. */
  noRoom?(index: number): string | undefined;
  /**
   * Memory that the device can reach, at least so much; given back with the function. `bytes` is a multiple of 64 KiB.
   *
   * @throws If it bypasses an IOMMU, and there is one.
   */
  dma(bytes: number, reach?: DmaReach): DmaMemory;
  /**
   * Other memory in its place, at the same addresses and as long, if a device that was left behind may still reach it:
   * asked before the device is started anew. Undefined if it may be used on.
   */
  renew?(memory: DmaMemory): DmaMemory | undefined;
  /**
   * Where the machine itself finds that memory, for devices that are told so and not where they find it (virtio 1.4,
   * 5.5.6). The same runs as `memory` has if absent.
   *
   * @throws If that cannot be known; the message says why, and what to do.
   */
  physical?(memory: DmaMemory): readonly DmaRun[];
  /**
   * Up to `wanted` MSI-X vectors, numbered from 0, each as an eventfd that the device signals; given back with
   * the function. Fewer, even none, where the device has no more. To be called once.
   */
  vectors(wanted: number): readonly number[];
  /**
   * Where the machine's vectors are scarce: takes the first `count` of them from it, to which `vectors` gave eventfds
   * only, in place of those that it took before. The device's queues must not interrupt yet.
   *
   * @returns How many the machine had: `count`, or fewer.
   */
  useVectors?(count: number): number;
  /**
   * The one message-signalled interrupt of a function without MSI-X, as an eventfd; given back with the function. Undefined
   * if it has none, or the platform cannot receive it. A function that has MSI-X keeps to that: see `vectors`.
   */
  msi?(): number | undefined;
  /**
   * The interrupt pin; its vectors, if it gave any, signal no more. An eventfd that is signalled when the function may have
   * asserted it, and then not again before {@linkcode unmaskIntx}. The pin may share its line, so that the signal was
   * meant for another function. Undefined if there is none, or the platform cannot wait for it.
   *
   * It stays asserted until the driver makes the device lower it (virtio: by reading the interrupt status). So:
   * clear the eventfd, read the status, unmask.
   */
  intx?(): number | undefined;
  /** Lets the pin signal again: at once, if the function still asserts it. */
  unmaskIntx?(): void;
  /**
   * The pages that the `bytes` registers from `offset` of a memory BAR are on, for a process that maps them; undefined if it
   * cannot map all of them, and has to ask.
   */
  pages?(bar: number, offset: number, bytes: number): DevicePages | undefined;
  /**
   * Where what is written to registers reaches the device by a conversation: waits until all of it has.
   *
   * @throws {DeviceFault} If the device does not take it.
   */
  settled?(): Promise<void>;
  /** The way to write `value` to a doorbell register of `width` bytes, in memory or a port, from any process. */
  doorbell(bar: number, offset: number, value: number, width: 2 | 4): Doorbell;
  /** Takes the answers to every doorbell rung so far, so that all credits are free again. */
  takeAnswers(): void;
  /**
   * Writes again what a reset of the function or of the whole machine took from its configuration space: BARs,
   * command, MSI-X; and unmasks the interrupt pin. Changes nothing if there was none. The device itself has to be
   * initialised anew afterwards.
   */
  restore?(): void;
  /** Resets the function, where it can be. It has to be restored and initialised anew afterwards. */
  reset?(): void;
  /** Whether the device works on this thread: nothing comes of it while that only looks at memory. False if left out. */
  readonly inThread?: boolean;
  /** An eventfd that is signalled when the machine wants the function back: it is to be unplugged. */
  readonly wanted?: number;
  /** An eventfd that is signalled when the bus reports that the function did something very wrong. */
  readonly failed?: number;
  /** What that was, if it is known: a sentence without a period. */
  failure?(): string | undefined;
}

/** How a device reaches memory. */
export interface DmaReach {
  /** Whether it goes around an IOMMU: it does not offer VIRTIO_F_ACCESS_PLATFORM (virtio 1.4, 6.1). False if left out. */
  readonly bypass?: boolean;
  /** Bits of an address that it has; 64 if left out. Where the platform chooses no addresses, they may have more. */
  readonly addressBits?: number;
}

/** Memory shared with a device: a part of a file that any process can map. */
export interface DmaMemory {
  /** The file; owned by the platform. */
  readonly fd: number;
  /** First byte in the file, a multiple of 4096. */
  readonly offset: number;
  /** Length in bytes. */
  readonly size: number;
  /** Where the device finds it: contiguous runs that cover it in order. */
  readonly runs: readonly DmaRun[];
  /** What the address of a mapping must be a multiple of; 4096 if left out. */
  readonly alignment?: number;
  /** Why the device could reach more than this, if so: a full sentence for people. */
  readonly unsafe?: string;
}

/** Pages of a device. A process that has mapped them needs the descriptor no more. */
export interface DevicePages {
  /** The file that they are in. */
  readonly fd: number;
  /** Where the first begins in the file. */
  readonly page: number;
  /** How long they are: a multiple of 4096. */
  readonly bytes: number;
}

/** How a doorbell is rung, as plain data. */
export type Doorbell = WrittenDoorbell | MappedDoorbell;

/** A doorbell that is rung by writing `message` to `fd` in one call. */
export interface WrittenDoorbell {
  /** An eventfd, or a socket. */
  readonly fd: number;
  /** The bytes that ring it. */
  readonly message: Uint8Array<ArrayBuffer>;
  /**
   * Where in `message` the written value stands, if the register is 32 bits wide: under VIRTIO_F_NOTIFICATION_DATA
   * (virtio 1.4, 2.9) it differs from ring to ring. Little-endian, or eight lower-case hexadecimal digits.
   */
  readonly data?: { readonly at: number; readonly form: "u32" | "hex" };
  /**
   * How many rings may be under way before {@linkcode OpenFunction.takeAnswers} must be called, because the platform
   * answers each; undefined where nothing answers.
   */
  readonly credits?: number;
}

/** A doorbell that is rung by one store to a page of the device. */
export interface MappedDoorbell {
  /** The file that the page is in. A process that has mapped it needs the descriptor no more. */
  readonly fd: number;
  /** Where the page begins in the file. */
  readonly page: number;
  /** Where in the page the register is. */
  readonly at: number;
  /** Its bytes; with 4, the upper half differs from ring to ring, as above. */
  readonly width: 2 | 4;
  /** What is stored. */
  readonly value: number;
}
