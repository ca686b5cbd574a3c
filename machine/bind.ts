// Hands functions of this machine to programs, and back to the kernel.

import { exists, readFolder, writeText } from "../core/linux/file.ts";
import { OsError } from "../core/linux/os_error.ts";
import { Refusal } from "../core/platform/refusal.ts";
import { InUse } from "./in_use/in_use.ts";
import { MOUNTS, type Mounts } from "./mounts.ts";
import { NoSuchFunction } from "../core/platform/no_such_function.ts";
import {
  attribute,
  functionFolder,
  iommuGroup,
  kernelDriver,
} from "../core/platform/vfio/sysfs.ts";

/** The drivers that hand a function to programs. */
export const HANDING_DRIVERS = ["vfio-pci", "uio_pci_generic"] as const;

/** One of {@linkcode HANDING_DRIVERS}. */
export type HandingDriver = typeof HANDING_DRIVERS[number];

/** What is to become of some functions. */
export interface BindRequest {
  /** Their addresses, complete. */
  readonly addresses: readonly string[];
  /** The driver that they are handed to; undefined to let the kernel choose its own again. */
  readonly driver: HandingDriver | undefined;
  /** Addresses of those that are taken although the machine uses them. */
  readonly force: readonly string[];
  /** Only says what would be done. */
  readonly dryRun: boolean;
}

/** What became of one function. */
export interface Binding {
  /** Its address. */
  readonly address: string;
  /** Its driver before. */
  readonly before: string | undefined;
  /** Its driver now, or what it would be. */
  readonly after: string | undefined;
  /** Its IOMMU group. */
  readonly iommuGroup: number | undefined;
}

/** The base class of bridges, which may stay with the kernel. */
const BRIDGE = 0x06;

/**
 * Hands functions to a driver for programs, or back to the kernel's own: all or none. What was done is verified, and
 * undone if any of it fails.
 *
 * @param mounts Where the kernel shows itself.
 * @param write Writes an attribute of sysfs.
 * @throws NoSuchFunction If there is no function of one of the addresses.
 * @throws Refusal If a function is in use, or others of its IOMMU group are not handed over with it.
 * @throws If the kernel does not do as it was told; the message says what it did.
 */
export function rebind(
  request: BindRequest,
  mounts: Mounts = MOUNTS,
  write: (path: string, text: string) => void = writeText,
): Binding[] {
  const { sysfs } = mounts;
  const { addresses, driver, dryRun } = request;
  check(mounts, request);
  const bindings = addresses.map((address): Binding => ({
    address,
    before: kernelDriver(sysfs, address),
    after: driver,
    iommuGroup: iommuGroup(sysfs, address),
  }));
  if (dryRun) return bindings;
  const undo: (() => void)[] = [];
  try {
    return bindings.map((binding) => {
      const { address, before } = binding;
      if (driver !== undefined && before === driver) return binding;
      undo.unshift(remember(sysfs, address, before, write));
      const after = move(sysfs, address, driver, write);
      return { ...binding, after, iommuGroup: iommuGroup(sysfs, address) };
    });
  } catch (error) {
    const failed = undo.map(attempt).filter((message) => message !== undefined);
    const outcome = failed.length === 0
      ? "everything is as it was before"
      : `and it could not be undone: ${failed.join("; ")}`;
    (error as Error).message += `; ${outcome}`;
    throw error;
  }
}

function attempt(step: () => void): string | undefined {
  try {
    return void step();
  } catch (error) {
    return (error as Error).message;
  }
}

/** The functions of a group, in the order of sysfs. */
export function groupMembers(sysfs: string, group: number): string[] {
  const folder = `${sysfs}/kernel/iommu_groups/${group}/devices`;
  return exists(folder) ? readFolder(folder) : [];
}

/** Those of a group that drivers of the kernel hold: all must be handed over together. Bridges may stay. */
export function heldWith(sysfs: string, group: number): string[] {
  return groupMembers(sysfs, group).filter((address) => {
    const driver = kernelDriver(sysfs, address);
    const kind = Number(attribute(`${functionFolder(sysfs, address)}/class`) ?? 0) >> 16;
    return driver !== undefined && !isHanding(driver) && kind !== BRIDGE;
  });
}

type Write = (path: string, text: string) => void;

