import { type Export, MOST_BLOCK, MOST_DATA, transmissionFlags } from "./export.ts";
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
import { textBytes, textOf } from "./text.ts";

/** What client and server agreed on. */
export interface Agreement {
  /** Whether replies are structured. */
  readonly structured: boolean;
  /** Whether the client asks what is allocated. */
  readonly allocation: boolean;
  /** Bytes of the export as the client was told. */
  readonly size: number;
  /** Bytes that requests are multiples of, as the client was told. */
  readonly blockSize: number;
  /** The medium that all of this is about, as the disk counts them. */
  readonly medium: number;
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
const NOTHING = new DataView(new ArrayBuffer(0));

/** Options that a client may send at all, beside those that end the negotiation. */
const KNOWN: readonly number[] = [
  Opt.LIST,
  Opt.INFO,
  Opt.GO,
  Opt.STRUCTURED_REPLY,
  Opt.LIST_META_CONTEXT,
  Opt.SET_META_CONTEXT,
];

/** The fixed newstyle negotiation. A client that breaks the protocol itself is shown the door. */
export class Negotiation {
  readonly #export: Export;
  readonly #port: NegotiationPort;
  /** Whether the client wants no padding behind the old answer to EXPORT_NAME. */
  #noZeroes = false;
  #structured = false;
  /** The name of the export for which the client asks what is allocated. */
  #allocation: string | undefined;

  constructor(served: Export, port: NegotiationPort) {
    this.#export = served;
    this.#port = port;
    const flags = Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES;
    port.send(new Bytes(18).u64(INIT_MAGIC).u64(OPTS_MAGIC).u16(flags).bytes);
    port.input.expect(4, (view, at) => this.#greeted(view.getUint32(at)));
  }

  #greeted(flags: number): void {
    const known = Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES;
    if ((flags & ~known) !== 0) return this.#port.close();
    this.#noZeroes = (flags & Handshake.NO_ZEROES) !== 0;
    this.#next();
  }

