/**
 * What a program whose only permission is `--allow-ffi` needs of Linux besides devices: files, descriptors that are waited
 * for, and tap interfaces.
 *
 * @module
 */

export { clear, close, eventfd, read, signal, write } from "./fd.ts";
export {
  absolutePath,
  environment,
  fileUrl,
  type FileUse,
  openFile,
  readAt,
  sizeOf,
  sync,
  writeAt,
} from "./file.ts";
export { type FileKind, kindAt, kindOf } from "./file_kind.ts";
export { OsError } from "./os_error.ts";
export { poll, pollAsync, POLLIN, POLLOUT, type PollSet } from "./poll.ts";
export { commandLine, isIgnored, SIGHUP } from "./process.ts";
export { bringUp, INTERFACE_NAME, isInterfaceName, openTap, type Tap, writeFrame } from "./tap.ts";
export { writeFolder } from "./write_folder.ts";
