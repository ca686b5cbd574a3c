import { DiskEnd, type Source } from "../../block/ends.ts";
import { tellTransfer } from "../../block/tell.ts";
import { transfer } from "../../block/transfer.ts";
import type { Command } from "../../command.ts";
import { checkMayWrite, checkSameSize, DISK_OPTIONS, useDisk, WRITE_OPTION } from "../../disk.ts";
import { CliError, EXIT, usageError } from "../../exit.ts";
import { UserFile } from "../../file.ts";

/** What stands for the disk on the command line. */
const DISK = "disk";

/** Copies between a disk and a file, and makes sure of it. */
export const blkCopy: Command = {
  name: "blk copy",
  summary: "Copy a disk to a file or a file to a disk, and compare",
  usage: "<from> <to>",
  words: [2, 2],
  options: [...DISK_OPTIONS, WRITE_OPTION],
  examples: [
    ["blk copy disk backup.img --machine simulated", "a backup of a disk"],
    ["blk copy backup.img disk --machine simulated", "and back again"],
  ],
  notes: [
    "The word disk stands for the disk, everything else is a file (./disk, if it has that name). What was",
    "written is made durable, read back, and its SHA-256 compared with that of what was read.",
    "On this machine (local, vhost-user) disks are only written with --write.",
  ],
  async run(context) {
    const [from = "", to = ""] = context.words;
    if ((from === DISK) === (to === DISK)) {
      throw usageError(`Cannot copy ${from} to ${to}: one of them must be the word ${DISK}`);
    }
    using stack = new DisposableStack();
    const file = from === DISK ? undefined : stack.use(await UserFile.open(context, from, "read"));
    await using use = await useDisk(context);
    const { disk } = use;
    let copied, again: Source;
    if (file) {
      checkMayWrite(context, use);
      if ((file.length ?? 0) > disk.capacity) {
        throw new CliError(
          EXIT.failed,
          `Cannot copy ${from}: it has ${file.length} bytes, the disk ${disk.capacity}`,
        );
      }
      copied = await transfer(context, "Copying", file, new DiskEnd(disk, 0));
      again = new DiskEnd(disk, 0, copied.bytes);
    } else {
      const target = stack.use(await UserFile.open(context, to, "write and read back"));
      const { capacity } = disk;
      copied = await transfer(context, "Copying", new DiskEnd(disk, 0), target);
      await checkSameSize(disk, capacity);
      again = target;
    }
    const { sha256 } = await transfer(context, "Comparing", again);
    if (sha256 !== copied.sha256) {
      throw new CliError(
        EXIT.failed,
        `What stands in ${to} is not what was read from ${from}: its sha256 is ${sha256}, not ${copied.sha256}`,
      );
    }
    tellTransfer(context, "blk copy", use, copied, { verified: true });
    return EXIT.done;
  },
};
