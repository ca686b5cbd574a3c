import type { BlockClient, BlockDevice } from "../classes/block/mod.ts";
import type { ScsiClient } from "../classes/scsi/mod.ts";
import { parseSize } from "./block/size.ts";
import type { CommandOption, Context } from "./command.ts";
import { CliError, EXIT, usageError } from "./exit.ts";
import { DEVICE_OPTION, type DeviceInUse, useDevice } from "./kernel.ts";
import { LUN_OPTION, lunOf } from "./lun.ts";
import type { Kernel } from "./system.ts";

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

/**
 * Puts the disk to work that the user named: a block device, or a unit of a SCSI adapter.
 *
 * @throws {CliError} With status 3 if there is none, 4 if it must not be taken, 1 if there is no medium in it.
 */
export async function useDisk(context: Context): Promise<DiskInUse> {
  await using stack = new AsyncDisposableStack();
  const use = stack.use(await useDrive(context));
  if (use.disk.medium === 0) {
    const { address } = use.device;
    throw new CliError(EXIT.failed, `Cannot use the disk of ${address}: there is no medium in it`);
  }
  const kept = stack.move();
  return { ...use, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/**
 * As {@linkcode useDisk}, but there may be no medium in it.
 *
 * @throws {CliError} With status 3 if there is none, 4 if it must not be taken.
 */
export async function useDrive(context: Context): Promise<DiskInUse> {
  const { lun } = context.given;
  const unit = lunOf(context);
  await using stack = new AsyncDisposableStack();
  // A user who names a unit means a SCSI device.
  const classes = lun === undefined ? ["block", "scsi"] as const : ["scsi"] as const;
  const { kernel, device } = stack.use(await useDevice(context, ...classes));
  const disk: BlockDevice = device.class === "block"
    ? device.client as BlockClient
    : await context.until((device.client as ScsiClient).disk(unit));
  const kept = stack.move();
  return { kernel, device, disk, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/**
 * Refuses to write to disks of this machine, unless the user allows it.
 *
 * @throws {CliError} With status 4.
 */
export function checkMayWrite(context: Context, { kernel, device, disk }: DiskInUse): void {
  const action = `Cannot write to ${device.address}`;
  if (disk.readOnly) throw new CliError(EXIT.refused, `${action}: the disk is read-only`);
  if (!keepsDisks(kernel) || context.given.write === true) return;
  throw new CliError(
    EXIT.refused,
    `${action}: it is a disk of this machine, and what is on it would be lost. ` +
      "If that is what you want, add --write",
  );
}

/** Whether the disks of a machine were there before it, and what is on them counts. */
export function keepsDisks({ machine: { kind } }: Pick<Kernel, "machine">): boolean {
  return kind === "local" || kind === "vhost-user";
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

/**
 * Refuses numbers of bytes that are not whole blocks of the disk.
 *
 * @param action What cannot be done then: `"Cannot discard 100 bytes at 0"`.
 * @throws {CliError} With status 2.
 */
export function checkBlocks(
  action: string,
  { blockSize }: BlockDevice,
  ...bytes: readonly number[]
): void {
  if (bytes.every((count) => count % blockSize === 0)) return;
  throw usageError(`${action}: the disk takes multiples of ${blockSize}, the size of its blocks`);
}

/**
 * Makes sure that a disk that was read to its end is as large as it was.
 *
 * @throws {CliError} With status 1 if it is not: then it was not all of it, or more.
 */
export async function checkSameSize(disk: BlockDevice, capacity: number): Promise<void> {
  await disk.refresh();
  if (disk.capacity === capacity) return;
  throw new CliError(
    EXIT.failed,
    `The disk had ${capacity} bytes when it was begun, and has ${disk.capacity} now: what was read is not all of it`,
  );
}
