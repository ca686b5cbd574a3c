import { VhostFault } from "./fault.ts";

/** How a payload of the protocol is written: plain data on one side, bytes on the other. */
export interface Payload<T> {
  /** The sizes that it has, in words. */
  readonly sizes: string;
  /** Whether it can have so many bytes. */
  fits(bytes: number): boolean;
  /** Its bytes. */
  encode(value: T): Uint8Array<ArrayBuffer>;
  /**
   * What its bytes mean, of which there are as many as fit.
   *
   * @throws {VhostFault} If they contradict each other.
   */
  decode(view: DataView<ArrayBuffer>): T;
}

/** A payload of always the same size. */
function fixed<T>(
  bytes: number,
  write: (view: DataView<ArrayBuffer>, value: T) => void,
  decode: (view: DataView<ArrayBuffer>) => T,
): Payload<T> {
  return {
    sizes: bytes === 0 ? "none" : `${bytes} bytes`,
    fits: (count) => count === bytes,
    encode(value) {
      const view = new DataView(new ArrayBuffer(bytes));
      write(view, value);
      return new Uint8Array(view.buffer);
    },
    decode,
  };
}

/** Nothing at all. */
export const NOTHING: Payload<undefined> = fixed(0, () => {}, () => undefined);

/** A number of 64 bits. */
export const U64: Payload<bigint> = fixed(
  8,
  (view, value) => view.setBigUint64(0, value, true),
  (view) => view.getBigUint64(0, true),
);

/** A ring, and a number about it. */
export interface RingState {
  /** The ring. */
  readonly index: number;
  /** The number, of 32 bits. */
  readonly value: number;
}

/** {@linkcode RingState}. */
export const RING_STATE: Payload<RingState> = fixed(
  8,
  (view, { index, value }) => {
    view.setUint32(0, index, true);
    view.setUint32(4, value, true);
  },
  (view) => ({ index: view.getUint32(0, true), value: view.getUint32(4, true) }),
);

/** Where a ring lies, by addresses of the front-end's process. */
export interface RingAddresses {
  /** The ring. */
  readonly index: number;
  /** Bit 0: writes to the used ring are logged. */
  readonly flags: number;
  /** Descriptor area. */
  readonly descriptors: bigint;
  /** Device area, the used ring. */
  readonly used: bigint;
  /** Driver area, the available ring. */
  readonly available: bigint;
  /** Guest address that is logged. */
  readonly log: bigint;
}

/** {@linkcode RingAddresses}. */
export const RING_ADDRESSES: Payload<RingAddresses> = fixed(
  40,
  (view, { index, flags, descriptors, used, available, log }) => {
    view.setUint32(0, index, true);
    view.setUint32(4, flags, true);
    [descriptors, used, available, log].forEach((each, i) =>
      view.setBigUint64(8 + 8 * i, each, true)
    );
  },
  (view) => ({
    index: view.getUint32(0, true),
    flags: view.getUint32(4, true),
    descriptors: view.getBigUint64(8, true),
    used: view.getBigUint64(16, true),
    available: view.getBigUint64(24, true),
    log: view.getBigUint64(32, true),
  }),
);

/** A ring, and whether a descriptor comes for it. */
export interface RingDescriptor {
  /** The ring, up to 255. */
  readonly index: number;
  /** Whether there is none: the other side looks by itself. */
  readonly none: boolean;
}

/** Bit of {@linkcode RING_DESCRIPTOR}: no descriptor comes. */
const NO_DESCRIPTOR = 1 << 8;

/** {@linkcode RingDescriptor}. */
export const RING_DESCRIPTOR: Payload<RingDescriptor> = fixed(
  8,
  (view, { index, none }) => view.setUint32(0, index | (none ? NO_DESCRIPTOR : 0), true),
  (view) => {
    const word = view.getUint32(0, true);
    if (word >= 2 * NO_DESCRIPTOR || view.getUint32(4, true) !== 0) {
      throw new VhostFault(`it has bits that mean nothing (0x${word.toString(16)})`);
    }
    return { index: word & 0xff, none: (word & NO_DESCRIPTOR) !== 0 };
  },
);

/** A part of the guest's memory. */
export interface MemoryRegion {
  /** Its address as the guest knows it. */
  readonly guest: bigint;
  /** Its length in bytes. */
  readonly size: bigint;
  /** Its address in the front-end's process. */
  readonly user: bigint;
  /** Its first byte in the file whose descriptor comes along. */
  readonly offset: bigint;
}

const REGION_BYTES = 32;

function writeRegion(view: DataView, at: number, { guest, size, user, offset }: MemoryRegion) {
  [guest, size, user, offset].forEach((each, i) => view.setBigUint64(at + 8 * i, each, true));
}

function readRegion(view: DataView, at: number): MemoryRegion {
  return {
    guest: view.getBigUint64(at, true),
    size: view.getBigUint64(at + 8, true),
    user: view.getBigUint64(at + 16, true),
    offset: view.getBigUint64(at + 24, true),
  };
}

