import type { Frame } from "../../classes/network/mod.ts";
import type { Card } from "./card.ts";
import { describeFrame } from "./describe_frame.ts";
import {
  type CaptureStatistics,
  enhancedPacket,
  interfaceDescription,
  interfaceStatistics,
  sectionHeader,
} from "./pcapng.ts";

/** Takes bytes; returns whether more are wanted. */
export type Write = (bytes: Uint8Array<ArrayBuffer>) => boolean;

/** What becomes of frames. */
export interface Sink {
  /** Called before all frames. */
  begin(): void;
  /** Called with each frame and its time, in milliseconds since 1970; returns whether more are wanted. */
  frame(frame: Frame, time: number): boolean;
  /** Called after all frames. */
  end(statistics: CaptureStatistics): void;
}

/** A line of text for each frame. */
export function textSink(write: Write): Sink {
  const encoder = new TextEncoder();
  return {
    begin() {},
    frame({ bytes }, time) {
      const micros = Math.floor(time % 1 * 1000).toString().padStart(3, "0");
      const clock = new Date(time).toISOString().slice(11, 23) + micros;
      return write(encoder.encode(`${clock} ${describeFrame(bytes)}\n`));
    },
    end() {},
  };
}

/** What a capture file says of itself. */
export interface CaptureOrigin {
  /** The program. */
  readonly application: string;
  /** The interface, and what it is. */
  readonly name: string;
  readonly description: string;
  readonly mac: Uint8Array;
  /** Bits a second, if known. */
  readonly speed?: number;
  /** Most bytes to keep of a frame. */
  readonly snapLength: number;
}

/** A capture file. */
export function captureSink(origin: CaptureOrigin, write: Write): Sink {
  return {
    begin() {
      write(sectionHeader(origin.application));
      write(interfaceDescription(origin));
    },
    frame: ({ bytes }, time) => write(enhancedPacket(time, bytes, origin.snapLength)),
    end: (statistics) => void write(interfaceStatistics(statistics)),
  };
}

/** When a capture ends by itself. */
export interface CaptureLimits {
  /** Frames. */
  readonly count: number;
  /** Milliseconds; undefined for no limit. */
  readonly time: number | undefined;
}

/** What came of a capture. */
export interface CaptureFigures {
  readonly captured: number;
  /** Frames that came in too fast. */
  readonly dropped: number;
  /** In the frames that were captured. */
  readonly bytes: number;
  /** Whether it ended because the card was gone. */
  readonly gone: boolean;
}

/** Hands frames to `sink` until there are enough, it wants no more, or `signal` is aborted. */
export async function capture(
  card: Pick<Card, "frames">,
  sink: Sink,
  { count, time }: CaptureLimits,
  signal: AbortSignal,
): Promise<CaptureFigures> {
  const now = () => performance.timeOrigin + performance.now();
  const start = now();
  const end = new AbortController();
  using frames = card.frames(undefined, end.signal);
  let gone = true;
  const stop = () => {
    gone = false;
    // What waits is captured, still.
    end.abort();
  };
  const timer = time === undefined ? undefined : setTimeout(stop, time);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  let captured = 0;
  let bytes = 0;
  try {
    sink.begin();
    for await (const frame of frames) {
      captured++;
      bytes += frame.bytes.length;
      if (!sink.frame(frame, now()) || captured >= count) {
        gone = false;
        break;
      }
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
  const { dropped } = frames;
  sink.end({ start, end: now(), received: captured + dropped, dropped });
  return { captured, dropped, bytes, gone };
}
