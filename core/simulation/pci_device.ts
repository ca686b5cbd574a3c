import { byteRegisters } from "../pci/byte_registers.ts";
import { MSI_X, VENDOR_SPECIFIC } from "../pci/capabilities.ts";
import {
  BAR0,
  BAR_IO,
  BAR_MEMORY_64,
  BAR_MEMORY_PREFETCHABLE,
  CAPABILITIES_POINTER,
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_INTX_DISABLE,
  COMMAND_IO,
  COMMAND_MEMORY,
  DEVICE_ID,
  INTERRUPT_PIN,
  REVISION_ID,
  STATUS,
  STATUS_CAPABILITIES,
  STATUS_INTERRUPT,
  SUBSYSTEM_ID,
  SUBSYSTEM_VENDOR_ID,
  VENDOR_ID,
} from "../pci/config_space.ts";
import type { Registers } from "../pci/registers.ts";
import { VIRTIO_VENDOR } from "../pci/virtio_identity.ts";
import { COMMON_BYTES } from "./common_config.ts";
import { DeviceMemory } from "./device_memory.ts";
import { LEGACY_BYTES, legacyRegisters } from "./legacy_registers.ts";
import type { CapabilityOffsets, Lie } from "./lie.ts";
import type { DeviceModel } from "./model.ts";
import { VirtioDevice } from "./virtio_device.ts";
import { readBytes, readWidth, type Width, window, writeWidth } from "./window.ts";

/** What a simulated function finds around it. */
export interface Slot {
  /** Delivers MSI-X interrupt number `vector`. */
  interrupt(vector: number): void;
  /** Drives the interrupt pin: the device asserts it, or does so no more. */
  pin(asserted: boolean): void;
  /** The device needs a reset because of `error`: the driver's fault if it is a `DriverFault`. */
  failed(error: Error): void;
}

/** I/O BAR with the legacy registers. */
const LEGACY_BAR = 0;
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

const UNCLASSIFIED = 0xff0000;
const INTERRUPT_LINE = 0x3c;
const INTA = 1;

