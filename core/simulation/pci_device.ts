import { byteRegisters } from "../pci/byte_registers.ts";
import { MSI_X, VENDOR_SPECIFIC } from "../pci/capabilities.ts";
import {
  BAR0,
  BAR_MEMORY_64,
  BAR_MEMORY_PREFETCHABLE,
  CAPABILITIES_POINTER,
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_INTX_DISABLE,
  COMMAND_MEMORY,
  DEVICE_ID,
  REVISION_ID,
  STATUS,
  STATUS_CAPABILITIES,
  SUBSYSTEM_ID,
  SUBSYSTEM_VENDOR_ID,
  VENDOR_ID,
} from "../pci/config_space.ts";
import type { Registers } from "../pci/registers.ts";
import { COMMON_BYTES } from "./common_config.ts";
import { DeviceMemory } from "./device_memory.ts";
import type { CapabilityOffsets } from "./lie.ts";
import type { DeviceModel } from "./model.ts";
import { VirtioDevice } from "./virtio_device.ts";
import { readBytes, readWidth, type Width, window, writeWidth } from "./window.ts";

/** What a simulated function finds around it. */
export interface Slot {
  /** Delivers MSI-X interrupt number `vector`. */
  interrupt(vector: number): void;
  /** The device needs a reset because of `error`: the driver's fault if it is a `DriverFault`. */
  failed(error: Error): void;
}

/** BAR with the MSI-X table and pending bits; 32 bits wide. */
const MSIX_BAR = 1;
/** BAR with the virtio structures; 64 bits wide, and so takes two registers. */
const VIRTIO_BAR = 4;

// Offsets in the virtio BAR: each structure on a page of its own.
const COMMON = 0x0000;
const ISR = 0x1000;
const DEVICE = 0x2000;
const NOTIFY = 0x3000;
const PAGE = 0x1000;

const NOTIFY_MULTIPLIER = 4;
const ISR_QUEUE = 1;
const ISR_CONFIG = 2;

const VIRTIO_VENDOR = 0x1af4;
const UNCLASSIFIED = 0xff0000;
const INTERRUPT_LINE = 0x3c;

const MSIX_CONTROL = 2;
const MSIX_ENABLE = 1 << 15;
const MSIX_MASK_ALL = 1 << 14;

/** Offsets in the capability that gives access by the configuration space (4.1.4.9). */
const PCI_CFG_BAR = 4;
const PCI_CFG_OFFSET = 8;
const PCI_CFG_LENGTH = 12;
const PCI_CFG_DATA = 16;

/** A modern virtio PCI device around a model (virtio 1.4, 4.1): configuration space and BARs. */
export class PciDevice {
  /** Its configuration space. */
  readonly config: Registers;
  /** The memory that it can reach; empty at first. */
  readonly memory = new DeviceMemory();
  /** How many MSI-X vectors it has. */
  readonly vectors: number;

  readonly #virtio: VirtioDevice;
  readonly #slot: Slot;
  readonly #bars = new Map<number, Registers>();
  readonly #space = new Uint8Array(256);
  readonly #view = new DataView(this.#space.buffer);
  /** For each bit of the configuration space whether the driver can change it. */
  readonly #changeable = new Uint8Array(256);
  readonly #at: CapabilityOffsets;
  #isr = 0;

