/**
 * The requests of VFIO, with their structures (Linux, `include/uapi/linux/vfio.h`).
 *
 * Safety, of all of them: each structure says its own length in its first word, and the kernel reads and writes no more.
 * What a device can reach is what {@linkcode mapDma} was asked for; the kernel pins those pages until they are unmapped
 * or the container is closed, so that no other process can get them meanwhile.
 *
 * @module
 */

import { close } from "./fd.ts";
import { open } from "./file.ts";
import { ioctl, ioctlNumber } from "./ioctl.ts";
import { cString } from "./libc.ts";
import { OsError } from "./os_error.ts";

/** A request's number: all are `_IO(';', 100 + n)`. */
const request = (n: number) => 0x3b << 8 | 100 + n;
const GET_API_VERSION = request(0);
const CHECK_EXTENSION = request(1);
const SET_IOMMU = request(2);
const GROUP_GET_STATUS = request(3);
const GROUP_SET_CONTAINER = request(4);
const GROUP_GET_DEVICE_FD = request(6);
const DEVICE_GET_INFO = request(7);
const DEVICE_GET_REGION_INFO = request(8);
const DEVICE_GET_IRQ_INFO = request(9);
const DEVICE_SET_IRQS = request(10);
const DEVICE_RESET = request(11);
const IOMMU_GET_INFO = request(12);
const IOMMU_MAP_DMA = request(13);
const IOMMU_UNMAP_DMA = request(14);
const DEVICE_IOEVENTFD = request(16);

const API_VERSION = 0;
const GROUP_VIABLE = 1;
const DEVICE_CAN_RESET = 1;
const REGION_CAN_MAP = 1 << 2;
const HAS_CAPABILITIES = { region: 1 << 3, iommu: 1 << 1 } as const;
const CAPABILITY_IOVA_RANGES = 1;
const CAPABILITY_SPARSE_MMAP = 1;
/** More than any list of capabilities that is not nonsense. */
const LONGEST = 65536;
const DMA_READ_WRITE = 3;

const IRQ_NONE = 1 << 0;
const IRQ_EVENTFD = 1 << 2;
const IRQ_UNMASK = 1 << 4;
const IRQ_TRIGGER = 1 << 5;

/** Kinds of IOMMU that a container can be of. */
export const Iommu = {
  /** Translates what devices address. */
  type1: 3,
  /** There is none: devices reach all memory. */
  none: 8,
} as const;

/** Regions of a PCI function by number; its BARs are 0 to 5. */
export const CONFIG_REGION = 7;

/** Interrupts of a PCI function by number. */
export const Irq = {
  /** The interrupt pin. */
  intx: 0,
  /** Message-signalled interrupts without a table. */
  msi: 1,
  /** MSI-X vectors. */
  msix: 2,
  /** The bus reports an error. */
  error: 3,
  /** The function is wanted back. */
  request: 4,
} as const;

/** A region of a device. */
export interface VfioRegion {
  /** First byte in the device's file. */
  readonly offset: number;
  /** Bytes; 0 if there is none. */
  readonly size: number;
  /** Parts that can be mapped, as bytes of the region; the rest can be reached by calls only. */
  readonly areas: readonly { readonly offset: number; readonly size: number }[];
}

/** A range of addresses, with its last one. */
export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** Opens a container. */
export function openContainer(path: string): number {
  const container = open(path, 2);
  try {
    const version = ioctlNumber(container, GET_API_VERSION, 0, "Cannot ask VFIO for its version");
    if (version === API_VERSION) return container;
    throw new Error(`Cannot use VFIO: its version is ${version}, wanted is ${API_VERSION}`);
  } catch (error) {
    close(container);
    throw error;
  }
}

/** Whether a container can be of a kind of {@linkcode Iommu}. */
export function supportsIommu(container: number, kind: number): boolean {
  return ioctlNumber(container, CHECK_EXTENSION, kind, "Cannot ask for the kinds of IOMMU") > 0;
}

