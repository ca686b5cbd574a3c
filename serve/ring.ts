import { close } from "../core/linux/fd.ts";

/** A ring as a front-end of vhost-user describes it. */
export class Ring {
  size = 0;
  /** By addresses of the front-end's process. */
  areas: { descriptors: number; driver: number; device: number } | undefined;
  base = 0;
  /** Descriptors, −1 for none. */
  kick = -1;
  call = -1;
  error = -1;
  /** Whether the front-end has said how it notifies: by the descriptor, or not at all. */
  started = false;
  enabled = false;
  running = false;

  /** As after power-on. */
  constructor(readonly index: number) {}

  /** Takes another descriptor, −1 for none; the one before is closed. */
  take(which: "kick" | "call" | "error", fd: number): void {
    if (this[which] >= 0) close(this[which]);
    this[which] = fd;
  }
}
