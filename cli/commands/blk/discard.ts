import { BlockClient } from "../../../classes/block/mod.ts";
import type { Command } from "../../command.ts";
import {
  checkBlocks,
  checkMayWrite,
  DISK_OPTIONS,
  PART_OPTIONS,
  partOf,
  useDisk,
  WRITE_OPTION,
} from "../../disk.ts";
import { EXIT, usageError } from "../../exit.ts";
import { printDeviceJson } from "../../json.ts";

/** Gives up what stands on a disk. */
export const blkDiscard: Command = {
  name: "blk discard",
  summary: "Discard, zero or erase a part of a disk",
  usage: "",
  words: [0, 0],
  options: [
    ...DISK_OPTIONS,
    ...PART_OPTIONS,
    { name: "zero", summary: "make it read as zeroes" },
    { name: "secure", summary: "erase it beyond recovery" },
    WRITE_OPTION,
  ],
  examples: [
    ["blk discard --offset 1M --length 1M --machine simulated", "one mebibyte is not needed"],
    ["blk discard --offset 0 --length 64K --zero --machine qemu", "zeroes at the beginning"],
  ],
  notes: [
    "What is read from a discarded part afterwards is undefined. Both --offset and --length must be given, in",
    "whole blocks of the disk. On this machine (local, vhost-user) it takes --write.",
  ],
  async run(context) {
    const { given } = context;
    if (given.offset === undefined || given.length === undefined) {
      throw usageError("Cannot discard without --offset and --length: what is discarded is lost");
    }
    if (given.zero && given.secure) throw usageError("Cannot zero and erase: choose one");
    await using use = await useDisk(context);
    checkMayWrite(context, use);
    const { disk } = use;
    const { offset, length } = partOf(context, disk.capacity);
    checkBlocks(`Cannot discard ${length} bytes at ${offset}`, disk, offset, length);
    if (given.zero) await context.until(disk.writeZeroes(offset, length, { unmap: true }));
    else if (!given.secure) await context.until(disk.discard(offset, length));
    else if (disk instanceof BlockClient) await context.until(disk.secureErase(offset, length));
    else throw usageError("Cannot erase: a unit of a SCSI adapter has no such command");
    await context.until(disk.flush());
    const how = given.zero ? "zeroed" : given.secure ? "erased" : "discarded";
    if (context.options.json) printDeviceJson(context, "blk discard", use, { how, offset, length });
    else context.talk(`${length} bytes at ${offset} are ${how}`);
    return EXIT.done;
  },
};
