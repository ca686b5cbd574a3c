// Serves a device model by vhost-user.

import { InterruptLoop, type Loop } from "../core/irq/interrupt_loop.ts";
import { monotonicClock } from "../core/linux/clock.ts";
import { close } from "../core/linux/fd.ts";
import { accept, listenUnix, type UnixListener } from "../core/linux/socket.ts";
import { Trace, type TraceSink } from "../core/trace/trace.ts";
import type { DeviceModel } from "../simulation/model.ts";
import { BackEnd } from "./back_end.ts";
import { Connection } from "./vhost_user_connection.ts";
import { type ServedFigures, Witness } from "./witness.ts";

/** How a device is served. */
export interface ServeOptions {
  /** Whether it ends when the first machine has left; false if left out. */
  readonly once?: boolean;
  /** Queues that a machine counts as one: 2 for a network device, whose queues come in pairs; 1 if left out. */
  readonly unit?: number;
  /** Takes sentences for people: which client came, which left and why. */
  readonly log?: (line: string) => void;
  /** What waits for socket and notifications; one of its own if left out. */
  readonly loop?: Loop;
  /** What the device is called in a trace; `"device"` if left out. */
  readonly name?: string;
  /** Takes what machine and guest do with the device. */
  readonly trace?: TraceSink;
  /** Whether requests, doorbells and interrupts are counted; false if left out. */
  readonly counted?: boolean;
}

/** What of a lie there is room for: where a machine plays the registers, none of PCI gets through. */
const TELLABLE = [
  "queue",
  "interrupt",
  "features",
  "deviceConfig",
  "attach",
  "read",
  "write",
] as const;

/** How long to rest when no connection can be taken, in milliseconds. */
const AGAIN_MS = 1000;

/** A device that is served to other programs, until it is disposed. */
export interface ServedDevice extends AsyncDisposable {
  /** Whether a machine uses it now. */
  readonly connected: boolean;
  /**
   * Resolves when the first machine has left, if it is served {@linkcode ServeOptions.once}, or when it is served no
   * more; with the reason, if that machine broke the rules.
   */
  readonly ended: Promise<string | undefined>;
  /** What was seen of it so far, if that is counted or traced. */
  readonly figures: ServedFigures | undefined;
}

/**
 * Serves a device model to a virtual machine by vhost-user: to one at a time, and to the next when that has left. The
 * machine is not trusted, nor is what runs in it: one that breaks the rules is disconnected, and everything of it is
 * gone.
 *
 * The guest's memory must be files that cannot shrink, as QEMU makes them by
 * `-object memory-backend-memfd,id=memory,size=…,share=on -machine memory-backend=memory`.
 *
 * @example
 * ```ts
 * import { serveVhostUser } from "@virtio/deno/serve";
 * import type { DeviceModel } from "@virtio/deno/simulation";
 *
 * const zeroes: DeviceModel = { id: 4, queues: [64], handle: (_, request) => request.writable };
 * const served = serveVhostUser(zeroes, "/tmp/zeroes.sock", { log: console.log });
 * await served.ended;
 * ```
 *
 * @param socket Path of the Unix socket. What a server that is no more has left there is taken over.
 * @throws {RangeError} If the model lies about what the machine plays itself.
 * @throws {PathTaken} If another program listens there, or another file is there.
 * @throws {OsError} If that is not possible at this path.
 */
export function serveVhostUser(
  model: DeviceModel,
  socket: string,
  options: ServeOptions = {},
): ServedDevice {
  const untold = model.lies?.find((lie) => TELLABLE.every((hook) => lie[hook] === undefined));
  if (untold) {
    throw new RangeError(
      `Cannot lie as ${untold.id} by vhost-user: it ${untold.does}, and the machine plays that part`,
    );
  }
  return new Server(model, socket, options);
}

class Server implements ServedDevice {
  readonly #listener: UnixListener;
  readonly #loop: Loop;
  readonly #own: InterruptLoop | undefined;
  readonly #backEnd: BackEnd;
  readonly #options: ServeOptions;
  readonly #log: (line: string) => void;
  readonly #trace: Trace | undefined;
  readonly #witness: Witness | undefined;
  readonly #ended = Promise.withResolvers<string | undefined>();
  #connection: Connection | undefined;
  #came = 0;
  #again: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(model: DeviceModel, socket: string, options: ServeOptions) {
    const { unit = 1, log = () => {}, loop, name = "device", trace, counted = false } = options;
    this.#options = options;
    this.#log = log;
    this.#listener = listenUnix(socket);
    this.#trace = trace && new Trace(trace, monotonicClock());
    const watched = this.#trace !== undefined || counted;
    const witness = this.#witness = watched
      ? new Witness(this.#trace?.device(name, "vhost-user"), true)
      : undefined;
    this.#own = loop ? undefined : new InterruptLoop();
    this.#loop = loop ?? this.#own!;
    try {
      this.#backEnd = new BackEnd(model, {
        ...{ loop: this.#loop, log, unit },
        ...(witness && { witness }),
      });
    } catch (error) {
      this.#listener.close();
      this.#trace?.[Symbol.dispose]();
      void this.#own?.[Symbol.asyncDispose]();
      throw error;
    }
    this.#listen();
    this.#own?.start();
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  get figures(): ServedFigures | undefined {
    return this.#witness?.figures;
  }

  get ended(): Promise<string | undefined> {
    return this.#ended.promise;
  }

  #listen(): void {
    const { fd } = this.#listener;
    this.#loop.add(fd, () => {
      try {
        for (let each; !this.#closed && (each = accept(fd)) >= 0;) this.#connect(each);
      } catch (error) {
        // No descriptors are left, for example. They may be later.
        this.#log((error as Error).message);
        this.#loop.remove(fd);
        this.#again = setTimeout(() => this.#listen(), AGAIN_MS);
      }
    });
  }

  #connect(fd: number): void {
    const number = ++this.#came;
    // It may have left, unheard so far.
    this.#connection?.read();
    if (this.#connection) {
      close(fd);
      return this.#log(`machine ${number} was turned away: another one uses the device`);
    }
    this.#log(`machine ${number} came`);
    this.#witness?.came();
    this.#connection = new Connection(fd, this.#loop, this.#backEnd, (why) => {
      this.#connection = undefined;
      this.#witness?.left(why);
      this.#log(`machine ${number} left${why === undefined ? "" : `: ${why}`}`);
      if (this.#options.once) {
        this.#ended.resolve(why);
        void this[Symbol.asyncDispose]();
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      clearTimeout(this.#again);
      this.#loop.remove(this.#listener.fd);
      this.#listener.close();
      this.#connection?.[Symbol.dispose]();
      this.#connection = undefined;
      this.#backEnd[Symbol.dispose]();
      this.#trace?.[Symbol.dispose]();
      this.#ended.resolve(undefined);
    }
    await this.#own?.[Symbol.asyncDispose]();
  }
}
