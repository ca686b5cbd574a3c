import type { BlockDevice } from "../classes/block/protocol.ts";
import { close } from "../core/linux/fd.ts";
import { POLLIN, POLLOUT } from "../core/linux/poll.ts";
import { accept, listenUnix, receive, sendNow, type UnixListener } from "../core/linux/socket.ts";
import type { Loop } from "../core/irq/interrupt_loop.ts";
import { Buffers } from "./buffers.ts";
import { Connection } from "./connection.ts";
import type { Export } from "./export.ts";
import { MOST_TEXT, textOf } from "./text.ts";

/** Clients that may be connected at a time; more have to wait. */
const MOST_CLIENTS = 64;
/** Buffers that are kept while they are not needed. */
const KEPT_BYTES = 64 << 20;
/** How long a client may take until it has chosen an export, in milliseconds. */
const HANDSHAKE_MS = 30_000;
/** How long to rest when no client can be taken, in milliseconds. */
const AGAIN_MS = 1000;
/** Receptions from one client before the others get their turn. */
const RECEPTIONS = 32;

/** How a disk is served. */
export interface ServeOptions {
  /** Path of the Unix socket. What a server that is no more has left there is taken over. */
  readonly socket: string;
  /** What waits for the socket: that of the kernel. */
  readonly loop: Loop;
  /** The name that clients may ask for, besides the empty one: up to 4096 bytes; `"disk"` if left out. */
  readonly name?: string;
  /** Whether clients must not write; false if left out. */
  readonly readOnly?: boolean;
  /** Milliseconds until a client that has not chosen an export has to leave; 30 000 if left out. */
  readonly handshake?: number;
  /** Takes lines for people. */
  readonly log?: (line: string) => void;
}

/**
 * Serves a disk by NBD at a Unix socket, to many clients at once. Clients are not asked for a name: a user who may open
 * the socket may use the disk.
 */
export class NbdServer implements Disposable {
  readonly #export: Export;
  readonly #options: ServeOptions;
  readonly #listener: UnixListener;
  readonly #clients = new Set<Client>();
  /** Clients that have come so far. */
  #came = 0;
  #again: ReturnType<typeof setTimeout> | undefined;

  /**
   * Listens.
   *
   * @throws PathTaken If another server is at work there, or another file is there.
   * @throws OsError If that is not possible at this path.
   * @throws RangeError If that can be no name.
   */
  constructor(disk: BlockDevice, options: ServeOptions) {
    const { name = "disk", readOnly = false, socket } = options;
    if (textOf(new TextEncoder().encode(name)) === undefined) {
      throw new RangeError(
        `Cannot serve under this name: it may have ${MOST_TEXT} bytes of UTF-8, and no NUL`,
      );
    }
    this.#export = { disk, name, readOnly, buffers: new Buffers(KEPT_BYTES) };
    this.#options = options;
    this.#listener = listenUnix(socket);
    this.#listen();
  }

  /** Clients that are connected. */
  get clients(): number {
    return this.#clients.size;
  }

  #listen(): void {
    const { fd: listening } = this.#listener;
    this.#options.loop.add(listening, () => {
      try {
        for (let fd; this.#clients.size < MOST_CLIENTS && (fd = accept(listening)) >= 0;) {
          this.#connect(fd);
        }
        if (this.#clients.size >= MOST_CLIENTS) this.#options.loop.remove(listening);
      } catch (error) {
        // No descriptors are left, for example. They may be later.
        this.#options.log?.((error as Error).message);
        this.#options.loop.remove(listening);
        this.#again = setTimeout(() => this.#listen(), AGAIN_MS);
      }
    });
  }

  #connect(fd: number): void {
    const { loop, handshake = HANDSHAKE_MS, log = () => {} } = this.#options;
    const { disk } = this.#export;
    const number = ++this.#came;
    const client = new Client(fd, loop, this.#export, (reason) => {
      const full = this.#clients.size >= MOST_CLIENTS;
      this.#clients.delete(client);
      log(`client ${number} left${reason === undefined ? "" : `: ${reason}`}`);
      if (full) this.#listen();
    });
    this.#clients.add(client);
    log(`client ${number} came`);
    // It is told what is there now: another medium may be in the drive, unheard of.
    disk.refresh().catch((error) => log((error as Error).message))
      .finally(() => client.start(handshake));
  }

  /** Ends all connections, and takes the socket away. */
  [Symbol.dispose](): void {
    clearTimeout(this.#again);
    this.#options.loop.remove(this.#listener.fd);
    this.#listener.close();
    for (const client of this.#clients) client[Symbol.dispose]();
    this.#clients.clear();
  }
}

/** The socket of one connection. */
class Client implements Disposable {
  readonly #fd: number;
  readonly #loop: Loop;
  readonly #left: (reason?: string) => void;
  readonly #connection: Connection;
  /** What is waited for. */
  #events = 0;
  #closed = false;
  #deadline: ReturnType<typeof setTimeout> | undefined;

  constructor(fd: number, loop: Loop, served: Export, left: (reason?: string) => void) {
    this.#fd = fd;
    this.#loop = loop;
    this.#left = left;
    this.#connection = new Connection(served, {
      // The answers to requests that ended together follow at once.
      ready: () => queueMicrotask(this.#sendAll),
      resume: () => this.#wait(),
      close: () => this.#end(),
    });
  }

  /** Greets the client, and listens to it. It may be gone already; one that only stays must not keep others out. */
  start(handshake: number): void {
    this.#deadline = setTimeout(() => {
      if (!this.#connection.agreed) this.#end(`it chose no export within ${handshake} ms`);
    }, handshake);
    this.#connection.start();
    this.#wait();
  }

  #work(): void {
    try {
      this.#flush();
      for (let i = 0; i < RECEPTIONS && !this.#closed && !this.#connection.full; i++) {
        const room = this.#connection.room();
        const got = receive(this.#fd, room, false);
        if (got < 0) break;
        if (got === 0) return this.#end();
        this.#connection.received(got);
        // There was no more.
        if (got < room.length) break;
      }
    } catch (error) {
      return this.#end((error as Error).message);
    }
    this.#wait();
  }

  readonly #sendAll = (): void => {
    if (this.#closed) return;
    try {
      this.#flush();
    } catch (error) {
      return this.#end((error as Error).message);
    }
    this.#wait();
  };

  /** Sends what there is room for. */
  #flush(): void {
    const connection = this.#connection;
    while (!this.#closed && connection.sends) {
      const bytes = connection.toSend();
      const put = sendNow(this.#fd, bytes);
      if (put < 0) return this.#end();
      connection.sent(put);
      if (put < bytes.length) return;
    }
  }

  /** Waits for what can be done next; for nothing, if the disk is to move first. */
  #wait(): void {
    if (this.#closed) return;
    const events = (this.#connection.full ? 0 : POLLIN) | (this.#connection.sends ? POLLOUT : 0);
    if (events === this.#events) return;
    this.#events = events;
    if (events === 0) this.#loop.remove(this.#fd);
    else this.#loop.add(this.#fd, () => this.#work(), events);
  }

  #end(reason?: string): void {
    if (this.#closed) return;
    this[Symbol.dispose]();
    this.#left(reason);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#deadline);
    this.#connection.stop();
    this.#loop.remove(this.#fd);
    close(this.#fd);
  }
}
