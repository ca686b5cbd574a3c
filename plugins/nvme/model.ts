/**
 * An NVM Express controller as a model: namespaces in memory.
 *
 * @module
 */

import {
  DriverFault,
  type FunctionHandle,
  type FunctionModel,
  SparseMemory,
} from "@virtio/deno/simulation";
import { eui64, nguid, subsystemName } from "./identifiers.ts";
import * as wire from "./wire.ts";

/** What a namespace is like. */
export interface NamespaceOptions {
  /** Length in bytes, whole blocks. */
  readonly capacity: number;
  /** Bytes of a block: a power of two from 512 on; 512 if absent. */
  readonly blockSize?: number;
  /** Bytes of metadata with each block; 0 if absent. */
  readonly metadata?: number;
  /** Whether it is write protected; false if absent. */
  readonly readOnly?: boolean;
}

/** A completion on its way to the driver. */
export interface Completion {
  /** The submission queue that the command came by. */
  readonly sqid: number;
  /** Where the controller reads on in that queue. */
  readonly sqhd: number;
  /** The identifier of the command. */
  readonly cid: number;
  /** The status field without its phase tag: 0 if all went well. */
  readonly status: number;
  /** The first double word, which some commands answer with. */
  readonly result: number;
  /** Whether it has the phase tag of the completion that was there before. */
  readonly stale?: boolean;
}

/** What a controller is like. */
export interface NvmeOptions {
  /** Its namespaces by number; one that is left out is not active. */
  readonly namespaces: { readonly [nsid: number]: NamespaceOptions };
  /**
   * Up to 20 ASCII characters; none if absent. All identifiers come of it: two controllers of one machine that have the
   * same are taken for one.
   */
  readonly serial?: string;
  /** CAP.DSTRD; 0 if absent. */
  readonly stride?: number;
  /** Entries of a queue at most; 256 if absent. */
  readonly entries?: number;
  /** Pairs of I/O queues at most; 8 if absent. */
  readonly ioQueues?: number;
  /** Vectors of its MSI-X table; 9 if absent. */
  readonly vectors?: number;
  /** MDTS: a power of two of pages; 0, the usual value, for no limit. */
  readonly mdts?: number;
  /** CAP.TO, in units of 500 ms; 1 if absent. */
  readonly timeout?: number;
  /** Whether it has a volatile write cache; true if absent. */
  readonly writeCache?: boolean;
  /** Whether it takes shadow doorbells; true if absent. */
  readonly shadow?: boolean;
  /** For tests: the status to end an I/O command with, instead of serving it. */
  readonly fail?: (opcode: number, block: number) => number | undefined;
  /** For tests: what it writes instead of a completion of an I/O command; nothing, as if the command hung. */
  readonly lie?: (honest: Completion) => readonly Completion[];
  /** For tests: what CSTS reads as, instead of the truth. */
  readonly status?: (honest: number) => number;
}

interface Queue {
  readonly address: number;
  readonly size: number;
  head: number;
  tail: number;
}

interface SubmissionQueue extends Queue {
  readonly cqid: number;
}

interface CompletionQueue extends Queue {
  readonly vector: number | undefined;
  phase: number;
}

interface Command {
  readonly opcode: number;
  readonly cid: number;
  readonly dwords: Uint32Array;
}

interface Outcome {
  readonly status: number;
  readonly result?: number;
}

const SUCCESS: Outcome = { status: wire.STATUS_SUCCESS };
const INVALID: Outcome = { status: wire.STATUS_INVALID_FIELD };
const CLASS_NVME = 0x010802;
const DOORBELLS = 0x1000;
const TABLE = 0x2000;
const BAR_BYTES = 0x4000;
/** Commands that are fetched before others have their turn. */
const BATCH = 64;
const ABORTS = 4;
const NOT_ABORTED = 1;
const VERSION = 0x0002_0000;
const MODEL_NUMBER = "Simulated NVMe";
const FIRMWARE = "1";
/** An I/O controller (NVM Express Base 2.0, 5.17.2.1). */
const IO_CONTROLLER = 1;
/** Entries of 64 bytes in submission queues, of 16 in completion queues, and no others. */
const SQ_ENTRY = 0x66, CQ_ENTRY = 0x44;

