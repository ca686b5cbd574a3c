import type { Buffer, DriverLane, Virtqueue } from "@virtio/deno/plugin";
import * as bus from "@virtio/deno/plugin";
import * as protocol from "@virtio/deno/classes/scsi";
import { writeLun } from "./lun.ts";
import * as wire from "./wire.ts";

const { Status } = bus;
const { dataInOffset, ScsiAttribute, ScsiTail, ScsiWord } = protocol;
const {
  CDB_SIZE,
  HEADER_CDB,
  HEADER_CRN,
  HEADER_ID,
  HEADER_PI_BYTES,
  HEADER_PRIO,
  HEADER_TASK_ATTR,
  RESPONSE_RESIDUAL,
  RESPONSE_RESPONSE,
  RESPONSE_SENSE,
  RESPONSE_SENSE_LEN,
  RESPONSE_STATUS_QUALIFIER,
  S_LAST_OF_REQUESTS,
  S_OK,
} = wire;

/** Bytes from the header of one request to that of the next. */
export const HEADER_STRIDE = 64;

/** Bytes from the response to one request to that to the next, each with so many bytes of sense data. */
export function responseStride(senseSize: number): number {
  return Math.ceil((RESPONSE_SENSE + senseSize) / 64) * 64;
}

/** A byte that no device writes as a response: it shows whether it wrote one at all. */
const NO_RESPONSE = 0xff;

/** What the requests of a device go through. */
export interface RequestParts {
  /** The request queues. */
  readonly queues: readonly Virtqueue[];
  /** The lane `requests`. */
  readonly lane: DriverLane;
  /** Memory for the headers. */
  readonly headers: Buffer;
  /** Memory for the responses. */
  readonly responses: Buffer;
  /** Room for sense data in each of them, as the device was told. */
  readonly senseSize: number;
  /** Whether VIRTIO_SCSI_F_T10_PI was agreed. */
  readonly protection: boolean;
}

/** What was counted. */
export interface RequestCounts {
  /** Commands that the device has taken. */
  scsi_commands: number;
  /** How often there was no room for a command. */
  dequeue_no_requests: number;
  /** Responses that were none. */
  response_invalid: number;
  /** Sense data that were longer than their room. */
  sense_clamped: number;
  /** Commands of which more was left over than there was. */
  residual_clamped: number;
}

/** The request queues of a device (virtio 1.4, 5.6.6.1). */
export interface Requests {
  readonly counts: RequestCounts;
  /** Whether the device has the command in this slot. */
  has(slot: number): boolean;
  /** The high half of its tag; the low half is the slot. */
  tag(slot: number): number;
  /** Takes what the device has finished. */
  collect(): void;
  /** Gives what is new to the device. */
  provide(): void;
  /** Gives requests that a reset of their queue took away to the device again. */
  again(slots: readonly number[]): void;
}

