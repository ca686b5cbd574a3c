// Tap interfaces of Linux.

import { close, setNonBlocking } from "./fd.ts";
import { open } from "./file.ts";
import { libc } from "./libc.ts";
import { check, errno, OsError } from "./os_error.ts";
import { EAGAIN, EINTR, SOCK_CLOEXEC } from "./numbers.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFMTU = 0x8922;
const IFF_UP = 1;
const EIO = 5;
const ENOBUFS = 105;

/** struct ifreq: a name of 16 bytes with its NUL, then what it is about. */
const REQUEST_BYTES = 40;
const NAME_BYTES = 16;

/** A network interface of this machine whose cable ends in a descriptor: one frame a read, one a write. */
export interface Tap {
  /** Its name; the system chose the number if the one that was wanted has a `%d`. */
  readonly name: string;
  /** Does not block, and is closed on exec. What is bound to it and not persistent goes away with it. */
  readonly fd: number;
}

/**
 * Attaches to a tap interface, and makes it if there is none of that name.
 *
 * Safety: the requests are those of struct ifreq, all of whose bytes are there.
 *
 * @throws OsError If that is not allowed (CAP_NET_ADMIN is needed), or another program is attached.
 */
export function openTap(wanted: string): Tap {
  const request = interfaceRequest(wanted);
  new DataView(request.buffer).setUint16(NAME_BYTES, IFF_TAP | IFF_NO_PI, true);
  const fd = open("/dev/net/tun", 2);
  try {
    check(libc().ioctl(fd, TUNSETIFF, request), `Cannot attach to the tap ${wanted}`);
    setNonBlocking(fd);
  } catch (error) {
    close(fd);
    throw error;
  }
  const name = new TextDecoder().decode(request.subarray(0, request.indexOf(0)));
  return { name, fd };
}

/**
 * Says how long packets of an interface may be, and puts it to work.
 *
 * Safety: as for {@linkcode openTap}.
 */
export function bringUp(name: string, mtu: number): void {
  const action = `Cannot bring ${name} up`;
  const socket = check(libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), action);
  try {
    const request = interfaceRequest(name);
    const view = new DataView(request.buffer);
    view.setInt32(NAME_BYTES, mtu, true);
    check(libc().ioctl(socket, SIOCSIFMTU, request), `${action} with an MTU of ${mtu}`);
    check(libc().ioctl(socket, SIOCGIFFLAGS, request), action);
    view.setUint16(NAME_BYTES, view.getUint16(NAME_BYTES, true) | IFF_UP, true);
    check(libc().ioctl(socket, SIOCSIFFLAGS, request), action);
  } finally {
    close(socket);
  }
}

/**
 * Hands a frame to a tap.
 *
 * @returns Whether it was taken: not while the interface is down or has no room.
 */
export function writeFrame(fd: number, frame: Uint8Array<ArrayBuffer>): boolean {
  for (;;) {
    const put = libc().write(fd, frame, frame.length);
    if (put >= 0) return true;
    const error = errno();
    if (error === EAGAIN || error === EIO || error === ENOBUFS) return false;
    if (error !== EINTR) throw new OsError("Cannot hand a frame to the tap", error);
  }
}

/** What is wanted of an interface's name, for messages. */
export const INTERFACE_NAME: string = `1 to ${
  NAME_BYTES - 1
} bytes without blanks, slashes and colons`;

/** Whether Linux takes a name for an interface; `%d` in it stands for the first free number. */
export function isInterfaceName(name: string): boolean {
  const { length } = new TextEncoder().encode(name);
  return length > 0 && length < NAME_BYTES && name !== "." && name !== ".." &&
    !/[\s/:\0]/.test(name) && !name.replace("%d", "").includes("%");
}

function interfaceRequest(name: string): Uint8Array<ArrayBuffer> {
  const request = new Uint8Array(REQUEST_BYTES);
  const bytes = new TextEncoder().encode(name);
  if (!isInterfaceName(name)) {
    throw new RangeError(
      `Cannot name a network interface ${JSON.stringify(name)}: wanted ${INTERFACE_NAME}`,
    );
  }
  request.set(bytes);
  return request;
}
