// The PCI function of a VirtIO device.

import { VENDOR_SPECIFIC } from "../core/pci/capabilities.ts";
import { readWidth, type Registers, type Width, writeWidth } from "../core/pci/registers.ts";
import { VIRTIO_VENDOR } from "../core/pci/virtio_identity.ts";
import { COMMON_BYTES } from "./common_config.ts";
import type {
  BarModel,
  CapabilityModel,
  FunctionHandle,
  FunctionModel,
  MsixModel,
} from "./function_model.ts";
import { LEGACY_BYTES, legacyRegisters } from "./legacy_registers.ts";
import type { CapabilityOffsets, Lie } from "./lie.ts";
import type { DeviceModel } from "./model.ts";
import { type Surroundings, VirtioDevice } from "./virtio_device.ts";
import { readBytes } from "./read_bytes.ts";

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

/** What is behind the registers of a VirtIO function. */
export type VirtioCore = Pick<
  VirtioDevice,
  | "common"
  | "notify"
  | "notifyAll"
  | "process"
  | "reset"
  | "forget"
  | "needsReset"
  | "becomeLegacy"
  | "configWrite"
  | "readField"
  | "writeField"
>;

const NOTIFY_MULTIPLIER = 4;

/** The queue that is notified by a write to this offset of the BAR with the structures. */
export function notifiedQueue(offset: number): number {
  return (offset - NOTIFY) / NOTIFY_MULTIPLIER;
}

/** Which structure an offset of a BAR is in, and where; of notifications the queue. Undefined outside of them. */
export function placeOf(bar: number, offset: number): Place | undefined {
  if (bar === LEGACY_BAR) return { structure: "legacy", offset };
  if (bar !== VIRTIO_BAR) return undefined;
  if (offset >= NOTIFY) return { structure: "notify", offset: notifiedQueue(offset) };
  const inPage = offset % PAGE;
  return { structure: STRUCTURES[offset - inPage]!, offset: inPage };
}

/** A place in the registers. */
interface Place {
  readonly structure: "common" | "isr" | "device" | "legacy" | "notify";
  readonly offset: number;
}

const STRUCTURES: Readonly<Record<number, "common" | "isr" | "device">> = {
  [COMMON]: "common",
  [ISR]: "isr",
  [DEVICE]: "device",
};

const ISR_QUEUE = 1;
const ISR_CONFIG = 2;
const MOST_VECTORS = 2048;

/** Offsets in the capability that gives access by the configuration space (virtio 1.4, 4.1.4.9). */
const PCI_CFG_BAR = 4;
const PCI_CFG_OFFSET = 8;
const PCI_CFG_LENGTH = 12;
const PCI_CFG_DATA = 16;

/** Where the first capability is, and bytes of that of MSI-X, which follows those of VirtIO. */
const FIRST_CAPABILITY = 0x40;
const MSIX_BYTES = 12;

/** The PCI function of a VirtIO device (virtio 1.4, 4.1): its structures, and interrupts as it sends them. */
export class VirtioFunction implements FunctionModel {
  readonly vendor = VIRTIO_VENDOR;
  readonly device: number;
  readonly subsystemVendor = VIRTIO_VENDOR;
  readonly subsystem: number;
  readonly classCode?: number;
  readonly revision: number;
  readonly bars: Readonly<Record<number, BarModel>>;
  readonly capabilities: readonly CapabilityModel[];
  readonly msix?: MsixModel;
  readonly pin: boolean;
  readonly storms: boolean;

  readonly #model: DeviceModel;
  readonly #lies: readonly Lie[];
  readonly #at: CapabilityOffsets;
  readonly #hasModern: boolean;
  #handle!: FunctionHandle;
  #virtio!: VirtioCore;
  readonly #make: (around: Surroundings) => VirtioCore;
  #legacy!: Registers;
  #sendLying!: (vector: number) => void;
  #isr = 0;

