import { close, eventfd, pipe, setNonBlocking, signal, writer } from "../../core/linux/fd.ts";

/** A descriptor by which a simulated device interrupts. */
export interface InterruptLine extends Disposable {
  /** Readable after an interrupt, 8 bytes at a time, as an eventfd. */
  readonly fd: number;
  /** Interrupts. */
  signal(): void;
}

/** What becomes of an honest device's interrupts. */
export function eventLine(): InterruptLine {
  const fd = eventfd();
  return { fd, signal: () => signal(fd), [Symbol.dispose]: () => close(fd) };
}

/** How often a storm is fed, in milliseconds, and with how many bytes: as many as a pipe takes. */
const STORM_MS = 1;
const STORM_BYTES = 65536;

/**
 * A line whose first interrupt never ends (D-67): each read finds another one, some millions of times a second.
 * An eventfd would forget them all at the first read.
 */
export function stormLine(): InterruptLine {
  const [fd, end] = pipe();
  setNonBlocking(end);
  const fill = writer(end, new Uint8Array(STORM_BYTES));
  let timer: ReturnType<typeof setInterval> | undefined;
  return {
    fd,
    signal() {
      if (timer !== undefined) return;
      fill();
      timer = setInterval(fill, STORM_MS);
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      close(fd);
      close(end);
    },
  };
}
