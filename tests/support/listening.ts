/**
 * Whether programs listen at sockets.
 *
 * @module
 */

/** In a line of `/proc/net/unix`: connections are accepted. */
const ACCEPTS = "00010000";

/** Whether a program listens at a path. A socket has its name before: who connects then is refused. */
export function listening(path: string): boolean {
  return Deno.readTextFileSync("/proc/net/unix").split("\n")
    .some((line) => line.endsWith(` ${path}`) && line.split(/ +/)[3] === ACCEPTS);
}

/** Whether something is at a path, which must not be a socket where no program listens yet. */
export function isUp(path: string): boolean {
  try {
    return !Deno.lstatSync(path).isSocket || listening(path);
  } catch {
    return false;
  }
}
