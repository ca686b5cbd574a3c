/**
 * What a console device and its driver say to each other: names, numbers and offsets of the specification
 * (virtio 1.4, 5.3), without the prefix `VIRTIO_CONSOLE_`. All fields are little-endian.
 *
 * @module
 */

/** Device id of the console device (5.3.1). */
export const DEVICE_ID = 3;

// Feature bits (5.3.3), as masks.

/** `cols` and `rows` are there. */
export const F_SIZE = 1n << 0n;
/** There may be several ports, and there are control queues. */
export const F_MULTIPORT = 1n << 1n;
/** `emerg_wr` is there. */
export const F_EMERG_WRITE = 1n << 2n;

// Device configuration (5.3.4): offset of each field in bytes. Behind each, its width in bits.

/** Columns of the console (16); with {@linkcode F_SIZE}, as the next one. */
export const CONFIG_COLS = 0;
/** Rows of the console (16). */
export const CONFIG_ROWS = 2;
/** The most ports that there can be (32); with {@linkcode F_MULTIPORT}. */
export const CONFIG_MAX_NR_PORTS = 4;
/** A byte that is written here comes out at once (32); with {@linkcode F_EMERG_WRITE}. */
export const CONFIG_EMERG_WR = 8;
/** Length of the whole structure in bytes. */
export const CONFIG_BYTES = 12;

// Queues (5.3.2): those of port 0, then those for control, then those of the other ports.

/** Where the device puts control messages. */
export const CONTROL_RECEIVEQ = 2;
/** Where the driver puts control messages. */
export const CONTROL_TRANSMITQ = 3;

/** The queue in which a port's bytes come from the device. The next one is for those that go to it. */
export function receiveq(port: number): number {
  return port === 0 ? 0 : 2 * port + 2;
}

// A control message (5.3.6.2) is a header, and for some events more.

/** Length of the header in bytes: a port (32 bits), an event (16), a value (16). */
export const CONTROL_BYTES = 8;
/** Offset of the port's number. */
export const CONTROL_ID = 0;
/** Offset of the event. */
export const CONTROL_EVENT = 4;
/** Offset of the value. */
export const CONTROL_VALUE = 6;

/** From the driver: it is ready (value 1), or failed (0). */
export const DEVICE_READY = 0;
/** From the device: there is a new port. */
export const DEVICE_ADD = 1;
/** From the device: the port is gone. */
export const DEVICE_REMOVE = 2;
/** From the driver: the port is ready (value 1), or cannot be used (0). */
export const PORT_READY = 3;
/** From the device: the port is a console. */
export const CONSOLE_PORT = 4;
/** From the device: the console's size has changed. Behind the header: two fields of 16 bits, columns and rows. */
export const RESIZE = 5;
/** From either: its side of the port is open (value 1) or closed (0). */
export const PORT_OPEN = 6;
/** From the device: the port has a name. Behind the header: the name in UTF-8, without an end. */
export const PORT_NAME = 7;

/** Bytes behind the header of {@linkcode RESIZE}. */
export const RESIZE_BYTES = 4;
