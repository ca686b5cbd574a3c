import { exists, readFile, readFolder, readLink } from "../../host/file.ts";
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
}

/** The configuration header that every function has and everybody may read. */
const HEADER_BYTES = 64;

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
    const path = `${folder}/${address}`;
    const config = readConfig(`${path}/config`);
    if (!config) return [];
    const kernelDriver = readLink(`${path}/driver`)?.split("/").at(-1);
    return [{ address, config, ...(kernelDriver === undefined ? {} : { kernelDriver }) }];
  });
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
