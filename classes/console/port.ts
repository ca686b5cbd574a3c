import { argument, RequestError, Status } from "../../core/class/mod.ts";
import { ByteQueue } from "./byte_queue.ts";
import { PortState } from "./protocol.ts";

/** Bytes that a port keeps for its reader, and the most that may wait to be written. */
export const PORT_BYTES: number = 2 ** 20;
/** The most bytes of one `read`. */
const READ_BYTES = 65536;
/** What is with the device when its port is closed has so long, in milliseconds: the other side may never read again. */
const LINGER_MS = 2000;

/** Columns and rows of a console. */
export interface ConsoleSize {
  /** Characters in a line. */
  readonly columns: number;
  /** Lines. */
  readonly rows: number;
}

/** Bytes on their way to the device: one call of `write`. */
interface Job {
  readonly bytes: Uint8Array;
  /** Their length; they may be taken away. */
  readonly length: number;
  /** Bytes for which a request was submitted. */
  submitted: number;
  /** Requests in flight. */
  pending: number;
  status: number;
  /** Whether the bytes were taken away meanwhile: then not all of them were written. */
  lost: boolean;
  /** Tells the application, the first time. */
  readonly settle: (status: number) => void;
}

/** What a port needs of its client. */
export interface PortWork {
  /** The most bytes of one `transmit`. */
  readonly slotBytes: number;
  /** Submits bytes, if there is a slot for them: `done` is called when that ends. Returns whether there was one. */
  readonly transmit: (bytes: Uint8Array, done: (status: number) => void) => boolean;
  /** Tells the device that the port is used, or is not. */
  readonly use: (open: boolean) => Promise<void>;
  /** There is room again for bytes that were held back. */
  readonly room: () => void;
}

/** What a driver says of a port. */
export interface PortNews {
  /** Bits of `PortState`. */
  readonly state: number;
  /** Its name, cleaned. */
  readonly name: string;
  /** The console's size, if it is known. */
  readonly size: ConsoleSize | undefined;
}

/** A port, and what its client does with it. */
export interface OpenPort {
  /** What the application holds. */
  readonly port: ConsolePort;
  /** Takes news over. Returns whether something differs from before. */
  readonly update: (news: PortNews) => boolean;
  /** The driver begins anew: what the other side does is not known for a while. */
  readonly suspend: () => void;
  /** Takes bytes from the device, which must not wait if they are the last ones. Returns whether there was room for them. */
  readonly take: (bytes: Uint8Array, last?: boolean) => boolean;
  /** The port is gone, with this `Status`: with its last bytes read, nothing goes any more. */
  readonly end: (status: number) => void;
}

/**
 * A port of a console device: bytes in both directions.
 *
 * Bytes from the device are kept up to 1 MiB; then the device gets no more room until they are read, so its other
 * side waits. Bytes for the device wait until the other side is open; at most 1 MiB may wait. Nothing is dropped but
 * what is unread when the port is closed.
 */
export class ConsolePort {
  /** Its number. */
  readonly id: number;
  readonly #work: PortWork;
  readonly #received = new ByteQueue(2 * PORT_BYTES);
  readonly #readers = new Set<() => void>();
  readonly #jobs: Job[] = [];
  /** Those and the ones that are with the device. */
  readonly #unsettled = new Set<Job>();
  /** Bytes of jobs that no request was submitted for. */
  #waiting = 0;
  #name = "";
  #size: ConsoleSize | undefined;
  #state = 0;
  #isConsole = false;
  /** Whether the application wants it open, and how often it did not any more. */
  #wanted = false;
  #closings = 0;
  #linger: ReturnType<typeof setTimeout> | undefined;
  /** Whether the other side has closed it and the reader does not know yet. */
  #closedThere = false;
  /** Why nothing goes any more. */
  #over: number | undefined;

  /** Makes a port; for its client. */
  static open(id: number, work: PortWork): OpenPort {
    const port = new ConsolePort(id, work);
    return {
      port,
      update: (state) => port.#update(state),
      suspend: () => port.#suspend(),
      take: (bytes, last) => port.#take(bytes, last),
      end: (status) => port.#end(status),
    };
  }

  private constructor(id: number, work: PortWork) {
    this.id = id;
    this.#work = work;
  }

  /** Its name, possibly none. What could steer a terminal or is no UTF-8 is replaced. */
  get name(): string {
    return this.#name;
  }

  /** Whether it is a console: open on both sides from the start. */
  get isConsole(): boolean {
    return this.#isConsole;
  }

  /** Whether it is open on this side. */
  get isOpen(): boolean {
    return this.#wanted && this.#over === undefined;
  }

