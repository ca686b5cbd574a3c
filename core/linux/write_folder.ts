import { close } from "./fd.ts";
import { makeFolder, openFile, readFolder, writeAt } from "./file.ts";
import { kindAt } from "./file_kind.ts";

/**
 * Writes files into a folder that is made for them, or is there and empty.
 *
 * @param files Their texts, by their names.
 * @throws Error If something else is there; then nothing was written.
 * @throws OsError If it cannot be written.
 */
export function writeFolder(folder: string, files: Readonly<Record<string, string>>): void {
  const kind = kindAt(folder);
  if (kind === undefined) makeFolder(folder);
  else if (kind !== "folder") throw new Error(`Cannot write into ${folder}: it is a ${kind}`);
  const there = readFolder(folder);
  if (there.length > 0) {
    const some = there.slice(0, 3).join(", ");
    throw new Error(`Cannot write into ${folder}: the folder is not empty, it has ${some}`);
  }
  for (const [name, text] of Object.entries(files)) {
    const fd = openFile(`${folder}/${name}`, { write: true, create: "new" });
    try {
      writeAt(fd, new TextEncoder().encode(text), 0);
    } finally {
      close(fd);
    }
  }
}
