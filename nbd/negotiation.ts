import { type Export, MOST_DATA, transmissionFlags, UNIT } from "./export.ts";
import { type Input, MOST_EXPECTED } from "./input.ts";
import {
  BASE_ALLOCATION,
  BASE_ALLOCATION_ID,
  Handshake,
  Info,
  INIT_MAGIC,
  Opt,
  OPTS_MAGIC,
  Rep,
  REP_MAGIC,
} from "./protocol.ts";
import { Bytes } from "./bytes.ts";

/** What client and server agreed on. */
export interface Agreement {
  /** Whether replies are structured. */
  readonly structured: boolean;
  /** Whether the client asks what is allocated. */
  readonly allocation: boolean;
  /** Bytes of the export as the client was told. */
  readonly size: number;
}

/** What a negotiation needs of its connection. */
export interface NegotiationPort {
  /** What the client sends. */
  readonly input: Input;
  /** Sends bytes. */
  readonly send: (bytes: Uint8Array<ArrayBuffer>) => void;
  /** Ends the connection, when all is sent. */
  readonly close: () => void;
  /** They have agreed: from now on requests come. */
  readonly done: (agreement: Agreement) => void;
}

const OPTION_BYTES = 16;

/** The fixed newstyle negotiation. A client that breaks the protocol itself is shown the door. */
export class Negotiation {
  readonly #export: Export;
  readonly #port: NegotiationPort;
  /** Whether the client wants no padding behind the old answer to EXPORT_NAME. */
  #noZeroes = false;
  #structured = false;
  #allocation = false;

  constructor(served: Export, port: NegotiationPort) {
    this.#export = served;
    this.#port = port;
    const flags = Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES;
    port.send(new Bytes(18).u64(INIT_MAGIC).u64(OPTS_MAGIC).u16(flags).bytes);
    port.input.expect(4, (bytes) => this.#greeted(new Reader(bytes).u32()));
  }

  #greeted(flags: number): void {
    const known = Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES;
    if ((flags & ~known) !== 0) return this.#port.close();
    this.#noZeroes = (flags & Handshake.NO_ZEROES) !== 0;
    this.#next();
  }

