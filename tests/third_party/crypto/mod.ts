/** The driver of a crypto device (virtio 1.4, 5.9): for each request it opens a session of AES-CBC on the control queue, has
 * the work done on the first data queue, and closes the session. @module */

import { definePlugin, type Plugin, Status, type Virtqueue, Word } from "@virtio/deno/plugin";
import { CryptoOperation, Place } from "./protocol.ts";

const SLOTS = 8, VECTOR_BYTES = 16;
/** Bytes of a request's header (5.9.7) and of the answer to the wish for a session; the word with the kind of operation. */
const HEADER = 72, ANSWER = 16, KIND = 16;
/** Bits and numbers of the cipher service, which is number 0, and its opcodes. */
const CIPHER_SERVICE = 1, AES_CBC = 3, CIPHER_ALONE = 1;
const Opcode = { encrypt: 0, decrypt: 1, createSession: 2, destroySession: 3 } as const;
const Field = { dataQueues: 4, services: 8, ciphers: 12 } as const;
const CLOSING = 1 << 16; // marks the cookie of a session's end

const crypto: Plugin = definePlugin({
  plan({ config }) {
    const known = config.u32(Field.services) & CIPHER_SERVICE && config.u32(Field.ciphers);
    if (!(known & 1 << AES_CBC)) return { decline: "it does not know AES-CBC" };
    const control = { index: config.u32(Field.dataQueues), size: 64, buffers: 3 };
    return {
      queues: { data: { index: 0, size: 64, buffers: 5 }, control },
      lanes: { requests: { slots: SLOTS, slotBytes: Place.end } },
      buffers: { headers: SLOTS * HEADER, answers: SLOTS * ANSWER },
    };
  },

  start({ queues: { control, data }, lanes: { requests }, buffers: { headers, answers } }) {
    const headerWords = new Uint32Array(headers.bytes.buffer, headers.offset, SLOTS * HEADER / 4);
    const answerWords = new Uint32Array(answers.bytes.buffer, answers.offset, SLOTS * ANSWER / 4);
    /** The number of each slot's session: two words. And the bytes that came out of its work. */
    const sessions = new Uint32Array(2 * SLOTS), results = new Uint32Array(SLOTS);

    function begin(queue: Virtqueue, slot: number, cookie: number, ...header: number[]): void {
      const at = slot * HEADER / 4;
      headerWords.fill(0, at, at + HEADER / 4).set(header, at);
      headerWords[at + KIND] = CIPHER_ALONE;
      answerWords.fill(~0, slot * ANSWER / 4, (slot + 1) * ANSWER / 4);
      queue.begin(cookie);
      queue.readable(headers.offset + slot * HEADER, HEADER);
    }

    function end(queue: Virtqueue, slot: number, bytes: number): boolean {
      queue.writable(answers.offset + slot * ANSWER, bytes);
      if (queue.commit()) return true;
      throw new Error(`A queue of ${queue.size} entries is too small`);
    }

    function open(slot: number): boolean {
      const bytes = Math.min(requests.word(slot, Word.first), Place.end - Place.key);
      const operation = requests.word(slot, Word.operation);
      begin(control, slot, slot, Opcode.createSession, AES_CBC, 0, 0, AES_CBC, bytes, operation);
      control.readable(requests.offset(slot) + Place.key, bytes);
      return end(control, slot, ANSWER);
    }

    function work(slot: number): void {
      const [low = 0, high = 0, status] = answerWords.slice(slot * ANSWER / 4);
      if (status !== 0) return requests.complete(slot, Status.failed, 0);
      sessions.set([low, high], 2 * slot);
      const encrypts = requests.word(slot, Word.operation) === CryptoOperation.encrypt;
      const opcode = encrypts ? Opcode.encrypt : Opcode.decrypt;
      const bytes = Math.min(requests.word(slot, Word.length), Place.input);
      begin(data, slot, slot, opcode, AES_CBC, low, high, 0, 0, VECTOR_BYTES, bytes, bytes);
      data.readable(requests.offset(slot) + Place.vector, VECTOR_BYTES);
      data.readable(requests.offset(slot) + Place.input, bytes);
      data.writable(requests.offset(slot) + Place.output, bytes);
      end(data, slot, 1);
    }

    function close(slot: number, written: number): void {
      const good = (answerWords[slot * ANSWER / 4]! & 0xff) === 0;
      results[slot] = good ? written - 1 : 0;
      const [low = 0, high = 0] = sessions.subarray(2 * slot);
      begin(control, slot, slot | CLOSING, Opcode.destroySession, AES_CBC, 0, 0, low, high);
      end(control, slot, 1);
    }

    function finish(slot: number): void {
      requests.complete(slot, results[slot] ? Status.ok : Status.failed, results[slot]!);
    }

    return {
      rung() {
        control.drain((cookie) => cookie & CLOSING ? finish(cookie ^ CLOSING) : work(cookie));
        data.drain(close);
        requests.take(open);
      },
    };
  },
});

export default crypto;
