import { COMMAND, COMMAND_BUS_MASTER } from "../../core/pci/config_space.ts";
import type { Registers } from "../../core/pci/registers.ts";
import type { Framed } from "./framing.ts";
import { Interrupts } from "./interrupts.ts";
import {
  decodeRequest,
  encodeError,
  encodeReply,
  Malformed,
  MULTI_BYTES,
  type Reply,
  type Request,
} from "./message.ts";
import {
  DeviceFlag,
  DmaFlag,
  Errno,
  Irq,
  MOST_DATA,
  MOST_MAPS,
  Region,
  RegionFlag,
  UnmapFlag,
} from "./protocol.ts";
import { readRegion, writeRegion, writeRegisters } from "./regions.ts";
import type { ServedFunction } from "./served_function.ts";
import type { Surroundings } from "./surroundings.ts";
import { Unsupported } from "./unsupported.ts";
import { decodeCapabilities, encodeCapabilities, OWN_CAPABILITIES } from "./version.ts";

const MAJOR = 0;
const MINOR = 1;
const PAGE = 4096n;
/** Behind the last address of 64 bits. */
const END = 1n << 64n;
/** Behind the last address that a simulated device can have. */
const REACH = BigInt(Number.MAX_SAFE_INTEGER);

/** As much memory as a guest has at least, in bytes. */
const MEMORY = 2 ** 20;
/** How often it is looked into at most: at most once in each of those bytes. */
const SAMPLES = 4096;
/** What QEMU has to be told about the guest's memory. */
const ADVICE =
  "-object memory-backend-memfd,id=ram,share=on,size=<as -m> -machine memory-backend=ram";

/**
 * What a client does with a function, from its first message to its last: answers each, and passes on interrupts. It
 * touches nothing of the system itself.
 */
export class Session implements Disposable {
  readonly #device: ServedFunction;
  readonly #around: Surroundings;
  readonly #interrupts: Interrupts;
  #greeted = false;
  /** Bytes that were mapped without a descriptor. */
  #withoutFile = 0n;
  #lookedAtMemory = false;

  /** Begins. The function must be as after a reset, without memory. */
  constructor(device: ServedFunction, around: Surroundings) {
    this.#device = device;
    this.#around = around;
    this.#interrupts = new Interrupts(device, around);
  }

  /** Whether the client has said which protocol it speaks. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /** The device sends an interrupt by MSI-X or MSI. */
  interrupt(vector: number): void {
    this.#interrupts.interrupt(vector);
  }

  /** The device drives its interrupt pin. */
  pin(asserted: boolean): void {
    this.#interrupts.pin(asserted);
  }

  /**
   * Carries out what a message asks.
   *
   * @param message Its descriptors are the session's from now on.
   * @returns The reply; undefined if none is wanted.
   * @throws {Malformed} If the client does not keep to the protocol: it is not to be listened to any more.
   */
  answer({ header, payload, descriptors }: Framed): Uint8Array<ArrayBuffer> | undefined {
    const { id, command, wantsReply } = header;
    const left = [...descriptors];
    try {
      if (header.isReply) throw new Malformed(`Message ${id} is a reply to nothing that was asked`);
      const request = decodeRequest(header, payload);
      if (request === undefined) throw new Unsupported(`command ${command}`);
      const isVersion = request.command === "VERSION";
      if (isVersion === this.#greeted) {
        throw new Malformed(`${request.command} came ${isVersion ? "twice" : "before VERSION"}`);
      }
      const most = mostDescriptors(request);
      if (left.length > most) {
        throw new Malformed(`${request.command} came with ${left.length} descriptors, not ${most}`);
      }
      this.#around.asked?.(request);
      const reply = this.#carryOut(request, left);
      return wantsReply ? encodeReply(id, reply) : undefined;
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
      return wantsReply ? encodeError(id, command, Errno.EOPNOTSUPP) : undefined;
    } finally {
      for (const descriptor of left) this.#around.close(descriptor);
    }
  }

  /** The client has gone: its memory and its interrupts are let go of, and the function is reset. */
  [Symbol.dispose](): void {
    this.#device.reset();
    this.#device.memory.clear();
    this.#interrupts[Symbol.dispose]();
  }

