import type { Buffer } from "@virtio/deno/plugin";
import type { Controller } from "./controller.ts";
import type { Doorbells } from "./doorbells.ts";
import { QueuePair } from "./queue_pair.ts";
import * as wire from "./wire.ts";

/** What the I/O queues are made of. */
export interface IoQueueOptions {
  /** How many pairs at most. */
  readonly wanted: number;
  /** Entries of each. */
  readonly entries: number;
  /** Identifiers of commands. */
  readonly identifiers: number;
  /** Interrupts that there are. */
  readonly vectors: number;
  /** Memory for all submission queues, and for all completion queues. */
  readonly submission: Buffer;
  readonly completion: Buffer;
  readonly doorbells: Doorbells;
  readonly address: (offset: number) => number;
}

/**
 * Creates pairs of I/O queues, each with an interrupt of its own as far as there are (base 2.0, 5.4, 5.5 and 5.27.1.5).
 *
 * @throws Error If the controller does not.
 */
export function createIoQueues(controller: Controller, options: IoQueueOptions): QueuePair[] {
  const { wanted, entries, vectors, doorbells, address } = options;
  const granted = controller.do({
    opcode: wire.SET_FEATURES,
    cdw10: wire.FEATURE_QUEUES,
    cdw11: wanted - 1 << 16 | wanted - 1,
    what: "set the number of queues",
  });
  const count = Math.min(
    ...[wanted, (granted & 0xffff) + 1, (granted >>> 16) + 1, doorbells.queues - 1],
  );
  return Array.from({ length: count }, (_, i) => {
    const id = i + 1;
    const submission = piece(options.submission, i, entries * wire.SQE_BYTES);
    const completion = piece(options.completion, i, entries * wire.CQE_BYTES);
    const cdw10 = entries - 1 << 16 | id;
    const vector = vectors > 0 ? id % vectors << 16 | wire.QUEUE_INTERRUPTS : 0;
    controller.do({
      opcode: wire.CREATE_CQ,
      prp1: address(completion.offset),
      cdw10,
      cdw11: vector | wire.QUEUE_CONTIGUOUS,
      what: `create completion queue ${id}`,
    });
    controller.do({
      opcode: wire.CREATE_SQ,
      prp1: address(submission.offset),
      cdw10,
      cdw11: id << 16 | wire.QUEUE_CONTIGUOUS,
      what: `create submission queue ${id}`,
    });
    return new QueuePair({ ...options, id, submission, completion });
  });
}

/** Queues begin at memory pages. */
function piece({ bytes, offset }: Buffer, index: number, length: number): Buffer {
  const at = index * Math.ceil(length / wire.PAGE_BYTES) * wire.PAGE_BYTES;
  return { offset: offset + at, bytes: bytes.subarray(at, at + length) };
}