  #next(): void {
    this.#port.input.expect(OPTION_BYTES, (view, at) => {
      const reader = new Reader(view, at, OPTION_BYTES);
      if (reader.u64() !== OPTS_MAGIC) return this.#port.close();
      const option = reader.u32();
      const length = reader.u32();
      if (length <= MOST_EXPECTED) {
        return this.#port.input.expect(
          length,
          (view, at) => this.#option(option, new Reader(view, at, length)),
        );
      }
      // It is answered when all of it has come: until then the client sends and does not listen.
      this.#port.input.skip(length);
      this.#port.input.expect(0, () => this.#tooLong(option));
    });
  }

  #tooLong(option: number): void {
    if (option === Opt.EXPORT_NAME) return this.#port.close();
    if (!KNOWN.includes(option)) return this.#option(option, new Reader(NOTHING, 0, 0));
    this.#reply(option, Rep.ERR_TOO_BIG, `an option has at most ${MOST_EXPECTED} bytes`);
    this.#next();
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
        if (this.#goes(option, data)) return;
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
  #exportName(name: string | undefined): void {
    if (name === undefined || this.#refusal(name)) return this.#port.close();
    const { size, flags } = this.#about();
    const answer = new Bytes(this.#noZeroes ? 10 : 134).u64(BigInt(size)).u16(flags);
    this.#port.send(answer.bytes);
    this.#done(name);
  }

  #list(option: number, data: Reader): void {
    if (data.left > 0) return this.#invalid(option);
    const name = textBytes(this.#export.name);
    const server = new Bytes(4 + name.length).u32(name.length).put(name).bytes;
    this.#reply(option, Rep.SERVER, server);
    this.#reply(option, Rep.ACK);
  }

  #goes(option: number, data: Reader): boolean {
    const name = this.#info(option, data);
    if (name === undefined) return false;
    this.#done(name);
    return true;
  }

  /** Tells about the export, what the client asks for and what it must know. Returns the name that it has for it, if it is one. */
  #info(option: number, data: Reader): string | undefined {
    const name = data.text(data.u32());
    const count = data.u16();
    if (name === undefined || !data.whole || data.left !== 2 * count) {
      return this.#invalid(option), undefined;
    }
    const wanted = Array.from({ length: count }, () => data.u16());
    const refusal = this.#refusal(name);
    if (refusal) return this.#reply(option, ...refusal), undefined;
    const { size, blockSize, flags } = this.#about();
    this.#reply(
      option,
      Rep.INFO,
      new Bytes(12).u16(Info.EXPORT).u64(BigInt(size)).u16(flags).bytes,
    );
    if (wanted.includes(Info.NAME)) {
      const text = textBytes(this.#export.name);
      this.#reply(option, Rep.INFO, new Bytes(2 + text.length).u16(Info.NAME).put(text).bytes);
    }
    const best = Math.max(4096, blockSize);
    const sizes = new Bytes(14).u16(Info.BLOCK_SIZE).u32(blockSize).u32(best).u32(MOST_DATA);
    this.#reply(option, Rep.INFO, sizes.bytes);
    this.#reply(option, Rep.ACK);
    return name;
  }

  #contexts(option: number, data: Reader): void {
    const sets = option === Opt.SET_META_CONTEXT;
    // What was selected before is not any more, whatever comes of this.
    if (sets) this.#allocation = undefined;
    const name = data.text(data.u32());
    const count = data.u32();
    const queries: (string | undefined)[] = [];
    for (let i = 0; i < count && data.whole; i++) queries.push(data.text(data.u32()));
    if (name === undefined || !data.whole || data.left > 0 || !this.#structured) {
      return this.#invalid(option);
    }
    const refusal = this.#refusal(name);
    if (refusal) return this.#reply(option, ...refusal);
    const fits = queries.includes(BASE_ALLOCATION) ||
      !sets && (queries.length === 0 || queries.includes("base:"));
    if (sets && fits) this.#allocation = name;
    if (fits) {
      const text = textBytes(BASE_ALLOCATION);
      const context = new Bytes(4 + text.length).u32(sets ? BASE_ALLOCATION_ID : 0).put(text);
      this.#reply(option, Rep.META_CONTEXT, context.bytes);
    }
    this.#reply(option, Rep.ACK);
  }

  /** Why the export of that name cannot be used, if so. */
  #refusal(name: string): [type: number, reason: string] | undefined {
    const { name: ours, disk: { blockSize } } = this.#export;
    if (name !== "" && name !== ours) {
      return [Rep.ERR_UNKNOWN, `there is no export ${JSON.stringify(name)}`];
    }
    if (blockSize <= MOST_BLOCK) return undefined;
    return [Rep.ERR_POLICY, `its blocks of ${blockSize} bytes are larger than ${MOST_BLOCK}`];
  }

  #about(): { size: number; blockSize: number; medium: number; flags: number } {
    const { capacity, blockSize, medium } = this.#export.disk;
    const size = capacity - capacity % blockSize;
    const flags = transmissionFlags(this.#export, this.#structured);
    return { size, blockSize, medium, flags };
  }

  #invalid(option: number): void {
    this.#reply(option, Rep.ERR_INVALID, "its data is not what the protocol says");
  }

  #reply(option: number, type: number, data: Uint8Array | string = ""): void {
    const bytes = typeof data === "string" ? textBytes(data) : data;
    const head = new Bytes(20 + bytes.length).u64(REP_MAGIC).u32(option).u32(type);
    this.#port.send(head.u32(bytes.length).put(bytes).bytes);
  }

  #done(name: string): void {
    const { flags: _, ...about } = this.#about();
    const allocation = this.#allocation === name;
    this.#port.done({ ...about, structured: this.#structured, allocation });
  }
}

/** Reads numbers and texts from front to back. Behind the end all numbers are 0, and it is not whole. */
class Reader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  #at = 0;
  whole = true;

  constructor({ buffer, byteOffset }: DataView<ArrayBuffer>, at: number, length: number) {
    this.#bytes = new Uint8Array(buffer, byteOffset + at, length);
    this.#view = new DataView(buffer, byteOffset + at, length);
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

  /** The next string; undefined if it is none. */
  text(length: number): string | undefined {
    if (!this.#take(length)) return undefined;
    const text = textOf(this.#bytes.subarray(this.#at - length, this.#at));
    if (text === undefined) this.whole = false;
    return text;
  }

  #take(length: number): boolean {
    if (length > this.left) return this.whole = false;
    this.#at += length;
    return true;
  }
}
