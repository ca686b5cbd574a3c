import type { Export } from "./export.ts";
import { Input } from "./input.ts";
import { Negotiation } from "./negotiation.ts";
import { Output } from "./output.ts";
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
  /** There is something to send, as soon as what puts it there returns. */
  readonly ready: () => void;
  /** It may receive again. */
  readonly resume: () => void;
  /** It is over: all is sent. */
  readonly close: () => void;
}

/** One client: what it sends goes in, what it is answered comes out. Knows nothing of sockets. */
export class Connection {
  readonly #export: Export;
  readonly #port: ConnectionPort;
  readonly #input: Input;
  readonly #output: Output;
  #transmission: Transmission | undefined;
  #requests = 0;
  #bytes = 0;
  #closing = false;
  /** Bytes that came before they agreed. */
  #said = 0;

  constructor(served: Export, port: ConnectionPort) {
    this.#export = served;
    this.#port = port;
    this.#input = new Input(() => this.full);
    this.#output = new Output(port.ready);
  }

  /** Greets the client. */
  start(): void {
    const served = this.#export;
    const input = this.#input;
    const output = this.#output;
    const close = () => this.#close();
    new Negotiation(served, {
      input,
      send: (bytes) => output.put(bytes, () => {}),
      close,
      done: (agreement) => {
        this.#transmission = new Transmission(served, agreement, {
          input,
          output,
          close,
          begin: (held) => {
            this.#requests++;
            this.#bytes += held;
          },
          end: (held) => {
            const wasBusy = this.#busy;
            this.#requests--;
            this.#bytes -= held;
            this.#goOn(wasBusy);
          },
        });
      },
    });
  }

  /** Whether client and server have agreed on an export. */
  get agreed(): boolean {
    return this.#transmission !== undefined;
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
    if (!this.agreed && (this.#said += count) > MOST_SAID) return this.#close();
    this.#input.received(count);
    this.#transmission?.publish();
  }

  /** Whether something is to be sent. */
  get sends(): boolean {
    return this.#output.length > 0;
  }

  /** What is to be sent next; only where it {@linkcode sends}. */
  toSend(): Uint8Array<ArrayBuffer> {
    return this.#output.next();
  }

  /** So many bytes of that are sent. */
  sent(count: number): void {
    const wasBusy = this.#busy;
    this.#output.sent(count);
    this.#goOn(wasBusy);
  }

  /** The client is gone: what it has asked for ends, and nothing more begins. */
  stop(): void {
    this.#closing = true;
    this.#output.drop();
  }

  get #busy(): boolean {
    return this.#requests >= MOST_REQUESTS || this.#bytes >= MOST_BYTES ||
      !this.agreed && this.#output.length >= MOST_UNSENT;
  }

  /** Something has ended, so that there may be room for more. */
  #goOn(wasBusy: boolean): void {
    if (this.#closing) this.#closeIfDone();
    else if (wasBusy && !this.#busy) {
      this.#input.go();
      this.#transmission?.publish();
      this.#port.resume();
    }
  }

  #close(): void {
    this.#closing = true;
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#requests === 0 && this.#output.length === 0) this.#port.close();
  }
}