  /**
   * Makes the function of a model.
   *
   * @param make Makes what is behind its registers, if that is not the model itself.
   * @throws {RangeError} If no VirtIO device can be so.
   */
  constructor(
    model: DeviceModel,
    make: (around: Surroundings) => VirtioCore = (around) => new VirtioDevice(model, around),
  ) {
    const { generation = "modern", config, queues } = model;
    this.#model = model;
    this.#make = make;
    this.#lies = model.lies ?? [];
    this.#hasModern = generation !== "legacy";
    const hasLegacy = generation !== "modern";
    const configBytes = config?.length ?? 0;
    if (configBytes > PAGE) {
      throw new RangeError(
        `Cannot simulate device ${model.id}: its configuration has more than ${PAGE} bytes`,
      );
    }
    this.device = hasLegacy ? transitionalId(model.id) : 0x1040 + model.id;
    this.subsystem = hasLegacy ? model.id : 0x1100;
    // Revision 1 says that it is not transitional (4.1.2.1), and 0 that the subsystem is the type (4.1.2.3).
    this.revision = hasLegacy ? 0 : 1;
    if (model.classCode !== undefined) this.classCode = model.classCode;
    this.pin = model.pin ?? true;
    this.storms = this.#lies.some(({ storms }) => storms);
    const vectors = Math.min(model.vectors ?? queues.length + 1, MOST_VECTORS);
    if (vectors > 0) this.msix = { vectors, bar: MSIX_BAR };

    const notifyBytes = Math.max(NOTIFY_MULTIPLIER * queues.length, NOTIFY_MULTIPLIER);
    const legacyBytes = powerOfTwo(LEGACY_BYTES + configBytes);
    const virtioBytes = powerOfTwo(NOTIFY + notifyBytes);
    const bars: Record<number, BarModel> = this.bars = {};
    if (hasLegacy) bars[LEGACY_BAR] = { bytes: legacyBytes, kind: "ports" };
    if (this.#hasModern) {
      bars[VIRTIO_BAR] = { bytes: virtioBytes, kind: "memory64", prefetchable: true };
    }
    const modern = this.#hasModern ? structures(configBytes, notifyBytes) : NOTHING;
    this.capabilities = modern.list;
    this.#at = {
      ...modern.at,
      msix: vectors > 0 ? modern.end : 0,
      end: modern.end + (vectors > 0 ? MSIX_BYTES : 0),
    };
  }

  attach(handle: FunctionHandle): void {
    this.#handle = handle;
    const virtio = this.#virtio = this.#make({
      memory: handle.memory,
      vectors: this.msix?.vectors ?? 0,
      mayMaster: () => handle.mayMaster,
      interrupt: (cause, vector) => this.#interrupt(cause, vector),
      failed: (error) => handle.failed(error),
    });
    this.#legacy = this.#legacyRegisters();
    // They are about what only modern devices have.
    if (this.#hasModern) { for (const lie of this.#lies) lie.config?.(handle.space, this.#at); }
    this.#sendLying = this.#lies.reduce<(vector: number) => void>(
      (send, lie) => lie.interrupt ? (vector) => lie.interrupt!(vector, send) : send,
      (vector) => handle.interrupt(vector),
    );
    for (const lie of this.#lies) {
      lie.attach?.({
        interrupt: (vector) => handle.interrupt(vector),
        needsReset: (why) => virtio.needsReset(why),
        forget: () => virtio.forget(),
        look: () => {
          virtio.notifyAll();
          virtio.process();
        },
        later: (ms, act) => handle.later(ms, act),
      });
    }
  }

  read(bar: number, offset: number, width: Width): number {
    if (bar === LEGACY_BAR) return readWidth(this.#legacy, offset, width);
    const { common } = this.#virtio;
    const inPage = offset % PAGE;
    switch (offset - inPage) {
      case COMMON:
        return inPage < common.size ? readWidth(common, inPage, width) : 0;
      case ISR:
        return inPage === 0 ? this.#readIsr() : 0;
      case DEVICE:
        return readBytes(this.#deviceConfig(), inPage, width);
      default:
        return 0;
    }
  }

  write(bar: number, offset: number, width: Width, value: number): void {
    if (bar === LEGACY_BAR) return writeWidth(this.#legacy, offset, width, value);
    const { common } = this.#virtio;
    const inPage = offset % PAGE;
    if (offset >= NOTIFY) this.#virtio.notify((offset - NOTIFY) / NOTIFY_MULTIPLIER, value);
    else if (offset < COMMON + common.size) writeWidth(common, inPage, width, value);
    else if (offset - inPage === DEVICE) this.#writeDevice(inPage, width, value);
  }

  process(): boolean {
    return this.#virtio.process();
  }

  missed(): void {
    this.#virtio.notifyAll();
  }

  reset(): void {
    this.#virtio.reset();
    this.#isr = 0;
  }

  gone(): boolean {
    return this.#lies.some((lie) => lie.gone?.());
  }

  readConfig(offset: number, width: Width, value: number): number {
    if (this.#isData(offset)) {
      this.#access(false);
      value = this.#data(offset - this.#at.pci - PCI_CFG_DATA, width);
    }
    return this.#lies.reduce((shown, lie) => lie.readConfig?.(offset, shown) ?? shown, value);
  }

  wroteConfig(offset: number): void {
    if (this.#isData(offset)) this.#access(true);
  }

  /** Interrupts as 4.1.5.3 and 4.1.5.4 say: by MSI-X if that is on, else by ISR status and pin. */
  #interrupt(cause: "queue" | "config", vector: number): void {
    const msix = this.#handle.signals === "msix";
    if (cause === "config") this.#isr |= ISR_CONFIG;
    else if (!msix) this.#isr |= ISR_QUEUE;
    this.#handle.pin(this.#isr !== 0);
    if (msix && this.msix && vector < this.msix.vectors) this.#sendLying(vector);
  }

  #readIsr(): number {
    const isr = this.#isr;
    this.#isr = 0;
    this.#handle.pin(false);
    return this.#lies.reduce((value, lie) => lie.isr?.(value) ?? value, isr);
  }

  #legacyRegisters(): Registers {
    const virtio = this.#virtio;
    return legacyRegisters({
      readField: (field) => virtio.readField(field),
      writeField: (field, value) => virtio.writeField(field, value),
      becomeLegacy: () => virtio.becomeLegacy(),
      hasVectors: () => this.#handle.signals === "msix",
      readIsr: () => this.#readIsr(),
      notify: (queue) => virtio.notify(queue, queue),
      readConfig: (offset, width) => readBytes(this.#deviceConfig(), offset, width),
      writeConfig: (offset, width, value) => this.#writeDevice(offset, width, value),
    }, this.bars[LEGACY_BAR]?.bytes ?? 0);
  }

  #deviceConfig(): Uint8Array {
    const config = this.#model.config ?? new Uint8Array();
    return this.#lies.reduce((bytes, lie) => lie.deviceConfig?.(bytes) ?? bytes, config);
  }

  #writeDevice(offset: number, width: Width, value: number): void {
    if (offset + width > (this.#model.config?.length ?? 0)) return;
    this.#virtio.configWrite(offset, value, width);
  }

  #isData(offset: number): boolean {
    const data = this.#at.pci + PCI_CFG_DATA;
    return this.#at.pci > 0 && offset >= data && offset < data + 4;
  }

  #data(offset: number, width: Width): number {
    const bytes = new Uint8Array(this.#handle.space.buffer);
    return readBytes(bytes, this.#at.pci + PCI_CFG_DATA + offset, width);
  }

  /** Does what the access capability is set to; nothing if it is set to nonsense. */
  #access(write: boolean): void {
    const { pci } = this.#at;
    const { space } = this.#handle;
    const bar = this.#handle.bar(space.getUint8(pci + PCI_CFG_BAR));
    const offset = space.getUint32(pci + PCI_CFG_OFFSET, true);
    const width = space.getUint32(pci + PCI_CFG_LENGTH, true);
    if (width !== 1 && width !== 2 && width !== 4) return;
    if (!bar || offset % width !== 0 || offset + width > bar.size) return;
    if (write) writeWidth(bar, offset, width, this.#data(0, width));
    else space.setUint32(pci + PCI_CFG_DATA, readWidth(bar, offset, width), true);
  }
}

/** The capabilities of a modern device (4.1.4): what they say, where each is, and where the next would be. */
interface Structures {
  readonly list: readonly CapabilityModel[];
  readonly at: Omit<CapabilityOffsets, "msix" | "end">;
  readonly end: number;
}

const NOTHING: Structures = {
  list: [],
  at: { common: 0, notify: 0, isr: 0, device: 0, pci: 0 },
  end: FIRST_CAPABILITY,
};

function structures(configBytes: number, notifyBytes: number): Structures {
  const list: CapabilityModel[] = [];
  let end = FIRST_CAPABILITY;
  const add = (type: number, length: number, bar: number, offset: number, bytes: number) => {
    const whole = new Uint8Array(length);
    const view = new DataView(whole.buffer);
    whole.set([length, type, bar], 2);
    view.setUint32(8, offset, true);
    view.setUint32(12, bytes, true);
    if (type === Kind.notify) view.setUint32(16, NOTIFY_MULTIPLIER, true);
    const changeable = new Uint8Array(length);
    if (type === Kind.pci) {
      changeable.fill(0xff, PCI_CFG_BAR, PCI_CFG_BAR + 1);
      changeable.fill(0xff, PCI_CFG_OFFSET, PCI_CFG_DATA + 4);
    }
    list.push({
      id: VENDOR_SPECIFIC,
      bytes: whole.subarray(2),
      changeable: changeable.subarray(2),
    });
    const at = end;
    end += length;
    return at;
  };
  const common = add(Kind.common, 16, VIRTIO_BAR, COMMON, COMMON_BYTES);
  const notify = add(Kind.notify, 20, VIRTIO_BAR, NOTIFY, notifyBytes);
  const isr = add(Kind.isr, 16, VIRTIO_BAR, ISR, 1);
  const device = configBytes > 0 ? add(Kind.device, 16, VIRTIO_BAR, DEVICE, configBytes) : 0;
  const pci = add(Kind.pci, 20, 0, 0, 0);
  return { list, at: { common, notify, isr, device, pci }, end };
}

/** Types of structures (4.1.4). */
const Kind = { common: 1, notify: 2, isr: 3, device: 4, pci: 5 } as const;

/** Transitional device ids in the order of their device types (4.1.2). */
function transitionalId(type: number): number {
  const id = { 1: 0x1000, 2: 0x1001, 5: 0x1002, 3: 0x1003, 8: 0x1004, 4: 0x1005, 9: 0x1009 }[type];
  if (id) return id;
  throw new RangeError(`Cannot simulate a transitional device of type ${type}: there are none`);
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast));
}
