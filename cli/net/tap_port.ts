import { FRAME_HEADER } from "../../classes/network/mod.ts";
import {
  bringUp,
  clear,
  close,
  eventfd,
  openTap,
  pollAsync,
  POLLIN,
  type PollSet,
  read,
  signal,
  writeFrame,
} from "../../core/linux/mod.ts";
import type { FramePort } from "./bridge.ts";

/** Linux counts the header of a frame, too: 65535 is the longest frame of a tap. */
const MOST_MTU = 65535 - FRAME_HEADER;

/** A tap of this machine as one side of a bridge. Disposing it closes the tap. */
export interface TapPort extends FramePort, AsyncDisposable {
  /** The interface's name. */
  readonly name: string;
}

/**
 * Attaches to a tap, makes it if it is not there, and brings it up.
 *
 * @param mtu Most bytes of a packet; no more than a tap takes are used.
 */
export function tapPort(wanted: string, mtu: number): TapPort {
  const { fd, name } = openTap(wanted);
  const end = eventfd();
  const set: PollSet = Int32Array.of(fd, POLLIN, end, POLLIN);
  let waiting = Promise.resolve();
  try {
    bringUp(name, Math.min(mtu, MOST_MTU));
  } catch (error) {
    close(fd);
    close(end);
    throw error;
  }
  return {
    name,
    read: (into) => read(fd, into),
    write: (frame) => writeFrame(fd, frame),
    readable() {
      waiting = pollAsync(set, 2, -1).then(() => void clear(end));
      return waiting;
    },
    wake: () => signal(end),
    async [Symbol.asyncDispose]() {
      // Another thread may still wait on both.
      signal(end);
      await waiting;
      close(fd);
      close(end);
    },
  };
}
