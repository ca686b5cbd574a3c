// PCI functions as sysfs shows them.

import { exists, readFile, readFolder, readLink, readText } from "../../linux/file.ts";
import { compareAddresses, formatAddress, parseAddress } from "../../pci/address.ts";
import { byteRegisters } from "../../pci/byte_registers.ts";
import type { Registers } from "../../pci/registers.ts";

/** One PCI function as the Linux kernel shows it in sysfs. */
export interface SysfsFunction {
  /** As lspci prints it with `-D`: `0000:00:03.0`. */
  readonly address: string;
  /** What could be read of its configuration space when it was listed; writing it throws. */
  readonly config: Registers;
  /** The kernel driver that is bound to it. */
  readonly kernelDriver?: string;
  /** Its IOMMU group. */
  readonly iommuGroup?: number;
  /** Whether that is one without an IOMMU, made by VFIO. */
  readonly noIommu?: boolean;
  /** The processors that it is near to. */
  readonly numaNode?: number;
}

/** The configuration header that every function has and every user may read. */
const HEADER_BYTES = 64;

/** The name that VFIO gives to groups without an IOMMU. */
const NO_IOMMU = "vfio-noiommu";

/** The folder of a function. */
export function functionFolder(root: string, address: string): string {
  return `${root}/bus/pci/devices/${address}`;
}

/** The kernel driver that is bound to a function. */
export function kernelDriver(root: string, address: string): string | undefined {
  return lastName(readLink(`${functionFolder(root, address)}/driver`));
}

/** The IOMMU group that a function is in. */
export function iommuGroup(root: string, address: string): number | undefined {
  return number(lastName(readLink(`${functionFolder(root, address)}/iommu_group`)));
}

/**
 * The PCI functions that the kernel knows, in the order of their addresses. Only reads.
 *
 * @param root Where sysfs is mounted.
 * @returns undefined if there is no PCI in that sysfs, or no sysfs.
 */
export function listSysfs(root: string): SysfsFunction[] | undefined {
  const folder = `${root}/bus/pci/devices`;
  if (!exists(folder)) return undefined;
  return readFolder(folder).map(parseAddress).sort(compareAddresses).flatMap((parsed) => {
    const address = formatAddress(parsed);
    const config = readConfig(`${folder}/${address}/config`);
    if (!config) return [];
    const driver = kernelDriver(root, address);
    const group = iommuGroup(root, address);
    const node = number(attribute(`${folder}/${address}/numa_node`));
    const name = group === undefined
      ? undefined
      : attribute(`${folder}/${address}/iommu_group/name`);
    return [{
      address,
      config,
      ...(driver === undefined ? {} : { kernelDriver: driver }),
      ...(group === undefined ? {} : { iommuGroup: group }),
      ...(name === NO_IOMMU ? { noIommu: true } : {}),
      ...(node === undefined ? {} : { numaNode: node }),
    }];
  });
}

/** The text of an attribute, without the end of its line; undefined if there is none, or it may not be read. */
export function attribute(path: string): string | undefined {
  try {
    return readText(path).trimEnd();
  } catch {
    return undefined;
  }
}

function lastName(path: string | undefined): string | undefined {
  return path?.split("/").at(-1);
}

/** Negative numbers stand for "none". */
function number(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** undefined if the function was unplugged since its folder was listed. */
function readConfig(path: string): Registers | undefined {
  let bytes;
  try {
    bytes = readFile(path);
  } catch (error) {
    if (!exists(path)) return undefined;
    throw error;
  }
  return bytes.length < HEADER_BYTES ? undefined : snapshot(bytes);
}

/** Registers that hold what was read once: root gets 256 or 4096 bytes from the kernel, others the first 64. */
function snapshot(bytes: Uint8Array<ArrayBuffer>): Registers {
  const refuse = (): never => {
    throw new TypeError(
      "Cannot write configuration space: this is a copy of a device that was not taken",
    );
  };
  return { ...byteRegisters(bytes), write8: refuse, write16: refuse, write32: refuse };
}