  /** Whether the other side is open: a program listens there. */
  get connected(): boolean {
    return (this.#state & PortState.connected) !== 0;
  }

  /** The console's size, if the device tells it. */
  get size(): ConsoleSize | undefined {
    return this.#size;
  }

  /** Whether the port was taken away, or the device with it. */
  get isGone(): boolean {
    return this.#over !== undefined;
  }

  /** Bytes that can be read at once. */
  get readableBytes(): number {
    return this.#received.length;
  }

  /**
   * Opens the port. Settles when the device knows.
   *
   * @throws RequestError If the port goes away.
   */
  async open(): Promise<void> {
    this.#mustBe("open");
    if (this.#wanted) return;
    this.#wanted = true;
    try {
      await this.#work.use(true);
    } catch (error) {
      this.#wanted = false;
      throw error;
    }
  }

  /**
   * Closes the port. What is unread is dropped, and writes that wait for the other side are refused; those that the
   * device has got end within two seconds.
   *
   * @throws RequestError If the device does not take it.
   */
  async close(): Promise<void> {
    if (!this.isOpen) return;
    this.#wanted = false;
    this.#closings++;
    this.#received.clear();
    this.#closedThere = false;
    this.#refuse(Status.failed);
    const left = [...this.#unsettled];
    clearTimeout(this.#linger);
    if (left.length > 0) {
      this.#linger = setTimeout(() => left.forEach((job) => job.settle(Status.unknown)), LINGER_MS);
    }
    this.#wakeReaders();
    this.#work.room();
    await this.#work.use(false);
  }

  /**
   * Reads what is there, waiting for it if necessary.
   *
   * @param signal Ends the wait, and loses nothing.
   * @returns Some bytes; null once after the other side has closed the port, and when the port is closed or gone.
   * @throws RequestError If device or driver are gone for good.
   */
  async read(signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer> | null> {
    argument.abortSignal(signal, "ConsolePort.read", "signal")?.throwIfAborted();
    if (!this.isOpen && !this.isGone) {
      throw new TypeError(`Cannot read from ${this.#label}: it is not open`);
    }
    for (;;) {
      signal?.throwIfAborted();
      if (this.#received.length > 0) {
        const bytes = this.#received.shift(READ_BYTES);
        this.#work.room();
        return bytes;
      }
      if (this.#over === Status.gone) {
        throw this.#error(`Cannot read from ${this.#label}`, Status.gone);
      }
      if (!this.isOpen) return null;
      if (this.#closedThere) {
        this.#closedThere = false;
        return null;
      }
      await this.#arrival(signal);
    }
  }

  /** Waits until something may have changed for a reader. */
  async #arrival(signal?: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#readers.add(resolve);
    signal?.addEventListener("abort", resolve as () => void);
    await promise;
    signal?.removeEventListener("abort", resolve as () => void);
    this.#readers.delete(resolve);
  }

  /**
   * Writes bytes. They go when the other side is open. Settles when the device has taken all of them.
   *
   * @param bytes They must not change until then.
   * @throws RangeError If more than 1 MiB would wait, without doing anything: await earlier writes.
   * @throws RequestError If the port is closed or goes away before that, or the device is started anew while it has
   * some of them: then it is not known which it took.
   * @throws TypeError If it is not open, or the buffer is transferred or resized meanwhile.
   */
  async write(bytes: Uint8Array): Promise<void> {
    const own = argument.bytes(bytes, "ConsolePort.write", "bytes");
    const { length } = own;
    const action = `Cannot write ${length} bytes to ${this.#label}`;
    await new Promise<void>((resolve, reject) => {
      if (this.#over !== undefined) throw this.#error(action, this.#over);
      if (!this.isOpen) throw new TypeError(`${action}: it is not open`);
      if (this.#waiting > 0 && this.#waiting + length > PORT_BYTES) {
        throw new RangeError(
          `${action}: ${this.#waiting} wait already, and ${PORT_BYTES} may; await earlier writes`,
        );
      }
      if (length === 0) return resolve();
      const closings = this.#closings;
      const job: Job = {
        bytes: own,
        length,
        submitted: 0,
        pending: 0,
        status: Status.ok,
        lost: false,
        settle: (status) => {
          if (!this.#unsettled.delete(job)) return;
          if (this.#unsettled.size === 0) clearTimeout(this.#linger);
          if (job.lost) reject(argument.lostError(action));
          else if (status === Status.ok) resolve();
          else reject(this.#error(action, status, closings));
        },
      };
      this.#waiting += length;
      this.#unsettled.add(job);
      this.#jobs.push(job);
      this.#feed();
    });
  }

  /** A stream of what is read until the other side closes the port. A new one each time; one at a time makes sense. */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const cancelled = new AbortController();
    return new ReadableStream({
      pull: async (controller) => {
        try {
          const bytes = await this.read(cancelled.signal);
          if (bytes) controller.enqueue(bytes);
          else controller.close();
        } catch (error) {
          if (!cancelled.signal.aborted) throw error;
        }
      },
      cancel: () => cancelled.abort(),
    }, { highWaterMark: 0 });
  }

  /** A stream to write to. Its end does not close the port. A new one each time. */
  get writable(): WritableStream<Uint8Array> {
    return new WritableStream({ write: (bytes) => this.write(bytes) });
  }

  get #label(): string {
    return `port ${this.id}${this.#name === "" ? "" : ` (${this.#name})`}`;
  }

  #mustBe(verb: string): void {
    if (this.#over !== undefined) {
      throw this.#error(`Cannot ${verb} ${this.#label}`, this.#over);
    }
  }

  /** A request that failed did so because the port is not what it was. */
  #error(action: string, status: number, closings = this.#closings): RequestError {
    const closed = closings !== this.#closings;
    const why = closed ? "the port was closed" : "the port was taken away";
    const lost = status === Status.unknown && (closed || this.isGone);
    const reason = status === Status.failed
      ? why
      : lost
      ? `${why}; whether it was sent is not known`
      : undefined;
    return new RequestError(action, status, reason);
  }

  #update({ state, name, size }: PortNews): boolean {
    const before = this.#state;
    const same = state === before && name === this.#name &&
      size?.columns === this.#size?.columns && size?.rows === this.#size?.rows;
    this.#state = state;
    this.#name = name;
    this.#size = size;
    if (state & PortState.console && !this.#isConsole) {
      // The driver opens a console by itself.
      this.#isConsole = this.#wanted = true;
    }
    if (before & ~state & PortState.connected) {
      this.#closedThere = true;
      this.#wakeReaders();
    }
    this.#feed();
    return !same;
  }

  #suspend(): void {
    this.#state &= ~PortState.connected;
  }

  #take(bytes: Uint8Array, last = false): boolean {
    if (bytes.length === 0) return true;
    if (!last && this.#received.length + bytes.length > PORT_BYTES) return false;
    const taken = this.#received.push(bytes);
    this.#wakeReaders();
    return taken;
  }

  #end(status: number): void {
    if (this.#over !== undefined) return;
    this.#over = status;
    this.#refuse(status);
    // A device need not give back what it has got for a port that it took away.
    for (const job of this.#unsettled) job.settle(status === Status.gone ? status : Status.unknown);
    this.#wakeReaders();
  }

  /** Submits what there are slots for. */
  #feed(): void {
    for (let job = this.#jobs[0]; job && this.connected; job = this.#jobs[0]) {
      if (!this.#submit(job)) return;
    }
  }

  /** Submits the next part of a job. Returns false if there is no slot for it. */
  #submit(job: Job): boolean {
    if (this.#isLost(job)) return true;
    const { bytes, length, submitted } = job;
    const part = bytes.subarray(submitted, submitted + this.#work.slotBytes);
    // All of it before, since it may end before this returns.
    job.pending++;
    this.#move(job, part.length);
    const sent = this.#work.transmit(part, (status) => {
      job.pending--;
      job.status ||= status;
      job.lost ||= argument.isLost(bytes, length);
      if (job.status !== Status.ok || job.lost) this.#cutOff(job);
      if (job.pending === 0 && job.submitted === length) job.settle(job.status);
      this.#feed();
    });
    if (sent) return true;
    job.pending--;
    if (job.submitted === length) this.#jobs.unshift(job);
    this.#move(job, -part.length);
    return false;
  }

  /** Ends a job whose bytes were taken away, if so. */
  #isLost(job: Job): boolean {
    job.lost ||= argument.isLost(job.bytes, job.length);
    if (!job.lost) return false;
    this.#cutOff(job);
    if (job.pending === 0) job.settle(job.status);
    return true;
  }

  /** So many bytes more of a job do not wait any more; with the last of them it leaves the list. */
  #move(job: Job, length: number): void {
    job.submitted += length;
    this.#waiting -= length;
    if (job.submitted < job.length) return;
    const at = this.#jobs.indexOf(job);
    if (at >= 0) this.#jobs.splice(at, 1);
  }

  /** What a job has not submitted is not submitted any more. */
  #cutOff(job: Job): void {
    this.#move(job, job.length - job.submitted);
  }

  /** Refuses what waits; what is with the device comes to its own end. */
  #refuse(status: number): void {
    for (const job of [...this.#jobs]) {
      job.status ||= status;
      this.#cutOff(job);
      if (job.pending === 0) job.settle(job.status);
    }
  }

  #wakeReaders(): void {
    for (const wake of this.#readers) wake();
  }
}
