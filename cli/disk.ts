import type { BlockDevice } from "../core/class/block.ts";
import { parseSize } from "./block/size.ts";
import type { CommandOption, Context } from "./command.ts";
import { CliError, EXIT, usageError } from "./exit.ts";
import { DEVICE_OPTION, type DeviceInUse, useDevice } from "./kernel.ts";

/** The option that says which unit of a SCSI host is meant. */
export const LUN_OPTION: CommandOption = {
  name: "lun",
  value: "<target:lun>",
  summary: "which unit of a SCSI host (0:0)",
};

/** The option without which disks of this machine are not written. */
export const WRITE_OPTION: CommandOption = {
  name: "write",
  summary: "may overwrite disks of this machine, too",
};

/** The options of commands that work with one disk. */
export const DISK_OPTIONS: readonly CommandOption[] = [DEVICE_OPTION, LUN_OPTION];

/** A disk at work. Disposing it stops its device. */
export interface DiskInUse extends DeviceInUse<"block" | "scsi"> {
  /** The disk. */
  readonly disk: BlockDevice;
}

/** What a client of SCSI hosts has for us. */
interface Units {
  disk(unit: { readonly target: number; readonly lun: number }): Promise<BlockDevice>;
}

/**
 * Puts the disk to work that the user named: a block device, or a unit of a SCSI host.
 *
 * @throws {CliError} With status 3 if there is none, 4 if it must not be taken.
 */
export async function useDisk(context: Context): Promise<DiskInUse> {
  await using stack = new AsyncDisposableStack();
  const inUse = stack.use(await useDevice(context, "block", "scsi"));
  const { device, kernel } = inUse;
  const word = context.given.lun;
  if (device.class === "block" && word !== undefined) {
    throw usageError(`Cannot use --lun with ${device.address}: it is one disk, not a SCSI host`);
  }
  const disk = device.class === "block"
    ? device.client as BlockDevice
    : await context.until((device.client as unknown as Units).disk(unitOf(word)));
  const kept = stack.move();
  return { kernel, device, disk, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function unitOf(word: string | true | undefined): { target: number; lun: number } {
  if (word === undefined) return { target: 0, lun: 0 };
  const [, target, lun] = /^(\d{1,3}):(\d{1,5})$/.exec(String(word)) ?? [];
  if (target !== undefined && lun !== undefined) {
    return { target: Number(target), lun: Number(lun) };
  }
  throw usageError(
    `Unknown value ${JSON.stringify(word)} for --lun: wanted target and LUN, like 0:1`,
  );
}

/**
 * Refuses to write to disks of this machine, unless the user allows it.
 *
 * @throws {CliError} With status 4.
 */
export function checkMayWrite(context: Context, { kernel, device, disk }: DiskInUse): void {
  const action = `Cannot write to ${device.address}`;
  if (disk.readOnly) throw new CliError(EXIT.refused, `${action}: the disk is read-only`);
  if (kernel.platform.kind !== "host" || context.given.write === true) return;
  throw new CliError(
    EXIT.refused,
    `${action}: it is a disk of this machine, and what is on it would be lost. ` +
      "If that is what you want, add --write",
  );
}

/** Options that say which part of the disk is meant. */
export const PART_OPTIONS: readonly CommandOption[] = [
  {
    name: "offset",
    value: "<bytes>",
    summary: "the first byte; with K, M, G or T if you like (0)",
  },
  { name: "length", value: "<bytes>", summary: "how many; to the end of the disk if left out" },
];

/** The part of the disk that the user named. */
export function partOf(
  { given }: Context,
  capacity: number,
): { readonly offset: number; readonly length: number } {
  const offset = given.offset === undefined ? 0 : parseSize("offset", String(given.offset));
  const length = given.length === undefined
    ? Math.max(0, capacity - offset)
    : parseSize("length", String(given.length));
  if (offset + length <= capacity && offset <= capacity) return { offset, length };
  throw usageError(`Cannot use ${length} bytes at ${offset}: the disk ends at ${capacity}`);
}