  /** Makes the function of a model. */
  constructor(model: DeviceModel, slot: Slot) {
    this.#slot = slot;
    this.vectors = model.vectors ?? model.queues.length + 1;
    this.#virtio = new VirtioDevice(model, {
      memory: this.memory,
      vectors: this.vectors,
      mayMaster: () => this.#command(COMMAND_BUS_MASTER),
      interrupt: (cause, vector) => this.#interrupt(cause, vector),
      failed: (error) => slot.failed(error),
    });

    const configBytes = model.config?.length ?? 0;
    if (configBytes > PAGE) {
      throw new RangeError(
        `Cannot simulate device ${model.id}: its configuration has more than ${PAGE} bytes`,
      );
    }
    const notifyBytes = Math.max(NOTIFY_MULTIPLIER * model.queues.length, NOTIFY_MULTIPLIER);
    const virtioBytes = powerOfTwo(NOTIFY + notifyBytes);
    const pending = 16 * this.vectors;
    const msixBytes = Math.max(PAGE, powerOfTwo(pending + 8 * Math.ceil(this.vectors / 64)));
    this.#bar(VIRTIO_BAR, this.#structures(model, virtioBytes));
    this.#bar(MSIX_BAR, byteRegisters(new Uint8Array(msixBytes)));
    this.#header(model, virtioBytes, msixBytes);
    this.#at = this.#capabilities(configBytes, notifyBytes, pending);
    for (const lie of model.lies ?? []) lie.config?.(this.#view, this.#at);

    this.config = window(
      this.#space.length,
      (offset, width) => this.#readConfig(offset, width),
      (offset, width, value) => this.#writeConfig(offset, width, value),
    );
  }

  /** The registers behind a memory BAR. */
  bar(index: number): Registers | undefined {
    return this.#bars.get(index);
  }

  /** Lets the device look at its queues. Returns whether there may be more to do: call again soon. */
  process(): boolean {
    return this.#virtio.process();
  }

  /** Turns MSI-X on or off, as the owner of the interrupts does. */
  enableMsix(on: boolean): void {
    if (this.vectors === 0) return;
    const control = this.#msixControl();
    this.#view.setUint16(
      this.#at.msix + MSIX_CONTROL,
      on ? control | MSIX_ENABLE : control & ~MSIX_ENABLE,
      true,
    );
  }

  /** Reset of the function as a whole: what the driver did is forgotten. */
  reset(): void {
    this.#virtio.reset();
    this.#isr = 0;
    this.#view.setUint16(COMMAND, 0, true);
    this.enableMsix(false);
  }

  #command(bit: number): boolean {
    return (this.#view.getUint16(COMMAND, true) & bit) !== 0;
  }

  #msixControl(): number {
    return this.vectors > 0 ? this.#view.getUint16(this.#at.msix + MSIX_CONTROL, true) : 0;
  }

  #interrupt(cause: "queue" | "config", vector: number): void {
    const control = this.#msixControl();
    if (cause === "config") this.#isr |= ISR_CONFIG;
    // There is no interrupt pin: without MSI-X the driver has to look (4.1.5.3).
    else if (!(control & MSIX_ENABLE)) this.#isr |= ISR_QUEUE;
    const on = (control & (MSIX_ENABLE | MSIX_MASK_ALL)) === MSIX_ENABLE;
    if (on && vector < this.vectors) this.#slot.interrupt(vector);
  }

  /** Behind a BAR there is nothing while memory space is off: reads give all ones. */
  #bar(index: number, inner: Registers): void {
    const on = () => this.#command(COMMAND_MEMORY);
    this.#bars.set(
      index,
      window(
        inner.size,
        (offset, width) => on() ? readWidth(inner, offset, width) : 2 ** (8 * width) - 1,
        (offset, width, value) => {
          if (on()) writeWidth(inner, offset, width, value);
        },
      ),
    );
  }

  #structures(model: DeviceModel, size: number): Registers {
    const { common } = this.#virtio;
    return window(
      size,
      (offset, width) => {
        const inPage = offset % PAGE;
        switch (offset - inPage) {
          case COMMON:
            return inPage < common.size ? readWidth(common, inPage, width) : 0;
          case ISR: {
            if (inPage !== 0) return 0;
            const isr = this.#isr;
            this.#isr = 0;
            return isr;
          }
          case DEVICE:
            return readBytes(model.config ?? new Uint8Array(), inPage, width);
          default:
            return 0;
        }
      },
      (offset, width, value) => {
        const inPage = offset % PAGE;
        if (offset >= NOTIFY) {
          while (this.#virtio.process());
        } else if (offset < COMMON + common.size) writeWidth(common, inPage, width, value);
        else if (offset - inPage === DEVICE && inPage + width <= (model.config?.length ?? 0)) {
          this.#virtio.configWrite(inPage, value, width);
        }
      },
    );
  }

  #header(model: DeviceModel, virtioBytes: number, msixBytes: number): void {
    const view = this.#view;
    view.setUint16(VENDOR_ID, VIRTIO_VENDOR, true);
    view.setUint16(DEVICE_ID, 0x1040 + model.id, true);
    view.setUint16(STATUS, STATUS_CAPABILITIES, true);
    // Revision 1 says that it is not transitional (4.1.2.1).
    view.setUint32(REVISION_ID, 1 | (model.classCode ?? UNCLASSIFIED) << 8, true);
    view.setUint32(BAR0 + 4 * MSIX_BAR, 0xfeb00000, true);
    view.setUint32(BAR0 + 4 * VIRTIO_BAR, BAR_MEMORY_64 | BAR_MEMORY_PREFETCHABLE, true);
    view.setUint32(BAR0 + 4 * VIRTIO_BAR + 4, 0x80, true);
    view.setUint16(SUBSYSTEM_VENDOR_ID, VIRTIO_VENDOR, true);
    view.setUint16(SUBSYSTEM_ID, 0x1100, true);

    const changeable = new DataView(this.#changeable.buffer);
    const command = COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE;
    changeable.setUint16(COMMAND, command, true);
    changeable.setUint32(BAR0 + 4 * MSIX_BAR, -msixBytes, true);
    changeable.setUint32(BAR0 + 4 * VIRTIO_BAR, -virtioBytes, true);
    changeable.setUint32(BAR0 + 4 * VIRTIO_BAR + 4, 0xffffffff, true);
    changeable.setUint8(INTERRUPT_LINE, 0xff); // a note of the operating system's
  }

  /** Writes the capability list (4.1.4). */
  #capabilities(configBytes: number, notifyBytes: number, pending: number): CapabilityOffsets {
    const view = this.#view;
    let link: number = CAPABILITIES_POINTER;
    let end = 0x40;
    const add = (id: number, length: number) => {
      const at = end;
      view.setUint8(link, at);
      view.setUint8(at, id);
      link = at + 1;
      end += length;
      return at;
    };
    const structure = (type: number, length: number, offset: number, bytes: number) => {
      const at = add(VENDOR_SPECIFIC, length);
      view.setUint8(at + 2, length);
      view.setUint8(at + 3, type);
      view.setUint8(at + 4, VIRTIO_BAR);
      view.setUint32(at + 8, offset, true);
      view.setUint32(at + 12, bytes, true);
      return at;
    };

    const common = structure(1, 16, COMMON, COMMON_BYTES);
    const notify = structure(2, 20, NOTIFY, notifyBytes);
    view.setUint32(notify + 16, NOTIFY_MULTIPLIER, true);
    const isr = structure(3, 16, ISR, 1);
    const device = configBytes > 0 ? structure(4, 16, DEVICE, configBytes) : 0;
    const pci = structure(5, 20, 0, 0);
    view.setUint8(pci + PCI_CFG_BAR, 0);
    this.#changeable.fill(0xff, pci + PCI_CFG_BAR, pci + PCI_CFG_BAR + 1);
    this.#changeable.fill(0xff, pci + PCI_CFG_OFFSET, pci + PCI_CFG_DATA + 4);
    if (this.vectors === 0) return { common, notify, isr, device, pci, msix: 0 };

    const msix = add(MSI_X, 12);
    view.setUint16(msix + MSIX_CONTROL, this.vectors - 1, true);
    view.setUint32(msix + 4, MSIX_BAR, true);
    view.setUint32(msix + 8, pending | MSIX_BAR, true);
    this.#changeable[msix + MSIX_CONTROL + 1] = (MSIX_ENABLE | MSIX_MASK_ALL) >> 8;
    return { common, notify, isr, device, pci, msix };
  }

  #readConfig(offset: number, width: Width): number {
    const data = this.#at.pci + PCI_CFG_DATA;
    if (offset >= data && offset < data + 4) this.#access(false);
    return readBytes(this.#space, offset, width);
  }

  #writeConfig(offset: number, width: Width, value: number): void {
    for (let i = 0; i < width; i++) {
      const mask = this.#changeable[offset + i]!;
      const byte = value >>> 8 * i & 0xff;
      this.#space[offset + i] = (this.#space[offset + i]! & ~mask) | (byte & mask);
    }
    const data = this.#at.pci + PCI_CFG_DATA;
    if (offset >= data && offset < data + 4) this.#access(true);
  }

  /** Does what the access capability is set to; nothing if it is set to nonsense. */
  #access(write: boolean): void {
    const { pci } = this.#at;
    const bar = this.bar(this.#space[pci + PCI_CFG_BAR]!);
    const offset = this.#view.getUint32(pci + PCI_CFG_OFFSET, true);
    const width = this.#view.getUint32(pci + PCI_CFG_LENGTH, true);
    if (width !== 1 && width !== 2 && width !== 4) return;
    if (!bar || offset % width !== 0 || offset + width > bar.size) return;
    if (write) {
      writeWidth(bar, offset, width, readBytes(this.#space, pci + PCI_CFG_DATA, width));
    } else {
      this.#view.setUint32(pci + PCI_CFG_DATA, readWidth(bar, offset, width), true);
    }
  }
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast));
}