/** Makes them. */
export function makeRequests(parts: RequestParts): Requests {
  const { queues, lane, headers, responses, senseSize, protection } = parts;
  const arena = new Uint8Array(headers.bytes.buffer);
  const words = new Uint32Array(headers.bytes.buffer);
  const room = lane.slotBytes - ScsiTail.bytes;
  const headerBytes = HEADER_CDB + CDB_SIZE + (protection ? HEADER_PI_BYTES : 0);
  const stride = responseStride(senseSize);
  const tags = new Uint32Array(lane.slots);
  const held = new Uint8Array(lane.slots);
  let sequence = 0;
  const counts: RequestCounts = {
    scsi_commands: 0,
    dequeue_no_requests: 0,
    response_invalid: 0,
    sense_clamped: 0,
    residual_clamped: 0,
  };

  function provide(slot: number): boolean {
    const address = lane.word(slot, ScsiWord.address);
    const outBytes = Math.min(lane.word(slot, ScsiWord.outBytes), room);
    const inAt = dataInOffset(outBytes);
    const inBytes = Math.min(lane.word(slot, ScsiWord.inBytes), room - inAt);
    const cdbBytes = lane.word(slot, ScsiWord.cdbBytes);
    if (cdbBytes === 0 || cdbBytes > CDB_SIZE) {
      lane.complete(slot, Status.unsupported, 0);
      return true;
    }
    const checks = protection ? lane.word(slot, ScsiWord.protection) : 0;
    const checkOut = Math.min(checks & 0xffff, ScsiTail.protectionBytes);
    const checkIn = Math.min(checks >>> 16, ScsiTail.protectionBytes);
    const data = lane.offset(slot);
    const tail = data + room;
    const header = headers.offset + slot * HEADER_STRIDE;
    const response = responses.offset + slot * stride;

    // Requests to one unit keep their order: they take the same queue.
    const queue = queues[(address & 0xffffff) % queues.length]!;
    queue.begin(slot);
    queue.readable(header, headerBytes);
    if (checkOut > 0) queue.readable(tail + ScsiTail.protection, checkOut);
    if (outBytes > 0) queue.readable(data, outBytes);
    queue.writable(response, RESPONSE_SENSE + senseSize);
    if (checkIn > 0) queue.writable(tail + ScsiTail.protection, checkIn);
    if (inBytes > 0) queue.writable(data + inAt, inBytes);
    if (!queue.commit()) {
      counts.dequeue_no_requests++;
      return false;
    }

    sequence = sequence + 1 >>> 0;
    tags[slot] = sequence;
    held[slot] = 1;
    counts.scsi_commands++;
    writeLun(arena, header, address);
    words[header + HEADER_ID >> 2] = slot;
    words[header + HEADER_ID + 4 >> 2] = sequence;
    arena[header + HEADER_TASK_ATTR] = address >>> 24 & ~ScsiAttribute.once;
    arena[header + HEADER_PRIO] = 0;
    arena[header + HEADER_CRN] = 0;
    const cdb = header + HEADER_CDB;
    for (let i = 0; i < cdbBytes; i++) arena[cdb + i] = arena[tail + ScsiTail.cdb + i]!;
    for (let i = cdbBytes; i < CDB_SIZE; i++) arena[cdb + i] = 0;
    if (protection) {
      writeWord(cdb + CDB_SIZE, checkOut);
      writeWord(cdb + CDB_SIZE + 4, checkIn);
    }
    arena[response + RESPONSE_RESPONSE] = NO_RESPONSE;
    return true;
  }

  function writeWord(at: number, value: number): void {
    for (let i = 0; i < 4; i++) arena[at + i] = value >>> 8 * i;
  }

  /** What the device says it wrote is not looked at: Linux's vhost-scsi says 0, and the response says enough. */
  function collect(slot: number): void {
    held[slot] = 0;
    const at = responses.offset + slot * stride >> 2;
    // Read once, then looked at.
    const senseLength = words[at + (RESPONSE_SENSE_LEN >> 2)]!;
    const left = words[at + (RESPONSE_RESIDUAL >> 2)]!;
    const state = words[at + (RESPONSE_STATUS_QUALIFIER >> 2)]!;
    const response = state >>> 24;
    if (response > S_LAST_OF_REQUESTS) {
      counts.response_invalid++;
      return lane.complete(slot, Status.invalid, 0);
    }
    const outBytes = Math.min(lane.word(slot, ScsiWord.outBytes), room);
    const inAt = dataInOffset(outBytes);
    const inBytes = Math.min(lane.word(slot, ScsiWord.inBytes), room - inAt);
    if (left > outBytes + inBytes) counts.residual_clamped++;
    if (senseLength > senseSize) counts.sense_clamped++;
    const residual = Math.min(left, outBytes + inBytes);
    const sense = Math.min(senseLength, senseSize);
    if (sense > 0) {
      const from = responses.offset + slot * stride + RESPONSE_SENSE;
      arena.copyWithin(lane.offset(slot) + room + ScsiTail.sense, from, from + sense);
    }
    lane.setWord(slot, ScsiWord.outcome, response | (state >>> 16 & 0xff) << 8 | sense << 16);
    lane.setWord(slot, ScsiWord.residual, residual);
    const status = response === S_OK ? Status.ok : Status.failed;
    // What is left over is at first of the data that come in (5.6.6.1).
    lane.complete(slot, status, Math.max(0, inBytes - residual));
  }

  return {
    counts,
    has: (slot) => held[slot] === 1,
    tag: (slot) => tags[slot]!,
    collect() {
      for (let i = 0; i < queues.length; i++) queues[i]!.drain(collect);
    },
    provide: () => lane.take(provide),
    again(slots) {
      for (const slot of slots) {
        held[slot] = 0;
        const once = lane.word(slot, ScsiWord.address) >>> 24 & ScsiAttribute.once;
        if (once) lane.complete(slot, Status.unknown, 0);
        else provide(slot);
      }
    },
  };
}
