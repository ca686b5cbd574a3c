/**
 * Where the parts of a virtqueue are in its arena. All offsets are bytes from the start of the arena.
 *
 * What the device may write stands on pages of its own, so that it never shares one with what the driver trusts.
 */
export interface QueueLayout {
  /** Number of entries. */
  readonly size: number;
  /** Descriptor table (virtio 1.4, 2.7.5). */
  readonly descriptors: number;
  /** Driver area: the available ring (2.7.6). */
  readonly driver: number;
  /** Device area: the used ring (2.7.8). */
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
/** The most descriptors in one indirect table here: a page of them. */
export const MOST_SEGMENTS = 256;
/** The largest queue that the specification allows (2.7). */
export const LARGEST_QUEUE = 32768;

const PAGE = 4096;
const pageUp = (bytes: number) => Math.ceil(bytes / PAGE) * PAGE;

/** Why `size` cannot be the size of a split virtqueue, or undefined if it can (2.7). */
export function wrongSize(size: number): string | undefined {
  if (!Number.isInteger(size) || size < 1 || size > LARGEST_QUEUE) {
    return `it must be a whole number from 1 to ${LARGEST_QUEUE}`;
  }
  if ((size & (size - 1)) !== 0) return "it must be a power of two";
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
  const wrong = wrongSize(size);
  if (wrong) throw new RangeError(`Cannot lay out a queue of ${size}: ${wrong}`);
  const descriptors = start;
  const driver = descriptors + DESCRIPTOR_BYTES * size;
  const device = pageUp(driver + 6 + 2 * size);
  const end = pageUp(device + 6 + 8 * size);
  if (indirectSegments === 0) return { size, descriptors, driver, device, segments: size, end };
  // A table must not straddle a break in the arena: tables of a power of two bytes, so aligned, stay in a page.
  let segments = 1;
  while (segments < indirectSegments) segments *= 2;
  if (segments > MOST_SEGMENTS) {
    throw new RangeError(
      `Cannot lay out tables of ${indirectSegments}: more than ${MOST_SEGMENTS}`,
    );
  }
  const tables = DESCRIPTOR_BYTES * segments * size;
  return { size, descriptors, driver, device, segments, indirect: end, end: pageUp(end + tables) };
}
