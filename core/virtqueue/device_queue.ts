/** A request as the device sees it. Made once and filled again for each request. */
export interface Chain {
  /** Descriptor that names the request in the used ring. */
  head: number;
  /** How many buffers the arrays below describe; the readable ones come first. */
  count: number;
  /** How many of them the device may only read. */
  readable: number;
  /** Address of each buffer as the device knows it. */
  readonly address: Float64Array<ArrayBuffer>;
  /** Length of each in bytes. */
  readonly length: Uint32Array<ArrayBuffer>;
}

/** A chain with room for `segments` buffers. */
export function chain(segments: number): Chain {
  return {
    head: 0,
    count: 0,
    readable: 0,
    address: new Float64Array(segments),
    length: new Uint32Array(segments),
  };
}

/** The device side of a virtqueue. What the driver writes is read once and checked. */
export interface DeviceQueue {
  /** Number of entries. */
  readonly size: number;
  /**
   * Takes the next available request into `chain`; false if there is none.
   *
   * @throws DriverFault If the driver's chain breaks the rules (loop, index out of range, and so on).
   */
  take(chain: Chain): boolean;
  /** Hands a request back, `written` bytes filled. The driver sees it after {@linkcode publish}. */
  put(head: number, written: number): void;
  /** Shows all that was put to the driver. Returns whether it wants an interrupt for it. */
  publish(): boolean;
  /** Asks for a notification at the next request. Returns true if requests came meanwhile: look again. */
  arm(): boolean;
}

/** The driver broke the rules of the ring; the device stops and sets DEVICE_NEEDS_RESET (2.1.1). */
export class DriverFault extends Error {
  override readonly name = "DriverFault";
}
