import { DiskEnd, outputEnd } from "../../block/ends.ts";
import { tellTransfer } from "../../block/tell.ts";
import { transfer } from "../../block/transfer.ts";
import type { Command } from "../../command.ts";
import { checkSameSize, DISK_OPTIONS, PART_OPTIONS, partOf, useDisk } from "../../disk.ts";
import { EXIT } from "../../exit.ts";
import { UserFile } from "../../file.ts";

/** Reads a disk. */
export const blkRead: Command = {
  name: "blk read",
  summary: "Read a disk, or a part of it, to a file or the standard output",
  usage: "[file]",
  words: [0, 1],
  options: [...DISK_OPTIONS, ...PART_OPTIONS],
  examples: [
    ["blk read --machine simulated --length 512 | hexdump -C", "its first sector"],
    ["blk read disk.img --offset 1M --length 64K --machine qemu", "a part of it, to a file"],
  ],
  notes: ["Without a file, or with -, the bytes go to the standard output. A file is made anew."],
  async run(context) {
    const [path = "-"] = context.words;
    await using use = await useDisk(context);
    using stack = new DisposableStack();
    const { offset, length } = partOf(context, use.disk.capacity);
    const target = path === "-"
      ? outputEnd(context.io)
      : stack.use(await UserFile.open(context, path, "write"));
    const source = new DiskEnd(use.disk, offset, length);
    const { capacity } = use.disk;
    const read = await transfer(context, "Reading", source, target);
    if (context.given.length === undefined) await checkSameSize(use.disk, capacity);
    tellTransfer(context, "blk read", use, read, { quiet: path === "-" });
    return EXIT.done;
  },
};