/** Gives a function to a driver, or lets the kernel choose; returns the driver that it has then. */
function move(
  sysfs: string,
  address: string,
  driver: string | undefined,
  write: Write,
): string | undefined {
  const folder = functionFolder(sysfs, address);
  write(`${folder}/driver_override`, `${driver ?? ""}\n`);
  if (kernelDriver(sysfs, address) !== undefined) write(`${folder}/driver/unbind`, address);
  try {
    write(`${sysfs}/bus/pci/drivers_probe`, address);
  } catch (error) {
    // What came of it is seen below; where no driver fits, some kernels call that an error.
    if (!(error instanceof OsError)) throw error;
  }
  const after = kernelDriver(sysfs, address);
  if (driver === undefined ? !isHanding(after) : after === driver) return after;
  throw new Error(
    `Cannot bind ${address} to ${driver ?? "a driver of the kernel"}: it has ` +
      `${after ?? "no driver"} afterwards; dmesg may tell why`,
  );
}

/** Makes what puts a function back to where it is now. */
function remember(
  sysfs: string,
  address: string,
  driver: string | undefined,
  write: Write,
): () => void {
  const folder = functionFolder(sysfs, address);
  const override = attribute(`${folder}/driver_override`) ?? "";
  return () => {
    write(`${folder}/driver_override`, `${override === "(null)" ? "" : override}\n`);
    const now = kernelDriver(sysfs, address);
    if (now === driver) return;
    if (now !== undefined) write(`${folder}/driver/unbind`, address);
    if (driver !== undefined) write(`${sysfs}/bus/pci/drivers/${driver}/bind`, address);
  };
}

function isHanding(driver: string | undefined): boolean {
  return HANDING_DRIVERS.some((known) => known === driver);
}

/** Everything that can be known before the first step. */
function check(mounts: Mounts, { addresses, driver, force }: BindRequest): void {
  const { sysfs } = mounts;
  const verb = driver === undefined ? "unbind" : "bind";
  const absent = addresses.find((address) => !exists(functionFolder(sysfs, address)));
  if (absent !== undefined) {
    throw new NoSuchFunction(
      `Cannot ${verb} ${absent}: this machine has no such function; ls lists those that it has`,
    );
  }
  const inUse = new InUse(mounts);
  for (const address of addresses) {
    const before = kernelDriver(sysfs, address);
    if (before === driver && driver !== undefined) continue;
    if (driver === undefined && !isHanding(before)) {
      throw new Refusal(
        `Cannot unbind ${address}: it is not bound to ${HANDING_DRIVERS.join(" or ")}, but to ${
          before ?? "no driver"
        }`,
      );
    }
    const uses = inUse.of(address);
    if (uses.length > 0 && !force.includes(address)) {
      throw new Refusal(
        `Cannot take ${address} from ${before ?? "the kernel"}: ${uses.join(", ")}. ` +
          `To do it all the same: --force ${address}`,
      );
    }
    if (driver === "vfio-pci") checkGroup(sysfs, address, addresses);
  }
  if (driver !== undefined && !exists(`${sysfs}/bus/pci/drivers/${driver}`)) {
    throw new Refusal(
      `Cannot bind to ${driver}: the kernel has not loaded it; as root: modprobe ${driver}`,
    );
  }
}

/** A group is handed over as a whole, or VFIO does not open it; bridges may stay. */
function checkGroup(sysfs: string, address: string, addresses: readonly string[]): void {
  const group = iommuGroup(sysfs, address);
  if (group === undefined) {
    const parameter = `${sysfs}/module/vfio/parameters/enable_unsafe_noiommu_mode`;
    if (attribute(parameter) === "Y") return;
    throw new Refusal(
      `Cannot bind ${address} to vfio-pci: it has no IOMMU. Turn it on (doctor tells how), or accept that the device ` +
        `can reach all memory: bind ${address} --driver uio_pci_generic, and then --unsafe-dma`,
    );
  }
  const others = heldWith(sysfs, group).filter((other) => !addresses.includes(other));
  if (others.length === 0) return;
  throw new Refusal(
    `Cannot bind ${address} alone: IOMMU group ${group} has ${
      others.join(", ")
    }, too, and is handed over as a ` +
      `whole. Name all of them: bind ${[...addresses, ...others].join(" ")}`,
  );
}