/** A controller in memory. */
export class NvmeModel implements FunctionModel {
  /** A number for experiments: what is known of the controllers of others would be wrong here. */
  readonly vendor = 0x1af4;
  readonly device = 0x10f0;
  readonly classCode: number = CLASS_NVME;
  readonly bars = { 0: { bytes: BAR_BYTES, kind: "memory64" } } as const;
  readonly msix: { readonly vectors: number; readonly bar: number; readonly offset: number };
  /** What was done so far: commands by opcode, admin commands from 256 on. */
  readonly counts: Uint32Array<ArrayBuffer> = new Uint32Array(512);
  /** Writes to doorbell registers so far. */
  doorbells = 0;
  /** Whether the controller has failed (CSTS.CFS), until it is reset. */
  fatal = false;

  readonly #options: NvmeOptions;
  readonly #stores = new Map<number, SparseMemory>();
  readonly #registers = new Uint32Array(DOORBELLS / 4);
  readonly #submission = new Map<number, SubmissionQueue>();
  readonly #completion = new Map<number, CompletionQueue>();
  /** Commands that hang, by queue and identifier. */
  readonly #hanging = new Set<string>();
  #shadow: { readonly doorbells: number; readonly events: number } | undefined;
  #cache = 1;
  #machine!: FunctionHandle;

  /** Makes one with empty namespaces. */
  constructor(options: NvmeOptions) {
    this.#options = options;
    this.msix = { vectors: options.vectors ?? 9, bar: 0, offset: TABLE };
    for (const nsid of Object.keys(options.namespaces)) {
      this.#stores.set(Number(nsid), new SparseMemory());
    }
    this.reset();
  }

  attach(machine: FunctionHandle): void {
    this.#machine = machine;
  }

  /** What stands in a namespace. */
  contents(nsid: number, position: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    this.#stores.get(nsid)?.read(position, bytes);
    return bytes;
  }

  reset(): void {
    const { entries = 256, timeout = 1, stride = 0 } = this.#options;
    this.#disable();
    this.#registers.fill(0);
    const contiguous = 1 << 16;
    this.#set(wire.CAP_LOW, entries - 1 | contiguous | timeout << wire.CAP_TO_SHIFT);
    this.#set(wire.CAP_HIGH, wire.CAP_CSS_NVM | stride);
    this.#set(8, VERSION);
  }

