import type { Export } from "./export.ts";
import { Input } from "./input.ts";
import { Negotiation } from "./negotiation.ts";
import { Transmission } from "./transmission.ts";

/** Requests that one client may have under way. */
const MOST_REQUESTS = 256;
/** Bytes that they may hold; at least one may always. */
const MOST_BYTES = 64 << 20;
/** Bytes that a client may say until it has chosen an export: options without end are no negotiation. */
const MOST_SAID = 1 << 20;
/** Bytes of answers to options that may wait for the client to take them, until no more options are read. */
const MOST_UNSENT = 64 << 10;

/** What a connection needs of the world. */
export interface ConnectionPort {
  /** Sends bytes in order; `sent` is called when they are not needed any more. */
  readonly send: (bytes: Uint8Array<ArrayBuffer>, sent: () => void) => void;
  /** It may receive again. */
  readonly resume: () => void;
  /** Ends it when all is sent. */
  readonly close: () => void;
}

/** One client: what it sends goes in, what it is answered comes out. Knows nothing of sockets. */
export class Connection {
  readonly #export: Export;
  readonly #port: ConnectionPort;
  readonly #input: Input;
  #requests = 0;
  #bytes = 0;
  #closing = false;
  #agreed = false;
  /** Bytes that came before they agreed, and those of answers that were not taken yet. */
  #said = 0;
  #unsent = 0;

  constructor(served: Export, port: ConnectionPort) {
    this.#export = served;
    this.#port = port;
    this.#input = new Input(() => this.#closing || this.#busy);
  }

  /** Greets the client. */
  start(): void {
    const port = this.#port;
    const served = this.#export;
    const input = this.#input;
    const { buffers } = served;
    const close = () => this.#close();
    new Negotiation(served, {
      input,
      send: (bytes) => {
        this.#unsent += bytes.length;
        port.send(bytes, () => this.#less(() => this.#unsent -= bytes.length));
      },
      close,
      done: (agreement) => {
        this.#agreed = true;
        new Transmission(served, agreement, {
          input,
          close,
          begin: (held) => {
            this.#requests++;
            this.#bytes += held;
          },
          answer: (bytes, held) =>
            port.send(bytes, () => {
              buffers.give(bytes);
              this.#ended(held);
            }),
        });
      },
    });
  }

  /** Whether client and server have agreed on an export. */
  get agreed(): boolean {
    return this.#agreed;
  }

  /** Whether nothing can be received now. */
  get full(): boolean {
    return this.#closing || this.#busy;
  }

  /** Where to put what is received; only unless it is {@linkcode full}. */
  room(): Uint8Array<ArrayBuffer> {
    return this.#input.room();
  }

  /** So many bytes were put there. */
  received(count: number): void {
    if (!this.#agreed && (this.#said += count) > MOST_SAID) return this.#close();
    this.#input.received(count);
  }

  /** The client is gone: what it has asked for ends, and nothing more begins. */
  stop(): void {
    this.#closing = true;
  }

  get #busy(): boolean {
    return this.#requests >= MOST_REQUESTS || this.#bytes >= MOST_BYTES ||
      this.#unsent >= MOST_UNSENT;
  }

  #ended(bytes: number): void {
    this.#less(() => {
      this.#requests--;
      this.#bytes -= bytes;
    });
  }

  /** Something has ended, so that there may be room for more. */
  #less(ended: () => void): void {
    const wasBusy = this.#busy;
    ended();
    if (this.#closing) {
      if (this.#requests === 0) this.#port.close();
    } else if (wasBusy && !this.#busy) {
      this.#input.go();
      this.#port.resume();
    }
  }

  #close(): void {
    this.#closing = true;
    if (this.#requests === 0) this.#port.close();
  }
}
