import { DiskEnd, inputEnd } from "../../block/ends.ts";
import { parseSize } from "../../block/size.ts";
import { tellTransfer } from "../../block/tell.ts";
import { transfer } from "../../block/transfer.ts";
import type { Command } from "../../command.ts";
import { checkMayWrite, DISK_OPTIONS, PART_OPTIONS, useDisk, WRITE_OPTION } from "../../disk.ts";
import { CliError, EXIT } from "../../exit.ts";
import { UserFile } from "../../file.ts";

/** Writes to a disk. */
export const blkWrite: Command = {
  name: "blk write",
  summary: "Write a file, or the standard input, to a disk",
  usage: "[file]",
  words: [0, 1],
  options: [...DISK_OPTIONS, PART_OPTIONS[0]!, WRITE_OPTION],
  examples: [
    ["blk write boot.img --machine simulated", "an image"],
    [
      "blk write --offset 4K --machine simulated < hello.txt",
      "a few bytes, from the standard input",
    ],
  ],
  notes: [
    "Without a file, or with -, the bytes come from the standard input. What begins or ends within a block of the",
    "disk leaves the rest of it as it is: the block is read and written, and no other program may write it then.",
    "On this machine (local, vhost-user) disks are only written with --write.",
  ],
  async run(context) {
    const [path = "-"] = context.words;
    const offset = parseSize("offset", String(context.given.offset ?? 0));
    using stack = new DisposableStack();
    const source = path === "-"
      ? inputEnd(context)
      : stack.use(await UserFile.open(context, path, "read"));
    await using use = await useDisk(context);
    checkMayWrite(context, use);
    const { capacity } = use.disk;
    const { length = 0 } = source;
    if (offset + length > capacity) {
      throw new CliError(
        EXIT.failed,
        `Cannot write ${length} bytes at ${offset}: the disk ends at ${capacity}. Nothing was written`,
      );
    }
    const target = new DiskEnd(use.disk, offset);
    tellTransfer(context, "blk write", use, await transfer(context, "Writing", source, target));
    return EXIT.done;
  },
};