const MSIX_CONTROL = 2;
const MSIX_ENABLE = 1 << 15;
const MSIX_MASK_ALL = 1 << 14;
const MOST_VECTORS = 2048;

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
  /** Whether the first interrupt on each vector never ends (D-67). */
  readonly storms: boolean;

  readonly #lies: readonly Lie[];
  readonly #sendLying: (vector: number) => void;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #virtio: VirtioDevice;
  readonly #slot: Slot;
  readonly #bars = new Map<number, Registers>();
  readonly #space = new Uint8Array(256);
  readonly #view = new DataView(this.#space.buffer);
  /** For each bit of the configuration space whether the driver can change it. */
  readonly #changeable = new Uint8Array(256);
  readonly #at: CapabilityOffsets;
  readonly #hasPin: boolean;
  readonly #hasModern: boolean;
  readonly #hasLegacy: boolean;
  #isr = 0;
  #asserted = false;
  #isGone = false;

  /** Makes the function of a model. */
  constructor(model: DeviceModel, slot: Slot) {
    this.#slot = slot;
    this.#lies = model.lies ?? [];
    this.storms = this.#lies.some(({ storms }) => storms);
    this.vectors = Math.min(model.vectors ?? model.queues.length + 1, MOST_VECTORS);
    this.#hasPin = model.pin ?? true;
    this.#hasModern = model.generation !== "legacy";
    this.#hasLegacy = (model.generation ?? "modern") !== "modern";
    this.#virtio = new VirtioDevice(model, {
      memory: this.memory,
      vectors: this.vectors,
      mayMaster: () => this.#command(COMMAND_BUS_MASTER) && !this.#isGone,
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
    const legacyBytes = powerOfTwo(LEGACY_BYTES + configBytes);
    if (this.#hasLegacy) this.#bar(LEGACY_BAR, this.#legacy(model, legacyBytes), COMMAND_IO);
    if (this.#hasModern) this.#bar(VIRTIO_BAR, this.#structures(model, virtioBytes));
    this.#bar(MSIX_BAR, byteRegisters(new Uint8Array(msixBytes)));
    this.#header(model, virtioBytes, msixBytes, legacyBytes);
    this.#at = this.#capabilities(configBytes, notifyBytes, pending);
    // They are about what only modern devices have.
    if (this.#hasModern) { for (const lie of this.#lies) lie.config?.(this.#view, this.#at); }

    this.config = window(
      this.#space.length,
      (offset, width) => this.#readConfig(offset, width),
      (offset, width, value) => this.#writeConfig(offset, width, value),
    );
    this.#sendLying = this.#lies.reduce<(vector: number) => void>(
      (send, lie) => lie.interrupt ? (vector) => lie.interrupt!(vector, send) : send,
      (vector) => this.#send(vector),
    );
    for (const lie of this.#lies) {
      lie.attach?.({
        interrupt: (vector) => this.#send(vector),
        needsReset: (why) => this.#virtio.needsReset(why),
        forget: () => this.#virtio.forget(),
        look: () => {
          this.notifyAll();
          this.process();
        },
        later: (ms, act) => this.#later(ms, act),
      });
    }
  }

  /** Whether it asserts its interrupt pin. */
  get asserted(): boolean {
    return this.#asserted;
  }

  /** The registers behind a memory BAR. */
  bar(index: number): Registers | undefined {
    return this.#bars.get(index);
  }

  /** The driver wrote `value` at `offset` in the virtio BAR, to notify the device: {@linkcode process} follows. */
  notify(offset: number, value: number): void {
    this.#notifyQueue((offset - NOTIFY) / NOTIFY_MULTIPLIER, value);
  }

  /** The same, by the register of the legacy interface. */
  notifyLegacy(queue: number): void {
    this.#notifyQueue(queue, queue);
  }

  #notifyQueue(index: number, value: number): void {
    if (!this.#leaves()) this.#virtio.notify(index, value);
  }

  /** As if the driver had notified the device of every queue. */
  notifyAll(): void {
    this.#virtio.notifyAll();
  }

  /** Lets the device look where it was notified. Returns whether there may be more to do: call again soon. */
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
    this.#drivePin();
  }

  /** Reset of the function as a whole: what the driver did is forgotten. */
  reset(): void {
    this.#virtio.reset();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#isr = 0;
    this.#view.setUint16(COMMAND, 0, true);
    this.enableMsix(false);
    this.#drivePin();
  }

  /** Asked at each access: whether the device is gone by now. */
  #leaves(): boolean {
    return this.#isGone = this.#lies.some((lie) => lie.gone?.());
  }

  #later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  #command(bit: number): boolean {
    return (this.#view.getUint16(COMMAND, true) & bit) !== 0;
  }

  #msixControl(): number {
    return this.vectors > 0 ? this.#view.getUint16(this.#at.msix + MSIX_CONTROL, true) : 0;
  }

  /** Interrupts as 4.1.5.3 and 4.1.5.4 say: by MSI-X if that is on, else by ISR status and pin. */
  #interrupt(cause: "queue" | "config", vector: number): void {
    const msix = (this.#msixControl() & MSIX_ENABLE) !== 0;
    if (cause === "config") this.#isr |= ISR_CONFIG;
    else if (!msix) this.#isr |= ISR_QUEUE;
    this.#drivePin();
    if (!msix || vector >= this.vectors || this.#isGone) return;
    this.#sendLying(vector);
  }

  #send(vector: number): void {
    const on = (this.#msixControl() & (MSIX_ENABLE | MSIX_MASK_ALL)) === MSIX_ENABLE;
    if (on && vector < this.vectors) this.#slot.interrupt(vector);
  }

  #drivePin(): void {
    const wants = this.#hasPin && this.#isr !== 0 && !(this.#msixControl() & MSIX_ENABLE);
    const status = this.#view.getUint16(STATUS, true) & ~STATUS_INTERRUPT;
    this.#view.setUint16(STATUS, wants ? status | STATUS_INTERRUPT : status, true);
    const asserted = wants && !this.#command(COMMAND_INTX_DISABLE);
    if (asserted === this.#asserted) return;
    this.#asserted = asserted;
    this.#slot.pin(asserted);
  }

  #readIsr(): number {
    const isr = this.#isr;
    this.#isr = 0;
    this.#drivePin();
    return this.#lies.reduce((value, lie) => lie.isr?.(value) ?? value, isr);
  }

  /** Behind a BAR there is nothing while its space is off, or the device gone: reads give all ones. */
  #bar(index: number, inner: Registers, space = COMMAND_MEMORY): void {
    const on = () => this.#command(space) && !this.#leaves();
    this.#bars.set(
      index,
      window(
        inner.size,
        (offset, width) => on() ? readWidth(inner, offset, width) : allOnes(width),
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
          case ISR:
            return inPage === 0 ? this.#readIsr() : 0;
          case DEVICE:
            return readBytes(this.#deviceConfig(model), inPage, width);
          default:
            return 0;
        }
      },
      (offset, width, value) => {
        const inPage = offset % PAGE;
        if (offset >= NOTIFY) {
          this.notify(offset, value);
          while (this.process());
        } else if (offset < COMMON + common.size) writeWidth(common, inPage, width, value);
        else if (offset - inPage === DEVICE) this.#writeDevice(model, inPage, width, value);
      },
    );
  }

  #legacy(model: DeviceModel, size: number): Registers {
    const virtio = this.#virtio;
    return legacyRegisters({
      readField: (field) => virtio.readField(field),
      writeField: (field, value) => virtio.writeField(field, value),
      becomeLegacy: () => virtio.becomeLegacy(),
      hasVectors: () => (this.#msixControl() & MSIX_ENABLE) !== 0,
      readIsr: () => this.#readIsr(),
      notify: (queue) => {
        this.notifyLegacy(queue);
        while (this.process());
      },
      readConfig: (offset, width) => readBytes(this.#deviceConfig(model), offset, width),
      writeConfig: (offset, width, value) => this.#writeDevice(model, offset, width, value),
    }, size);
  }

  #deviceConfig(model: DeviceModel): Uint8Array {
    const config = model.config ?? new Uint8Array();
    return this.#lies.reduce((bytes, lie) => lie.deviceConfig?.(bytes) ?? bytes, config);
  }

  #writeDevice(model: DeviceModel, offset: number, width: Width, value: number): void {
    if (offset + width > (model.config?.length ?? 0)) return;
    this.#virtio.configWrite(offset, value, width);
  }

  #header(
    model: DeviceModel,
    virtioBytes: number,
    msixBytes: number,
    legacyBytes: number,
  ): void {
    const view = this.#view;
    view.setUint16(VENDOR_ID, VIRTIO_VENDOR, true);
    view.setUint16(DEVICE_ID, this.#hasLegacy ? transitionalId(model.id) : 0x1040 + model.id, true);
    view.setUint16(STATUS, STATUS_CAPABILITIES, true);
    // Revision 1 says that it is not transitional (4.1.2.1), and 0 that the subsystem is the type (4.1.2.3).
    view.setUint32(
      REVISION_ID,
      (this.#hasLegacy ? 0 : 1) | (model.classCode ?? UNCLASSIFIED) << 8,
      true,
    );
    view.setUint32(BAR0 + 4 * MSIX_BAR, 0xfeb00000, true);
    if (this.#hasLegacy) view.setUint32(BAR0 + 4 * LEGACY_BAR, 0xc000 | BAR_IO, true);
    if (this.#hasModern) {
      view.setUint32(BAR0 + 4 * VIRTIO_BAR, BAR_MEMORY_64 | BAR_MEMORY_PREFETCHABLE, true);
      view.setUint32(BAR0 + 4 * VIRTIO_BAR + 4, 0x80, true);
    }
    view.setUint16(SUBSYSTEM_VENDOR_ID, VIRTIO_VENDOR, true);
    view.setUint16(SUBSYSTEM_ID, this.#hasLegacy ? model.id : 0x1100, true);
    view.setUint8(INTERRUPT_PIN, this.#hasPin ? INTA : 0);

    const changeable = new DataView(this.#changeable.buffer);
    const spaces = this.#hasLegacy ? COMMAND_MEMORY | COMMAND_IO : COMMAND_MEMORY;
    const command = spaces | COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE;
    changeable.setUint16(COMMAND, command, true);
    changeable.setUint32(BAR0 + 4 * MSIX_BAR, -msixBytes, true);
    if (this.#hasLegacy) changeable.setUint32(BAR0 + 4 * LEGACY_BAR, -legacyBytes, true);
    if (this.#hasModern) {
      changeable.setUint32(BAR0 + 4 * VIRTIO_BAR, -virtioBytes, true);
      changeable.setUint32(BAR0 + 4 * VIRTIO_BAR + 4, 0xffffffff, true);
    }
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

    let common = 0, notify = 0, isr = 0, device = 0, pci = 0;
    if (this.#hasModern) {
      common = structure(1, 16, COMMON, COMMON_BYTES);
      notify = structure(2, 20, NOTIFY, notifyBytes);
      view.setUint32(notify + 16, NOTIFY_MULTIPLIER, true);
      isr = structure(3, 16, ISR, 1);
      if (configBytes > 0) device = structure(4, 16, DEVICE, configBytes);
      pci = structure(5, 20, 0, 0);
      view.setUint8(pci + PCI_CFG_BAR, 0);
      this.#changeable.fill(0xff, pci + PCI_CFG_BAR, pci + PCI_CFG_BAR + 1);
      this.#changeable.fill(0xff, pci + PCI_CFG_OFFSET, pci + PCI_CFG_DATA + 4);
    }
    if (this.vectors === 0) return { common, notify, isr, device, pci, msix: 0, end };

    const msix = add(MSI_X, 12);
    view.setUint16(msix + MSIX_CONTROL, this.vectors - 1, true);
    view.setUint32(msix + 4, MSIX_BAR, true);
    view.setUint32(msix + 8, pending | MSIX_BAR, true);
    this.#changeable[msix + MSIX_CONTROL + 1] = (MSIX_ENABLE | MSIX_MASK_ALL) >> 8;
    return { common, notify, isr, device, pci, msix, end };
  }

  #readConfig(offset: number, width: Width): number {
    const data = this.#at.pci + PCI_CFG_DATA;
    if (offset >= data && offset < data + 4) this.#access(false);
    if (this.#leaves()) return allOnes(width);
    const value = readBytes(this.#space, offset, width);
    const shown = this.#lies.reduce(
      (shown, lie) => lie.readConfig?.(offset, shown) ?? shown,
      value,
    );
    return shown % 2 ** (8 * width);
  }

  #writeConfig(offset: number, width: Width, value: number): void {
    for (let i = 0; i < width; i++) {
      const mask = this.#changeable[offset + i]!;
      const byte = value >>> 8 * i & 0xff;
      this.#space[offset + i] = (this.#space[offset + i]! & ~mask) | (byte & mask);
    }
    const data = this.#at.pci + PCI_CFG_DATA;
    if (offset >= data && offset < data + 4) this.#access(true);
    this.#drivePin();
  }

  /** Does what the access capability is set to; nothing if it is set to nonsense. */
  #access(write: boolean): void {
    const { pci } = this.#at;
    if (pci === 0) return;
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

/** Transitional device ids in the order of their device types (4.1.2). */
function transitionalId(type: number): number {
  const id = { 1: 0x1000, 2: 0x1001, 5: 0x1002, 3: 0x1003, 8: 0x1004, 4: 0x1005, 9: 0x1009 }[type];
  if (id) return id;
  throw new RangeError(`Cannot simulate a transitional device of type ${type}: there are none`);
}

function allOnes(width: Width): number {
  return 2 ** (8 * width) - 1;
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast));
}