/** Whether all functions of a group are bound so that the group can be used. */
export function isViable(group: number): boolean {
  const status = structure(8);
  ioctl(group, GROUP_GET_STATUS, bytes(status), "Cannot ask for the status of an IOMMU group");
  return (status.getUint32(4, true) & GROUP_VIABLE) !== 0;
}

/** Puts a group in a container. */
export function joinContainer(group: number, container: number): void {
  const number = structure(4);
  number.setInt32(0, container, true);
  ioctl(group, GROUP_SET_CONTAINER, bytes(number), "Cannot put an IOMMU group in a container");
}

/** Decides what kind a container is of, now that a group is in it. */
export function setIommu(container: number, kind: number): void {
  ioctlNumber(container, SET_IOMMU, kind, "Cannot set up the IOMMU");
}

/** Takes a device out of its group: a descriptor of it. */
export function takeDevice(group: number, address: string): number {
  return ioctl(group, GROUP_GET_DEVICE_FD, cString(address), `Cannot take ${address}`);
}

/** Ranges of addresses that devices of a container may use; undefined if the kernel does not say. */
export function iovaRanges(container: number): readonly AddressRange[] | undefined {
  const info = grow(24, (info) => {
    ioctl(container, IOMMU_GET_INFO, bytes(info), "Cannot ask what the IOMMU can do");
  });
  return rangesOf(info);
}

/** Takes `struct vfio_iommu_type1_info` apart. */
export function rangesOf(info: DataView): readonly AddressRange[] | undefined {
  const flags = info.getUint32(4, true);
  const first = (flags & HAS_CAPABILITIES.iommu) !== 0 ? info.getUint32(16, true) : 0;
  const at = findCapability(info, first, CAPABILITY_IOVA_RANGES);
  if (at === undefined) return undefined;
  return Array.from({ length: info.getUint32(at + 8, true) }, (_, i) => ({
    start: safe(info.getBigUint64(at + 16 + 16 * i, true)),
    end: safe(info.getBigUint64(at + 24 + 16 * i, true)),
  }));
}

/** Lets the devices of a container read and write the `size` bytes at `address`, as `iova`. Whole pages. */
export function mapDma(container: number, address: bigint, iova: number, size: number): void {
  const map = structure(32);
  map.setUint32(4, DMA_READ_WRITE, true);
  map.setBigUint64(8, address, true);
  map.setBigUint64(16, BigInt(iova), true);
  map.setBigUint64(24, BigInt(size), true);
  ioctl(container, IOMMU_MAP_DMA, bytes(map), `Cannot give a device ${size} bytes of memory`);
}

/** Takes back what was given by {@linkcode mapDma}. */
export function unmapDma(container: number, iova: number, size: number): void {
  const unmap = structure(24);
  unmap.setBigUint64(8, BigInt(iova), true);
  unmap.setBigUint64(16, BigInt(size), true);
  ioctl(container, IOMMU_UNMAP_DMA, bytes(unmap), "Cannot take memory from a device");
}

/** Whether a device can be reset. */
export function canReset(device: number): boolean {
  const info = structure(24);
  ioctl(device, DEVICE_GET_INFO, bytes(info), "Cannot ask what a device can do");
  return (info.getUint32(4, true) & DEVICE_CAN_RESET) !== 0;
}

/** Resets a device, which must be initialised anew. */
export function resetDevice(device: number): void {
  ioctlNumber(device, DEVICE_RESET, 0, "Cannot reset the device");
}

/** What a region is like. */
export function regionInfo(device: number, index: number): VfioRegion {
  const info = grow(32, (info) => {
    info.setUint32(8, index, true);
    ioctl(device, DEVICE_GET_REGION_INFO, bytes(info), `Cannot ask for region ${index}`);
  });
  return regionOf(info);
}