/** One region. */
export const REGION: Payload<MemoryRegion> = fixed(
  8 + REGION_BYTES,
  (view, region) => writeRegion(view, 8, region),
  (view) => readRegion(view, 8),
);

/** The most regions that one message can name. */
export const MOST_TABLE_REGIONS = 8;

/** All the regions of a guest, up to {@linkcode MOST_TABLE_REGIONS}. */
export const MEMORY_TABLE: Payload<readonly MemoryRegion[]> = {
  sizes: `8 bytes and ${REGION_BYTES} for each of up to ${MOST_TABLE_REGIONS} regions`,
  fits: (bytes) => bytes % REGION_BYTES === 8 && bytes <= 8 + REGION_BYTES * MOST_TABLE_REGIONS,
  encode(regions) {
    const view = new DataView(new ArrayBuffer(8 + REGION_BYTES * regions.length));
    view.setUint32(0, regions.length, true);
    regions.forEach((region, i) => writeRegion(view, 8 + REGION_BYTES * i, region));
    return new Uint8Array(view.buffer);
  },
  decode(view) {
    const count = view.getUint32(0, true);
    const room = (view.byteLength - 8) / REGION_BYTES;
    if (count !== room) throw new VhostFault(`it says ${count} regions and has ${room}`);
    return Array.from({ length: count }, (_, i) => readRegion(view, 8 + REGION_BYTES * i));
  },
};

/** A part of the device's configuration. */
export interface ConfigPart {
  /** Its first byte. */
  readonly offset: number;
  /** For a write: 0 if the driver wrote, 1 if it is a migration. */
  readonly flags: number;
  /** Its bytes; of a question, as many as are wanted. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const CONFIG_HEADER = 12;
/** The most bytes of a configuration that the protocol knows. */
export const MOST_CONFIG = 256;

/** {@linkcode ConfigPart}. */
export const CONFIG: Payload<ConfigPart> = {
  sizes: `${CONFIG_HEADER} bytes and 1 to ${MOST_CONFIG} more`,
  fits: (bytes) => bytes > CONFIG_HEADER && bytes <= CONFIG_HEADER + MOST_CONFIG,
  encode({ offset, flags, bytes }) {
    const all = new Uint8Array(CONFIG_HEADER + bytes.length);
    const view = new DataView(all.buffer);
    view.setUint32(0, offset, true);
    view.setUint32(4, bytes.length, true);
    view.setUint32(8, flags, true);
    all.set(bytes, CONFIG_HEADER);
    return all;
  },
  decode(view) {
    const [offset, size] = [view.getUint32(0, true), view.getUint32(4, true)];
    const room = view.byteLength - CONFIG_HEADER;
    if (size !== room) throw new VhostFault(`it says ${size} bytes and has ${room}`);
    if (offset + size > MOST_CONFIG) {
      throw new VhostFault(
        `${size} bytes at ${offset} are behind the ${MOST_CONFIG} that there are`,
      );
    }
    const bytes = new Uint8Array(view.buffer, view.byteOffset + CONFIG_HEADER, size).slice();
    return { offset, flags: view.getUint32(8, true), bytes };
  },
};

/** The same, or nothing: that is how a back-end says that it cannot. */
export const CONFIG_OR_NOTHING: Payload<ConfigPart | undefined> = {
  sizes: `${CONFIG.sizes}, or none`,
  fits: (bytes) => bytes === 0 || CONFIG.fits(bytes),
  encode: (part) => part ? CONFIG.encode(part) : new Uint8Array(0),
  decode: (view) => view.byteLength === 0 ? undefined : CONFIG.decode(view),
};

/** The memory in which a back-end notes which requests it holds, so that the next one knows. */
export interface InFlightMemory {
  /** Its length in bytes. */
  readonly size: bigint;
  /** Its first byte in the file. */
  readonly offset: bigint;
  /** For how many rings it is. */
  readonly queues: number;
  /** Entries of each. */
  readonly queueSize: number;
  /** Whether it is written with the padding that a C compiler puts behind it. */
  readonly padded: boolean;
}

/** {@linkcode InFlightMemory}. */
export const IN_FLIGHT: Payload<InFlightMemory> = {
  sizes: "20 or 24 bytes",
  fits: (bytes) => bytes === 20 || bytes === 24,
  encode({ size, offset, queues, queueSize, padded }) {
    const view = new DataView(new ArrayBuffer(padded ? 24 : 20));
    view.setBigUint64(0, size, true);
    view.setBigUint64(8, offset, true);
    view.setUint16(16, queues, true);
    view.setUint16(18, queueSize, true);
    return new Uint8Array(view.buffer);
  },
  decode: (view) => ({
    size: view.getBigUint64(0, true),
    offset: view.getBigUint64(8, true),
    queues: view.getUint16(16, true),
    queueSize: view.getUint16(18, true),
    padded: view.byteLength === 24,
  }),
};
