import { NetSegmentation } from "./protocol.ts";

/** A frame that came. */
export interface Frame {
  /** The frame from the first address on, without padding and checksum (FCS) of the wire. A copy of one's own. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What is known of its checksum. Partial is only a frame that was put together; others are completed on their way. */
  readonly checksum: "unknown" | "valid" | "partial";
  /** The queue pair that it came by. */
  readonly pair: number;
  /** The hash that the device made of it, and what of: virtio 1.4, 5.1.9.4.4. */
  readonly hash?: { readonly value: number; readonly type: number };
  /** If it was put together of several, how. */
  readonly segmentation?: Segmentation;
}

/** How a long frame is cut into segments. */
export interface Segmentation {
  /** What is cut. */
  readonly type: SegmentationType;
  /** Bytes of data in each segment. */
  readonly size: number;
  /** Whether congestion bits are set. */
  readonly ecn?: boolean;
}

/** What may be cut into segments. */
export type SegmentationType = Exclude<keyof typeof NetSegmentation, "none" | "ecn">;

/** All of them. */
export const SEGMENTATIONS: readonly SegmentationType[] = ["tcp4", "tcp6", "udp", "udpFragments"];

/** A segmentation, of the word that a driver gave; undefined for none, and for an unknown one. */
export function segmentationOf(word: number): Segmentation | undefined {
  const type = SEGMENTATIONS.find((each) =>
    NetSegmentation[each] === (word & 0xff & ~NetSegmentation.ecn)
  );
  return type && { type, size: word >>> 16, ecn: (word & NetSegmentation.ecn) !== 0 };
}
