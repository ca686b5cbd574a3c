/** Whether VIRTIO_F_RING_PACKED was agreed. */
export type QueueKind = "split" | "packed";

/**
 * Where the parts of a virtqueue are in its arena. All offsets are bytes from the start of the arena.
 *
 * What the device may write stands on pages of its own, so that it never shares one with what the driver trusts.
 */
export interface QueueLayout {
  /** Which kind of ring it is. */
  readonly kind: QueueKind;
  /** Number of entries. */
  readonly size: number;
  /** Descriptor area (virtio 1.4, 2.6): the descriptor table of a split ring, the descriptor ring of a packed one. */
  readonly descriptors: number;
  /** Driver area: the available ring (2.7.6) or the driver's event suppression (2.8.10). */
  readonly driver: number;
  /** Device area: the used ring (2.7.8) or the device's event suppression. */
  readonly device: number;
  /** First indirect table (2.7.5.3); one of `segments` descriptors for each entry. Undefined without them. */
  readonly indirect?: number;
  /** The most descriptors that one chain may have. */
  readonly segments: number;
  /** First byte behind the queue, at a page boundary. */
  readonly end: number;
}

/** Bytes of one descriptor. */
export const DESCRIPTOR_BYTES = 16;
/** Bytes of an event suppression structure. */
const EVENT_BYTES = 4;
/** The most descriptors in one indirect table here: a page of them. */
export const MOST_SEGMENTS = 256;
/** The largest queue that the specification allows (2.7, 2.8). */
export const LARGEST_QUEUE = 32768;

const PAGE = 4096;
const pageUp = (bytes: number) => Math.ceil(bytes / PAGE) * PAGE;

/** Why `size` cannot be the size of a virtqueue, or undefined if it can (2.7, 2.8.10.1). */
export function wrongSize(size: number, kind: QueueKind = "split"): string | undefined {
  if (!Number.isInteger(size) || size < 1 || size > LARGEST_QUEUE) {
    return `it must be a whole number from 1 to ${LARGEST_QUEUE}`;
  }
  if (kind === "split" && (size & (size - 1)) !== 0) return "it must be a power of two";
  return undefined;
}

/**
 * Lays out a split virtqueue from `start` on.
 *
 * @param indirectSegments Descriptors in each indirect table, at most {@linkcode MOST_SEGMENTS}; 0 for none.
 * @param start A multiple of the page size.
 */
export function layoutSplit(
  start: number,
  size: number,
  indirectSegments: number,
): QueueLayout {
  checkSize(size, "split");
  const descriptors = start;
  const driver = descriptors + DESCRIPTOR_BYTES * size;
  const device = pageUp(driver + 6 + 2 * size);
  const end = pageUp(device + 6 + 8 * size);
  return {
    kind: "split",
    size,
    descriptors,
    driver,
    device,
    ...tables(size, indirectSegments, end),
  };
}

/** Lays out a packed virtqueue, with the parameters of {@linkcode layoutSplit}. */
export function layoutPacked(
  start: number,
  size: number,
  indirectSegments: number,
): QueueLayout {
  checkSize(size, "packed");
  const descriptors = start;
  const device = descriptors + DESCRIPTOR_BYTES * size;
  const driver = pageUp(device + EVENT_BYTES);
  const end = pageUp(driver + EVENT_BYTES);
  return {
    kind: "packed",
    size,
    descriptors,
    driver,
    device,
    ...tables(size, indirectSegments, end),
  };
}

function checkSize(size: number, kind: QueueKind): void {
  const wrong = wrongSize(size, kind);
  if (wrong) throw new RangeError(`Cannot lay out a queue of ${size}: ${wrong}`);
}

/** Indirect tables from `start` on, and the end of them. */
function tables(
  size: number,
  indirectSegments: number,
  start: number,
): Pick<QueueLayout, "segments" | "indirect" | "end"> {
  if (indirectSegments === 0) return { segments: size, end: start };
  // A table must not straddle a break in the arena: tables of a power of two bytes, so aligned, stay in a page.
  let segments = 1;
  while (segments < indirectSegments) segments *= 2;
  if (segments > MOST_SEGMENTS) {
    throw new RangeError(
      `Cannot lay out tables of ${indirectSegments}: more than ${MOST_SEGMENTS}`,
    );
  }
  return { segments, indirect: start, end: pageUp(start + DESCRIPTOR_BYTES * segments * size) };
}
