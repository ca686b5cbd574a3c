import { Status } from "../core/bus/lane.ts";
import { RequestError } from "../core/bus/request_error.ts";
import { Bytes } from "./bytes.ts";
import { type Export, isReadOnly, MOST_DATA } from "./export.ts";
import type { Input } from "./input.ts";
import type { Agreement } from "./negotiation.ts";
import type { Output } from "./output.ts";
import {
  BASE_ALLOCATION_ID,
  Chunk,
  CHUNK_BYTES,
  Cmd,
  CmdFlag,
  DONE,
  Errno,
  REQUEST_BYTES,
  REQUEST_MAGIC,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from "./protocol.ts";
import { headBytes, putHead } from "./read_answer.ts";
import { SlotReads } from "./slot_reads.ts";
import { textBytes } from "./text.ts";

/** What serving needs of its connection. */
export interface TransmissionPort {
  /** What the client sends. */
  readonly input: Input;
  /** Where answers go. */
  readonly output: Output;
  /** A request begins that holds so many bytes until its answer is sent. */
  readonly begin: (held: number) => void;
  /** It is. */
  readonly end: (held: number) => void;
  /** Ends the connection, when all requests are answered and all is sent. */
  readonly close: () => void;
}

/** The client's own name of a request, in two halves. */
interface Named {
  readonly cookieHigh: number;
  readonly cookieLow: number;
}

interface Request extends Named {
  readonly flags: number;
  readonly type: number;
  readonly offset: number;
  readonly length: number;
}

/** The flags that each command may have, beside FUA, which all may: where nothing is written, it means nothing. */
const FLAGS: Readonly<Record<number, number>> = {
  [Cmd.READ]: CmdFlag.DF,
  [Cmd.WRITE]: 0,
  [Cmd.FLUSH]: 0,
  [Cmd.TRIM]: 0,
  [Cmd.CACHE]: 0,
  [Cmd.WRITE_ZEROES]: CmdFlag.NO_HOLE | CmdFlag.FAST_ZERO,
  [Cmd.BLOCK_STATUS]: CmdFlag.REQ_ONE,
};
const WRITES: readonly number[] = [Cmd.WRITE, Cmd.TRIM, Cmd.WRITE_ZEROES];

/** Zeroes for a disk that cannot make them itself. */
const ZEROES = new Uint8Array(1 << 20);

/** What the client gets instead of what it asked for. */
class Refusal extends Error {
  readonly errno: number;

  constructor(errno: number, message: string) {
    super(message);
    this.errno = errno;
  }
}

/** Serves the requests of one client, many at a time. Each gets one answer, and none harms another. */
export class Transmission {
  readonly #export: Export;
  readonly #agreement: Agreement;
  readonly #port: TransmissionPort;
  /** Reads by slots, where the disk has such. */
  readonly #reads: SlotReads | undefined;
  readonly #take = (view: DataView<ArrayBuffer>, at: number): void => this.#request(view, at);

  constructor(served: Export, agreement: Agreement, port: TransmissionPort) {
    this.#export = served;
    this.#agreement = agreement;
    this.#port = port;
    const { slots } = served.disk;
    this.#reads = slots && new SlotReads(served, slots, agreement, {
      output: port.output,
      begin: port.begin,
      end: port.end,
      answer: (bytes, held) => this.#answer(bytes, held),
      refuse: (cookieHigh, cookieLow, held, error) =>
        this.#answer(this.#error({ cookieHigh, cookieLow }, error), held),
    });
    this.#next();
  }

  /** Shows the disk what was begun by what the client has sent. */
  publish(): void {
    this.#reads?.publish();
  }

  #next(): void {
    this.#port.input.expect(REQUEST_BYTES, this.#take);
  }

  #request(view: DataView<ArrayBuffer>, at: number): void {
    const flags = view.getUint16(at + 4);
    const type = view.getUint16(at + 6);
    const cookieHigh = view.getUint32(at + 8);
    const cookieLow = view.getUint32(at + 12);
    const offset = view.getUint32(at + 16) * 2 ** 32 + view.getUint32(at + 20);
    const length = view.getUint32(at + 24);
    // A client that loses count of bytes cannot be understood any more.
    if (view.getUint32(at) !== REQUEST_MAGIC || type === Cmd.DISC) return this.#port.close();
    this.#next();
    if (
      type === Cmd.READ && flags === 0 &&
      this.#reads?.begin(cookieHigh, cookieLow, offset, length)
    ) return;
    const request = { flags, type, cookieHigh, cookieLow, offset, length };
    if (type !== Cmd.WRITE) return void this.#serve(request);
    const { input } = this.#port;
    if (length > MOST_DATA) {
      // It is answered when all of it has come: a client that still sends expects no answer.
      input.skip(length);
      return input.expect(0, () => {
        this.#next();
        void this.#serve(request);
      });
    }
    const data = this.#export.buffers.take(length);
    input.fill(data, () => {
      this.#next();
      this.#serve(request, data);
    });
  }

  async #serve(request: Request, data?: Uint8Array<ArrayBuffer>): Promise<void> {
    const held = REQUEST_BYTES + (request.type === Cmd.READ || data ? request.length : 0);
    this.#port.begin(held);
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      this.#check(request);
      bytes = await this.#do(request, data);
    } catch (error) {
      bytes = this.#error(request, error);
    }
    if (data) this.#export.buffers.give(data);
    this.#answer(bytes, held);
  }

  #answer(bytes: Uint8Array<ArrayBuffer>, held: number): void {
    this.#port.output.put(bytes, () => {
      this.#export.buffers.give(bytes);
      this.#port.end(held);
    });
  }

  #check({ type, flags, offset, length }: Request): void {
    const { structured, allocation, size, blockSize, medium } = this.#agreement;
    const { disk } = this.#export;
    const allowed = FLAGS[type];
    if (allowed === undefined || type === Cmd.BLOCK_STATUS && !allocation) {
      throw new Refusal(Errno.EINVAL, `command ${type} is not served`);
    }
    const offered = structured ? allowed : allowed & ~CmdFlag.DF;
    const wrong = flags & ~offered & ~CmdFlag.FUA;
    if (wrong !== 0) throw new Refusal(Errno.EINVAL, `command ${type} has no flags ${wrong}`);
    if (disk.medium !== medium) {
      throw new Refusal(Errno.EIO, "the medium was exchanged or taken out; connect again");
    }
    if (WRITES.includes(type) && isReadOnly(this.#export)) {
      throw new Refusal(Errno.EPERM, "the export is read-only");
    }
    if (type === Cmd.TRIM && !disk.canDiscard) {
      throw new Refusal(Errno.EINVAL, "the disk does not know how to give up what it holds");
    }
    if (flags & CmdFlag.FAST_ZERO && !disk.canWriteZeroes) {
      throw new Refusal(Errno.EINVAL, "the disk makes no zeroes by itself");
    }
    if ((type === Cmd.READ || type === Cmd.WRITE) && length > MOST_DATA) {
      throw new Refusal(Errno.EINVAL, `a request moves at most ${MOST_DATA} bytes`);
    }
    if (type === Cmd.FLUSH) return;
    if (offset + length > size) {
      const changes = type === Cmd.WRITE || type === Cmd.WRITE_ZEROES;
      throw new Refusal(changes ? Errno.ENOSPC : Errno.EINVAL, `the export ends at ${size}`);
    }
    if (offset % blockSize !== 0 || length % blockSize !== 0) {
      throw new Refusal(Errno.EINVAL, `requests are in multiples of ${blockSize} bytes`);
    }
    if (type === Cmd.BLOCK_STATUS && length === 0) {
      throw new Refusal(Errno.EINVAL, "an extent has at least one block");
    }
  }

  async #do(request: Request, data?: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    const { disk } = this.#export;
    const { type, flags, offset, length } = request;
    switch (type) {
      case Cmd.READ:
        return length === 0 ? this.#done(request) : await this.#read(request);
      case Cmd.WRITE:
        await disk.write(offset, data!);
        break;
      case Cmd.FLUSH:
        await disk.flush();
        break;
      case Cmd.TRIM:
        await disk.discard(offset, length);
        break;
      case Cmd.WRITE_ZEROES:
        await this.#writeZeroes(request);
        break;
      case Cmd.BLOCK_STATUS:
        return this.#allBytesAreThere(request);
    }
    if (flags & CmdFlag.FUA && WRITES.includes(type)) await disk.flush();
    return this.#done(request);
  }

  async #read(request: Request): Promise<Uint8Array<ArrayBuffer>> {
    const { offset, length, cookieHigh, cookieLow } = request;
    const { structured } = this.#agreement;
    const head = headBytes(structured);
    const { buffers } = this.#export;
    const reply = buffers.take(head + length);
    try {
      await this.#export.disk.readInto(offset, reply.subarray(head));
    } catch (error) {
      buffers.give(reply);
      throw error;
    }
    const view = new DataView(reply.buffer, reply.byteOffset);
    putHead(view, 0, structured, cookieHigh, cookieLow, offset, length);
    return reply;
  }

  async #writeZeroes({ offset, length, flags }: Request): Promise<void> {
    const { disk } = this.#export;
    if (disk.canWriteZeroes) {
      return await disk.writeZeroes(offset, length, { unmap: !(flags & CmdFlag.NO_HOLE) });
    }
    for (let at = 0; at < length; at += ZEROES.length) {
      await disk.write(offset + at, ZEROES.subarray(0, length - at));
    }
  }

  /** VirtIO has no way to ask what is allocated; it is always right to say that all is. */
  #allBytesAreThere(request: Request): Uint8Array<ArrayBuffer> {
    return this.#chunk(Chunk.BLOCK_STATUS, request, 12)
      .u32(BASE_ALLOCATION_ID).u32(request.length).u32(0).bytes;
  }

  #done(request: Named): Uint8Array<ArrayBuffer> {
    if (this.#agreement.structured) return this.#chunk(Chunk.NONE, request, 0).bytes;
    return simple(request, 0);
  }

  #error(request: Named, error: unknown): Uint8Array<ArrayBuffer> {
    const errno = errnoOf(error);
    if (!this.#agreement.structured) return simple(request, errno);
    const text = textBytes((error as Error).message);
    return this.#chunk(Chunk.ERROR, request, 6 + text.length)
      .u32(errno).u16(text.length).put(text).bytes;
  }

  #chunk(type: number, { cookieHigh, cookieLow }: Named, length: number): Bytes {
    return new Bytes(CHUNK_BYTES + length).u32(STRUCTURED_REPLY_MAGIC).u16(DONE).u16(type)
      .u32(cookieHigh).u32(cookieLow).u32(length);
  }
}

function simple({ cookieHigh, cookieLow }: Named, errno: number): Uint8Array<ArrayBuffer> {
  return new Bytes(SIMPLE_REPLY_BYTES).u32(SIMPLE_REPLY_MAGIC).u32(errno)
    .u32(cookieHigh).u32(cookieLow).bytes;
}

/** The number that tells a client best what went wrong. */
function errnoOf(error: unknown): number {
  if (error instanceof Refusal) return error.errno;
  if (error instanceof RequestError) {
    return error.status === Status.unsupported ? Errno.EINVAL : Errno.EIO;
  }
  // The disk has become smaller, or read-only, since the client asked.
  if (error instanceof RangeError) return Errno.ENOSPC;
  return error instanceof TypeError ? Errno.EPERM : Errno.EIO;
}
