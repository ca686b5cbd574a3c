/**
 * The URI under which programs find an export at a Unix socket, whatever characters its name and the path have
 * (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md).
 */
export function nbdUri(name: string, socket: string): string {
  const path = socket.split("/").map(encodeURIComponent).join("/");
  return `nbd+unix:///${encodeURIComponent(name)}?socket=${path}`;
}
