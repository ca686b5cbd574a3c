import { FRAME_HEADER } from "../../classes/network/mod.ts";
import { abortable } from "@std/async";
import type { Card } from "./card.ts";

/** One side of a bridge: frames without an end, one at a time. */
export interface FramePort {
  /** Takes a frame that is there; −1 if there is none now. */
  read(into: Uint8Array<ArrayBuffer>): number;
  /** Hands a frame over; false if it is not taken. */
  write(frame: Uint8Array<ArrayBuffer>): boolean;
  /** Waits until there may be a frame, or until {@linkcode FramePort.wake}. */
  readable(): Promise<void>;
  /** Ends a wait. */
  wake(): void;
}

/** What went one way. */
export interface Passed {
  frames: number;
  bytes: number;
  /** Frames that were not taken on the other side, or came too fast. */
  dropped: number;
}

/** What went both ways. */
export interface BridgeFigures {
  /** From the port to the card. */
  readonly sent: Passed;
  /** From the card to the port. */
  readonly received: Passed;
  /** Whether it ended because the card was gone. */
  readonly gone: boolean;
}

/** Bytes of the longest frame that a port may have. */
const LONGEST = 65536;
/** Bytes of a VLAN tag. */
const TAG = 4;
/** Frames of one side, until the other has its turn. */
const BATCH = 64;

/** Passes frames between a card and a port until `signal` is aborted. */
export async function bridge(
  card: Pick<Card, "frames" | "send" | "trySend" | "mtu">,
  port: FramePort,
  signal: AbortSignal,
): Promise<BridgeFigures> {
  const [sent, received] = [0, 0].map((): Passed => ({ frames: 0, bytes: 0, dropped: 0 }));
  const over = new AbortController();
  const ended = AbortSignal.any([signal, over.signal]);
  using frames = card.frames();
  const stop = () => {
    frames[Symbol.dispose]();
    port.wake();
  };
  ended.addEventListener("abort", stop, { once: true });
  if (ended.aborted) stop();
  // If one side fails, the other has to end, too.
  const together = async (side: () => Promise<void>) => {
    try {
      await side();
    } finally {
      over.abort();
    }
  };
  const sides = await Promise.allSettled([together(toCard), together(toPort)]);
  for (const side of sides) if (side.status === "rejected") throw side.reason;
  received!.dropped += frames.dropped;
  return { sent: sent!, received: received!, gone: !signal.aborted };

  async function toCard(): Promise<void> {
    const buffer = new Uint8Array(LONGEST);
    while (!ended.aborted) {
      for (let i = 0; i < BATCH; i++) {
        const length = port.read(buffer);
        if (length < 0) break;
        if (length > card.mtu + FRAME_HEADER + TAG || length < FRAME_HEADER) {
          sent!.dropped++;
          continue;
        }
        const frame = buffer.subarray(0, length);
        // Where there is no room the port's own queue is what fills up, and drops.
        if (!card.trySend(frame)) {
          await abortable(card.send(frame), ended).catch(unlessEnded);
          if (ended.aborted) return;
        }
        count(sent!, length);
      }
      await port.readable();
    }
  }

  /** A card that sends nothing must not keep a bridge from its end. */
  function unlessEnded(error: unknown): void {
    if (!ended.aborted) throw error;
  }

  async function toPort(): Promise<void> {
    for await (const { bytes, checksum } of frames) {
      // What was put together has no checksums, and is too long.
      if (checksum !== "partial" && port.write(bytes)) count(received!, bytes.length);
      else received!.dropped++;
    }
  }
}

function count(passed: Passed, bytes: number): void {
  passed.frames++;
  passed.bytes += bytes;
}