  #disable(): void {
    this.fatal = false;
    this.#submission.clear();
    this.#completion.clear();
    this.#hanging.clear();
    this.#shadow = undefined;
    this.#set(wire.CSTS, 0);
  }

  #get(register: number): number {
    return this.#registers[register / 4]!;
  }

  #set(register: number, value: number): void {
    this.#registers[register / 4] = value;
  }

  read(_bar: number, offset: number): number {
    if (offset >= DOORBELLS) return 0;
    const value = this.#registers[offset >> 2]! >>> 8 * (offset & 3);
    if (offset !== wire.CSTS) return value;
    const honest = value | (this.fatal ? wire.CSTS_CFS : 0);
    return this.#options.status?.(honest) ?? honest;
  }

  write(_bar: number, offset: number, width: number, value: number): void {
    if (width !== 4) throw new DriverFault(`${width} bytes are written at ${offset}; 4 are wanted`);
    if (offset >= DOORBELLS) return this.#ring(offset - DOORBELLS, value);
    if (offset === wire.CC) this.#configure(value);
    else if (offset >= wire.AQA && offset < wire.ACQ + 8) this.#set(offset, value);
  }

  #configure(value: number): void {
    const before = this.#get(wire.CC);
    this.#set(wire.CC, value);
    if (!(value & wire.CC_EN)) return this.#disable();
    if (!(before & wire.CC_EN)) this.#enable();
    if (value & wire.CC_SHN) this.#set(wire.CSTS, wire.CSTS_RDY | wire.CSTS_SHST_COMPLETE);
  }

  #enable(): void {
    const sizes = this.#get(wire.AQA);
    const [asq, acq] = [wire.ASQ, wire.ACQ].map((at) =>
      this.#get(at) + this.#get(at + 4) * 2 ** 32
    );
    const queue = { head: 0, tail: 0 };
    this.#submission.set(0, { ...queue, address: asq!, size: (sizes & 0xfff) + 1, cqid: 0 });
    const size = (sizes >>> 16 & 0xfff) + 1;
    const cq = { ...queue, address: acq!, size, vector: 0, phase: wire.DW3_PHASE };
    this.#completion.set(0, cq);
    this.#set(wire.CSTS, wire.CSTS_RDY);
  }

  #ring(offset: number, value: number): void {
    const index = offset / (4 << (this.#options.stride ?? 0));
    const qid = index >> 1;
    const queue = index & 1 ? this.#completion.get(qid) : this.#submission.get(qid);
    if (!Number.isInteger(index) || !queue) {
      throw new DriverFault(`There is no doorbell at ${offset}`);
    }
    if (value >= queue.size) throw new DriverFault(`Queue ${qid} has no entry ${value}`);
    this.doorbells++;
    // Where indices stand in memory, a doorbell may come after later ones were read there: it only wakes.
    if (this.#shadow && qid > 0) return;
    if (index & 1) queue.head = value;
    else queue.tail = value;
    this.#lowerPin();
  }

  process(): boolean {
    if (!(this.#get(wire.CSTS) & wire.CSTS_RDY) || this.fatal) return false;
    let more = false;
    for (const [qid, queue] of this.#submission) {
      const cq = this.#completion.get(queue.cqid)!;
      for (let i = 0;; i++) {
        const moved = this.#readShadow(qid, queue, cq);
        const full = (cq.tail + 1) % cq.size === cq.head;
        if (queue.head === queue.tail || full || i === BATCH) {
          // What has moved is to be written beside it, and looked at once more.
          more ||= moved || i === BATCH;
          break;
        }
        this.#fetch(qid, queue);
      }
    }
    if (this.#shadow) this.#lowerPin();
    return more;
  }

  /**
   * The latest indices stand in memory; what is written beside them is how far they were seen.
   *
   * @returns Whether one has moved since it was written.
   */
  #readShadow(qid: number, queue: SubmissionQueue, cq: CompletionQueue): boolean {
    if (!this.#shadow || qid === 0) return false;
    const { doorbells, events } = this.#shadow;
    const stride = 4 << (this.#options.stride ?? 0);
    const look = (index: number, seen: number, size: number) => {
      Atomics.store(this.#words(events + index * stride), 0, seen);
      return Atomics.load(this.#words(doorbells + index * stride), 0) % size;
    };
    const { tail } = queue;
    const { head } = cq;
    queue.tail = look(2 * qid, tail, queue.size);
    cq.head = look(2 * queue.cqid + 1, head, cq.size);
    return queue.tail !== tail || cq.head !== head;
  }

  #words(address: number): Int32Array<SharedArrayBuffer> {
    const { memory, offset } = this.#machine.memory.find(address, 4);
    return new Int32Array(memory, offset, 1);
  }

  #fetch(qid: number, queue: SubmissionQueue): void {
    const bytes = new Uint8Array(wire.SQE_BYTES);
    this.#machine.memory.read(queue.address + queue.head * wire.SQE_BYTES, bytes);
    queue.head = (queue.head + 1) % queue.size;
    const dwords = new Uint32Array(bytes.buffer);
    const command = { opcode: dwords[0]! & 0xff, cid: dwords[0]! >>> 16, dwords };
    this.counts[command.opcode + (qid === 0 ? 256 : 0)]!++;
    const { status, result = 0 } = qid === 0 ? this.#admin(command) : this.#io(command);
    const honest = { sqid: qid, sqhd: queue.head, cid: command.cid, status, result };
    const all = qid === 0 ? [honest] : this.#options.lie?.(honest) ?? [honest];
    if (all.length === 0) this.#hanging.add(`${qid} ${command.cid}`);
    for (const each of all) this.#complete(queue.cqid, each);
  }

  #complete(cqid: number, { sqid, sqhd, cid, status, result, stale }: Completion): void {
    const cq = this.#completion.get(cqid);
    if (!cq) return;
    const phase = stale ? cq.phase ^ wire.DW3_PHASE : cq.phase;
    const entry = this.#machine.memory.view(cq.address + cq.tail * wire.CQE_BYTES, wire.CQE_BYTES);
    const dwords = new Int32Array(entry.buffer, entry.byteOffset, wire.CQE_DWORDS);
    dwords[0] = result;
    dwords[wire.DW2] = sqid << 16 | sqhd;
    Atomics.store(dwords, wire.DW3, cid | phase | status << wire.DW3_STATUS_SHIFT);
    cq.tail = (cq.tail + 1) % cq.size;
    if (cq.tail === 0) cq.phase ^= wire.DW3_PHASE;
    if (cq.vector === undefined) return;
    this.#machine.interrupt(cq.vector);
    this.#machine.pin(true);
  }

  /** The pin is asserted as long as something was not taken. */
  #lowerPin(): void {
    const open = [...this.#completion.values()].some((cq) => cq.head !== cq.tail);
    this.#machine.pin(open);
  }

  #admin({ opcode, dwords }: Command): Outcome {
    const [prp1, prp2] = [address(dwords, wire.PRP1), address(dwords, wire.PRP2)];
    const [cdw10, cdw11] = [dwords[wire.CDW10]!, dwords[wire.CDW11]!];
    const [id, size] = [cdw10 & 0xffff, (cdw10 >>> 16) + 1];
    switch (opcode) {
      case wire.IDENTIFY: {
        const page = this.#identify(cdw10 & 0xff, dwords[wire.NSID]!);
        if (page) this.#machine.memory.write(prp1, page);
        return page ? SUCCESS : INVALID;
      }
      case wire.SET_FEATURES: {
        const most = (this.#options.ioQueues ?? 8) - 1;
        if (cdw10 === wire.FEATURE_WRITE_CACHE) this.#cache = cdw11 & 1;
        const queues = Math.min(cdw11 & 0xffff, most) | Math.min(cdw11 >>> 16, most) << 16;
        return cdw10 === wire.FEATURE_QUEUES ? { ...SUCCESS, result: queues } : SUCCESS;
      }
      case wire.GET_FEATURES:
        return { ...SUCCESS, result: this.#cache };
      case wire.CREATE_CQ: {
        const vector = cdw11 & wire.QUEUE_INTERRUPTS ? cdw11 >>> 16 : undefined;
        const queue = { address: prp1, size, head: 0, tail: 0, phase: wire.DW3_PHASE, vector };
        this.#completion.set(id, queue);
        return SUCCESS;
      }
      case wire.CREATE_SQ: {
        const cqid = cdw11 >>> 16;
        if (!this.#completion.has(cqid)) return INVALID;
        this.#submission.set(id, { address: prp1, size, head: 0, tail: 0, cqid });
        return SUCCESS;
      }
      case wire.DOORBELL_BUFFER_CONFIG:
        if (this.#options.shadow === false) return { status: wire.STATUS_INVALID_OPCODE };
        this.#shadow = { doorbells: prp1, events: prp2 };
        return SUCCESS;
      case wire.ABORT: {
        const [sqid, cid] = [id, size - 1];
        const sq = this.#submission.get(sqid);
        if (!sq || !this.#hanging.delete(`${sqid} ${cid}`)) {
          return { ...SUCCESS, result: NOT_ABORTED };
        }
        const status = wire.STATUS_ABORT_REQUESTED;
        this.#complete(sq.cqid, { sqid, sqhd: sq.head, cid, status, result: 0 });
        return SUCCESS;
      }
      default:
        return { status: wire.STATUS_INVALID_OPCODE };
    }
  }

  #identify(cns: number, nsid: number): Uint8Array<ArrayBuffer> | undefined {
    const page = new Uint8Array(wire.IDENTIFY_BYTES);
    const view = new DataView(page.buffer);
    const { serial = "", mdts = 0, writeCache = true, shadow = true, namespaces } = this.#options;
    switch (cns) {
      case wire.CNS_CONTROLLER:
        view.setUint16(0, this.vendor, true);
        view.setUint16(2, this.vendor, true);
        put(page, wire.ID_SN, serial.padEnd(wire.ID_SN_BYTES));
        put(page, wire.ID_MN, MODEL_NUMBER.padEnd(wire.ID_MN_BYTES));
        put(page, wire.ID_FR, FIRMWARE.padEnd(wire.ID_FR_BYTES));
        put(page, wire.ID_SUBNQN, subsystemName(serial));
        view.setUint32(wire.ID_VER, VERSION, true);
        page[wire.ID_CNTRLTYPE] = IO_CONTROLLER;
        page[wire.ID_SQES] = SQ_ENTRY;
        page[wire.ID_CQES] = CQ_ENTRY;
        view.setUint32(wire.ID_NN, Math.max(...Object.keys(namespaces).map(Number)), true);
        page[wire.ID_MDTS] = mdts;
        view.setUint16(wire.ID_OACS, shadow ? wire.OACS_DOORBELL_BUFFER : 0, true);
        page[wire.ID_ACL] = ABORTS - 1;
        view.setUint16(
          wire.ID_ONCS,
          wire.ONCS_DATASET_MANAGEMENT | wire.ONCS_WRITE_ZEROES,
          true,
        );
        page[wire.ID_VWC] = Number(writeCache);
        return page;
      case wire.CNS_ACTIVE_NAMESPACES:
        Object.keys(namespaces).forEach((id, i) => view.setUint32(4 * i, Number(id), true));
        return page;
      case wire.CNS_NAMESPACE: {
        const namespace = namespaces[nsid];
        if (!namespace) return page;
        const { capacity, blockSize = 512, metadata = 0, readOnly = false } = namespace;
        for (const field of [wire.NS_NSZE, wire.NS_NCAP, wire.NS_NUSE]) {
          view.setBigUint64(field, BigInt(Math.floor(capacity / blockSize)), true);
        }
        page[wire.NS_DLFEAT] = wire.DLFEAT_DEAC;
        page[wire.NS_NSATTR] = Number(readOnly);
        page.set(nguid(serial, nsid), wire.NS_NGUID);
        page.set(eui64(serial, nsid), wire.NS_EUI64);
        view.setUint32(wire.NS_LBAF, metadata | Math.log2(blockSize) << 16, true);
        return page;
      }
      case wire.CNS_DESCRIPTORS: {
        if (!namespaces[nsid]) return undefined;
        let at = 0;
        for (
          const [type, id] of [
            [wire.NIDT_EUI64, eui64(serial, nsid)],
            [wire.NIDT_NGUID, nguid(serial, nsid)],
          ] as const
        ) {
          page.set([type, id.length], at);
          page.set(id, at + wire.NID);
          at += wire.NID + id.length;
        }
        return page;
      }
      default:
        return undefined;
    }
  }

  #io(command: Command): Outcome {
    const { opcode, dwords } = command;
    const nsid = dwords[wire.NSID]!;
    const namespace = this.#options.namespaces[nsid];
    const store = this.#stores.get(nsid);
    if (!namespace || !store) return INVALID;
    const { blockSize = 512, capacity } = namespace;
    const block = address(dwords, wire.CDW10);
    const failed = this.#options.fail?.(opcode, block);
    if (failed !== undefined) return { status: failed };
    if (opcode === wire.FLUSH) return SUCCESS;
    if (opcode === wire.DATASET_MANAGEMENT) return this.#deallocate(command, store, blockSize);
    const start = block * blockSize;
    const length = ((dwords[wire.CDW12]! & 0xffff) + 1) * blockSize;
    if (start + length > capacity) return { status: wire.STATUS_LBA_OUT_OF_RANGE };
    switch (opcode) {
      case wire.WRITE_ZEROES:
        store.clear(start, length);
        return SUCCESS;
      case wire.READ:
      case wire.WRITE: {
        const { mdts = 0 } = this.#options;
        if (mdts > 0 && length > wire.PAGE_BYTES << mdts) return INVALID;
        let at = start;
        for (const place of this.#pages(dwords, length)) {
          const bytes = new Uint8Array(place.length);
          if (opcode === wire.READ) {
            store.read(at, bytes);
            this.#machine.memory.write(place.address, bytes);
          } else {
            this.#machine.memory.read(place.address, bytes);
            store.write(at, bytes);
          }
          at += place.length;
        }
        return SUCCESS;
      }
      default:
        return { status: wire.STATUS_INVALID_OPCODE };
    }
  }

  #deallocate({ dwords }: Command, store: SparseMemory, blockSize: number): Outcome {
    const count = (dwords[wire.CDW10]! & 0xff) + 1;
    const bytes = new Uint8Array(count * wire.RANGE_BYTES);
    this.#machine.memory.read(address(dwords, wire.PRP1), bytes);
    const ranges = new Uint32Array(bytes.buffer);
    for (let i = 0; i < count && dwords[wire.CDW11]! & wire.DEALLOCATE; i++) {
      store.clear(address(ranges, 4 * i + 2) * blockSize, ranges[4 * i + 1]! * blockSize);
    }
    return SUCCESS;
  }

  /** Physical region pages: the rest of the first, then the second, or a list of them (base 2.0, 4.1.1). */
  *#pages(dwords: Uint32Array, length: number): Generator<{ address: number; length: number }> {
    const first = address(dwords, wire.PRP1);
    const head = Math.min(length, wire.PAGE_BYTES - first % wire.PAGE_BYTES);
    yield { address: first, length: head };
    const rest = length - head;
    if (rest === 0) return;
    const second = address(dwords, wire.PRP2);
    if (rest <= wire.PAGE_BYTES) return yield page(second, rest);
    const list = new Uint8Array(Math.ceil(rest / wire.PAGE_BYTES) * wire.PRP_BYTES);
    if (second % wire.PAGE_BYTES + list.length > wire.PAGE_BYTES) {
      throw new DriverFault("A PRP list crosses a page and is not chained");
    }
    this.#machine.memory.read(second, list);
    const entries = new Uint32Array(list.buffer);
    for (let i = 0; i < entries.length / 2; i++) {
      yield page(address(entries, 2 * i), Math.min(wire.PAGE_BYTES, rest - i * wire.PAGE_BYTES));
    }
  }
}

function address(dwords: Uint32Array, at: number): number {
  return dwords[at]! + dwords[at + 1]! * 2 ** 32;
}

/** Writes ASCII into a page. */
function put(page: Uint8Array<ArrayBuffer>, at: number, text: string): void {
  new TextEncoder().encodeInto(text, page.subarray(at));
}

function page(address: number, length: number): { address: number; length: number } {
  if (address % wire.PAGE_BYTES === 0) return { address, length };
  throw new DriverFault(`The PRP entry ${address.toString(16)} is not the address of a page`);
}

/** A controller with a disk, as tests take it. */
export default (): FunctionModel => new NvmeModel({ namespaces: { 1: { capacity: 2 ** 22 } } });