/** Takes `struct vfio_region_info` apart. */
export function regionOf(info: DataView): VfioRegion {
  const flags = info.getUint32(4, true);
  const size = safe(info.getBigUint64(16, true));
  const offset = safe(info.getBigUint64(24, true));
  if ((flags & REGION_CAN_MAP) === 0) return { offset, size, areas: [] };
  const first = (flags & HAS_CAPABILITIES.region) !== 0 ? info.getUint32(12, true) : 0;
  const at = findCapability(info, first, CAPABILITY_SPARSE_MMAP);
  const areas = at === undefined
    ? [{ offset: 0, size }]
    : Array.from({ length: info.getUint32(at + 8, true) }, (_, i) => ({
      offset: safe(info.getBigUint64(at + 16 + 16 * i, true)),
      size: safe(info.getBigUint64(at + 24 + 16 * i, true)),
    }));
  return { offset, size, areas };
}

/** How many interrupts there are of a kind of {@linkcode Irq}; 0 of a kind that the device cannot have. */
export function countIrqs(device: number, index: number): number {
  const info = structure(16);
  info.setUint32(8, index, true);
  try {
    ioctl(device, DEVICE_GET_IRQ_INFO, bytes(info), `Cannot ask for interrupts ${index}`);
  } catch (error) {
    if (error instanceof OsError && error.code === "EINVAL") return 0;
    throw error;
  }
  return info.getUint32(12, true);
}

/**
 * Lets all interrupts of a kind, numbered from 0, signal eventfds. With none, they are turned off.
 *
 * @returns 0; or how many there are, if the machine has not as many, and then none was set up.
 */
export function setIrqs(device: number, index: number, eventfds: readonly number[]): number {
  const action = eventfds.length === 0 ? IRQ_NONE | IRQ_TRIGGER : IRQ_EVENTFD | IRQ_TRIGGER;
  return irqSet(device, index, action, eventfds.length, eventfds);
}

/** Lets a pin signal again, which the kernel masks each time it does. */
export function unmaskIrq(device: number, index: number): void {
  irqSet(device, index, IRQ_NONE | IRQ_UNMASK, 1, []);
}

function irqSet(
  device: number,
  index: number,
  flags: number,
  count: number,
  data: readonly number[],
): number {
  const set = structure(20 + 4 * data.length);
  set.setUint32(4, flags, true);
  set.setUint32(8, index, true);
  set.setUint32(16, count, true);
  data.forEach((each, i) => set.setInt32(20 + 4 * i, each, true));
  return ioctl(device, DEVICE_SET_IRQS, bytes(set), `Cannot set up interrupts ${index}`);
}

/** Lets the kernel write `value` to a register of a device whenever an eventfd is signalled. */
export function writeOnEvent(
  device: number,
  register: { readonly offset: number; readonly width: 2 | 4; readonly value: number },
  eventfd: number,
): void {
  const event = structure(32);
  event.setUint32(4, register.width, true); // the flag of each width is its number of bytes
  event.setBigUint64(8, BigInt(register.offset), true);
  event.setBigUint64(16, BigInt(register.value), true);
  event.setInt32(24, eventfd, true);
  ioctl(device, DEVICE_IOEVENTFD, bytes(event), "Cannot tie a register to an eventfd");
}

/** A structure of so many bytes that says so. */
function structure(size: number): DataView<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(size));
  view.setUint32(0, size, true);
  return view;
}

function bytes(view: DataView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer);
}

/** Asks for a structure, and once more if the kernel says that it has more to tell than there was room for. */
function grow(size: number, ask: (view: DataView<ArrayBuffer>) => void): DataView<ArrayBuffer> {
  const first = structure(size);
  ask(first);
  const wanted = Math.min(first.getUint32(0, true), LONGEST);
  if (wanted <= size) return first;
  const second = structure(wanted);
  ask(second);
  return second;
}

/** The offset of a capability in a structure. Each begins with id, version and the offset of the next. */
function findCapability(info: DataView, first: number, id: number): number | undefined {
  for (let at = first, seen = 0; at !== 0 && seen < 64; seen++) {
    if (info.getUint16(at, true) === id) return at;
    at = info.getUint32(at + 4, true);
  }
  return undefined;
}

/** A 64-bit number that the rest of the program can count with. */
function safe(number: bigint): number {
  return Number(number < Number.MAX_SAFE_INTEGER ? number : BigInt(Number.MAX_SAFE_INTEGER));
}