  #next(): void {
    this.#port.input.expect(OPTION_BYTES, (bytes) => {
      const reader = new Reader(bytes);
      if (reader.u64() !== OPTS_MAGIC) return this.#port.close();
      const option = reader.u32();
      const length = reader.u32();
      if (length <= MOST_EXPECTED) {
        return this.#port.input.expect(length, (data) => this.#option(option, new Reader(data)));
      }
      this.#port.input.skip(length);
      this.#reply(option, Rep.ERR_TOO_BIG, `an option has at most ${MOST_EXPECTED} bytes`);
      this.#next();
    });
  }

  #option(option: number, data: Reader): void {
    switch (option) {
      case Opt.EXPORT_NAME:
        return this.#exportName(data.text(data.left));
      case Opt.ABORT:
        this.#reply(option, Rep.ACK);
        return this.#port.close();
      case Opt.GO:
        // What they agreed on holds; no more options come.
        if (this.#info(option, data)) return this.#done();
        break;
      case Opt.INFO:
        this.#info(option, data);
        break;
      case Opt.LIST:
        this.#list(option, data);
        break;
      case Opt.STRUCTURED_REPLY:
        if (data.left > 0) this.#invalid(option);
        else {
          this.#structured = true;
          this.#reply(option, Rep.ACK);
        }
        break;
      case Opt.LIST_META_CONTEXT:
      case Opt.SET_META_CONTEXT:
        this.#contexts(option, data);
        break;
      default:
        this.#reply(option, Rep.ERR_UNSUP);
    }
    this.#next();
  }

  /** The old way to begin: it has no answer that says no. */
  #exportName(name: string): void {
    if (!this.#isOurs(name)) return this.#port.close();
    const { size, flags } = this.#about();
    const answer = new Bytes(this.#noZeroes ? 10 : 134).u64(BigInt(size)).u16(flags);
    this.#port.send(answer.bytes);
    this.#done();
  }

  #list(option: number, data: Reader): void {
    if (data.left > 0) return this.#invalid(option);
    const name = new TextEncoder().encode(this.#export.name);
    const server = new Bytes(4 + name.length).u32(name.length).put(name).bytes;
    this.#reply(option, Rep.SERVER, server);
    this.#reply(option, Rep.ACK);
  }

  /** Tells about the export, what the client asks for and what it must know. Returns whether it is ours. */
  #info(option: number, data: Reader): boolean {
    const name = data.text(data.u32());
    const wanted = Array.from({ length: Math.min(data.u16(), data.left / 2) }, () => data.u16());
    if (!data.whole) return this.#invalid(option), false;
    if (!this.#isOurs(name)) {
      this.#reply(option, Rep.ERR_UNKNOWN, `there is no export ${JSON.stringify(name)}`);
      return false;
    }
    const { size, flags } = this.#about();
    const { disk } = this.#export;
    this.#reply(
      option,
      Rep.INFO,
      new Bytes(12).u16(Info.EXPORT).u64(BigInt(size)).u16(flags).bytes,
    );
    if (wanted.includes(Info.NAME)) {
      const text = new TextEncoder().encode(this.#export.name);
      this.#reply(option, Rep.INFO, new Bytes(2 + text.length).u16(Info.NAME).put(text).bytes);
    }
    const best = Math.max(4096, disk.blockSize);
    const sizes = new Bytes(14).u16(Info.BLOCK_SIZE).u32(UNIT).u32(best).u32(MOST_DATA);
    this.#reply(option, Rep.INFO, sizes.bytes);
    this.#reply(option, Rep.ACK);
    return true;
  }

  #contexts(option: number, data: Reader): void {
    const name = data.text(data.u32());
    const count = data.u32();
    const queries: string[] = [];
    for (let i = 0; i < count && data.whole; i++) queries.push(data.text(data.u32()));
    if (!data.whole || data.left > 0 || !this.#structured) return this.#invalid(option);
    if (!this.#isOurs(name)) {
      return this.#reply(option, Rep.ERR_UNKNOWN, `there is no export ${JSON.stringify(name)}`);
    }
    const sets = option === Opt.SET_META_CONTEXT;
    const fits = queries.includes(BASE_ALLOCATION) ||
      !sets && (queries.length === 0 || queries.includes("base:"));
    if (sets) this.#allocation = fits;
    if (fits) {
      const text = new TextEncoder().encode(BASE_ALLOCATION);
      const context = new Bytes(4 + text.length).u32(BASE_ALLOCATION_ID).put(text);
      this.#reply(option, Rep.META_CONTEXT, context.bytes);
    }
    this.#reply(option, Rep.ACK);
  }

  #isOurs(name: string): boolean {
    return name === "" || name === this.#export.name;
  }

  #about(): { size: number; flags: number } {
    const { capacity } = this.#export.disk;
    return { size: capacity - capacity % UNIT, flags: transmissionFlags(this.#export) };
  }

  #invalid(option: number): void {
    this.#reply(option, Rep.ERR_INVALID, "its data is not what the protocol says");
  }

  #reply(option: number, type: number, data: Uint8Array | string = ""): void {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const head = new Bytes(20 + bytes.length).u64(REP_MAGIC).u32(option).u32(type);
    this.#port.send(head.u32(bytes.length).put(bytes).bytes);
  }

  #done(): void {
    const { size } = this.#about();
    this.#port.done({ structured: this.#structured, allocation: this.#allocation, size });
  }
}

/** Reads numbers and texts from front to back. Behind the end everything is 0 or empty, and it is not whole. */
class Reader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  #at = 0;
  whole = true;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u16(): number {
    return this.#take(2) ? this.#view.getUint16(this.#at - 2) : 0;
  }

  u32(): number {
    return this.#take(4) ? this.#view.getUint32(this.#at - 4) : 0;
  }

  u64(): bigint {
    return this.#take(8) ? this.#view.getBigUint64(this.#at - 8) : 0n;
  }

  text(length: number): string {
    if (!this.#take(length)) return "";
    return new TextDecoder().decode(this.#bytes.subarray(this.#at - length, this.#at));
  }

  #take(length: number): boolean {
    if (length > this.left) return this.whole = false;
    this.#at += length;
    return true;
  }
}