  #carryOut(request: Request, descriptors: number[]): Reply {
    switch (request.command) {
      case "VERSION":
        return this.#greet(request);
      case "DMA_MAP":
        this.#map(request, descriptors[0]);
        return { command: "DMA_MAP" };
      case "DMA_UNMAP":
        this.#unmap(request);
        return request;
      case "DEVICE_GET_INFO":
        return {
          command: "DEVICE_GET_INFO",
          argsz: 16,
          flags: DeviceFlag.RESET | DeviceFlag.PCI,
          regions: Region.COUNT,
          irqs: Irq.COUNT,
        };
      case "DEVICE_GET_REGION_INFO":
        return this.#regionInfo(request);
      case "DEVICE_GET_REGION_IO_FDS": // there are none: each access is a message
        this.#size(request.index);
        return { ...request, argsz: 16, flags: 0, count: 0 };
      case "DEVICE_GET_IRQ_INFO":
        return this.#interrupts.info(request);
      case "DEVICE_SET_IRQS":
        this.#interrupts.set(request, descriptors);
        return { command: "DEVICE_SET_IRQS" };
      case "REGION_READ":
        return this.#read(request);
      case "REGION_WRITE": {
        const { command, offset, region, count, data } = request;
        this.#write(region, offset, data);
        return { command, offset, region, count };
      }
      case "REGION_WRITE_MULTI":
        this.#writeMany(request.data);
        return { command: "REGION_WRITE_MULTI" };
      case "DEVICE_RESET":
        this.#device.reset();
        this.#interrupts.restore();
        return { command: "DEVICE_RESET" };
    }
  }

  #greet({ major, minor, data }: Request<"VERSION">): Reply<"VERSION"> {
    if (major !== MAJOR) {
      throw new Malformed(`The client speaks version ${major}.${minor}: this is ${MAJOR}.${MINOR}`);
    }
    decodeCapabilities(data); // nothing in them changes what is said to the client
    this.#greeted = true;
    const own = encodeCapabilities(OWN_CAPABILITIES);
    return { command: "VERSION", major, minor: Math.min(minor, MINOR), data: own };
  }

  #map(
    { flags, offset, address, size }: Request<"DMA_MAP">,
    descriptor: number | undefined,
  ): void {
    const range = `${size} bytes at 0x${address.toString(16)}`;
    if (size === 0n || address + size > END) {
      throw new Malformed(`DMA_MAP of ${range} is empty or goes beyond the last address`);
    }
    if (descriptor === undefined) {
      // Firmware, and registers of other devices: only what has a descriptor can be reached.
      if (flags & DmaFlag.WRITE) this.#withoutFile += size;
      return;
    }
    if ((address | size | offset) % PAGE !== 0n) {
      throw new Malformed(`DMA_MAP of ${range} from ${offset} in a file is not of whole pages`);
    }
    if (address + size > REACH) {
      throw new Malformed(`DMA_MAP of ${range} is beyond what is reached`);
    }
    const file = this.#around.memoryFile(descriptor);
    if (offset + size > BigInt(file.size)) {
      throw new Malformed(
        `DMA_MAP of ${range} from ${offset} in a file goes beyond its ${file.size} bytes`,
      );
    }
    if (this.#device.memory.count >= MOST_MAPS) {
      throw new Malformed(`DMA_MAP of ${range} is one too many: ${MOST_MAPS} are the most`);
    }
    const run = { address: Number(address), length: Number(size) };
    const place = { memory: file.memory, offset: Number(offset) };
    try {
      this.#device.memory.map(run, place, (flags & DmaFlag.WRITE) !== 0);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new Malformed(`DMA_MAP of ${range} overlaps what is mapped`, { cause: error });
    }
  }

  #unmap({ flags, address, size }: Request<"DMA_UNMAP">): void {
    if (flags & UnmapFlag.DIRTY_BITMAP) throw new Unsupported("telling dirty pages");
    if (flags & UnmapFlag.ALL) return this.#device.memory.clear();
    if (address + size > END) {
      throw new Malformed(`DMA_UNMAP of ${size} bytes at 0x${address.toString(16)} wraps around`);
    }
    // Clients take away ranges that they never mapped as one, and more than there are addresses.
    if (address < REACH) {
      const end = address + size < REACH ? address + size : REACH;
      this.#device.memory.unmap(Number(address), Number(end - address));
    }
  }

  /** Bytes of a region; 0 if it is not there. */
  #size(region: number): number {
    if (region >= Region.COUNT) {
      throw new Malformed(`There is no region ${region}: there are ${Region.COUNT}`);
    }
    return this.#registers(region)?.size ?? 0;
  }

  #registers(region: number): Registers | undefined {
    if (region === Region.CONFIG) return this.#device.config;
    return region < Region.BARS ? this.#device.bar(region) : undefined;
  }

  #regionInfo(
    { argsz, index }: Request<"DEVICE_GET_REGION_INFO">,
  ): Reply<"DEVICE_GET_REGION_INFO"> {
    const command = "DEVICE_GET_REGION_INFO";
    if (argsz < 32) throw new Malformed(`${command} has room for ${argsz} bytes of 32`);
    const size = this.#size(index);
    const flags = size > 0 ? RegionFlag.READ | RegionFlag.WRITE : 0;
    return { command, argsz: 32, flags, index, capOffset: 0, size: BigInt(size), offset: 0n };
  }

  /** The registers of an access that was checked. */
  #access(command: string, region: number, offset: bigint, count: number): Registers {
    const size = this.#size(region);
    if (count === 0 || count > MOST_DATA || offset + BigInt(count) > BigInt(size)) {
      throw new Malformed(
        `${command} of ${count} bytes at ${offset} of region ${region}, which has ${size} bytes: ` +
          `1 to ${MOST_DATA} inside it are allowed`,
      );
    }
    return this.#registers(region)!;
  }

  #read(request: Request<"REGION_READ">): Reply<"REGION_READ"> {
    const { offset, region, count } = request;
    const registers = this.#access("REGION_READ", region, offset, count);
    const data = new Uint8Array(count);
    readRegion(registers, Number(offset), data);
    this.#around.accessed?.("read", region, Number(offset), data);
    return { ...request, data };
  }

  #write(region: number, offset: bigint, data: Uint8Array): void {
    const registers = this.#access("REGION_WRITE", region, offset, data.length);
    const at = Number(offset);
    this.#around.accessed?.("write", region, at, data);
    if (region === Region.CONFIG) {
      writeRegisters(registers, at, data);
      this.#interrupts.restore();
      this.#lookAtMemory();
    } else {
      writeRegion(
        (offset, width, value) => {
          this.#device.ring(region, offset, width, value);
        },
        at,
        data,
      );
    }
    this.#around.rung();
  }

  #writeMany(data: Uint8Array): void {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    for (let at = 0; at < data.length; at += MULTI_BYTES) {
      const count = view.getUint32(at + 12, true);
      if (count > 8) throw new Malformed(`REGION_WRITE_MULTI has a write of ${count} bytes, not 8`);
      const bytes = data.subarray(at + 16, at + 16 + count);
      this.#write(view.getUint32(at + 8, true), view.getBigUint64(at, true), bytes);
    }
  }

  /** Once the device may use memory: says what is wrong with it, as nothing else would tell. */
  #lookAtMemory(): void {
    const { config, memory } = this.#device;
    const bytes = this.#withoutFile;
    // Behind an IOMMU of the guest's, there is none until its driver wants some.
    if (this.#lookedAtMemory || memory.bytes < MEMORY && bytes === 0n) return;
    if (!(config.read16(COMMAND) & COMMAND_BUS_MASTER)) return;
    this.#lookedAtMemory = true;
    if (memory.count === 0) {
      this.#around.notice(
        `The device cannot reach the guest's memory: ${bytes} bytes came without a descriptor. Start QEMU with ${ADVICE}`,
      );
    } else if (
      memory.bytes >= MEMORY && memory.isBlank(Math.max(MEMORY, Math.ceil(memory.bytes / SAMPLES)))
    ) {
      this.#around.notice(
        "The guest's memory is empty as the device sees it, so the guest uses another copy of it: " +
          `share=on is missing. Start QEMU with ${ADVICE}`,
      );
    }
  }
}

/** How many descriptors may come with a request. */
function mostDescriptors(request: Request): number {
  if (request.command === "DMA_MAP") return 1;
  return request.command === "DEVICE_SET_IRQS" ? request.count : 0;
}
