// Names and kinds of descriptors.

import { libc } from "./libc.ts";

const decoder = new TextDecoder();

/** What people call an open descriptor of this process: the path of a file, or what else it is. */
export function nameOf(fd: number): string {
  const text = targetOf(fd);
  if (text.startsWith("/memfd:")) return "shared memory";
  if (text.startsWith("/")) return text;
  const [kind = ""] = text.split(":");
  return KINDS[kind] ?? "a file that was closed";
}

/** Whether it is an eventfd. */
export function isEventCounter(fd: number): boolean {
  return targetOf(fd) === "anon_inode:[eventfd]";
}

/** What Linux calls an open descriptor; empty if it is not open. */
function targetOf(fd: number): string {
  const target = new Uint8Array(4096);
  const link = new TextEncoder().encode(`/proc/self/fd/${fd}\0`);
  const length = libc().readlink(link, target, target.length);
  return decoder.decode(target.subarray(0, Math.max(0, length)));
}

/** What Linux calls what has no path. */
const KINDS: Readonly<Record<string, string>> = {
  pipe: "a pipe",
  socket: "a socket",
  anon_inode: "an event counter",
};
