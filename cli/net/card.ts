/**
 * What the commands need of a network card. Tests hand in a fake.
 *
 * @module
 */

/** A frame that came in. */
export interface CardFrame {
  /** From the destination address on, without the checksum at its end. */
  readonly bytes: Uint8Array;
  /** Whether the checksum of what it carries was checked, is left to us, or is not known. */
  readonly checksum: "valid" | "partial" | "unknown";
}

/** Frames as they come in. Disposing it ends the iteration. */
export interface CardFrames extends AsyncIterable<CardFrame>, Disposable {
  /** Frames that nobody took in time. */
  readonly dropped: number;
}

/** A network card at work. */
export interface Card {
  /** Its hardware address. */
  readonly mac: Uint8Array;
  /** Most bytes of a frame's payload. */
  readonly mtu: number;
  /** Whether its cable is plugged in, so to say. */
  readonly linkUp: boolean;
  /** Frames from now on. */
  frames(): CardFrames;
  /** Sends a frame, as soon as there is room. */
  send(frame: Uint8Array): Promise<void>;
  /** Sends a frame if there is room now. */
  trySend(frame: Uint8Array): boolean;
  /** Says whether frames for others are wanted, too. */
  setPromiscuous(on: boolean): Promise<void>;
}
