import { assertEquals } from "@std/assert";
import { DeviceMemory } from "../../simulation/device_memory.ts";
import type { FunctionHandle } from "@virtio/deno/simulation";
import { NvmeModel } from "./model.ts";
import * as wire from "./wire.ts";

const ENTRIES = 8;
const PAGE = wire.PAGE_BYTES;
/** Where things are in memory: the queues, and the shadow doorbells with what the controller writes beside them. */
const [ASQ, ACQ, SQ, CQ, SHADOW, EVENTS] = [0, 1, 2, 3, 4, 5].map((page) => page * PAGE) as [
  number,
  number,
  number,
  number,
  number,
  number,
];
const DOORBELLS = 0x1000;
/** Of the first pair of I/O queues: its doorbells by number. */
const TAIL = 2, HEAD = 3;

/** A controller with shadow doorbells and one pair of I/O queues, and its driver's part by hand. */
class Rig {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly model = new NvmeModel({ namespaces: { 1: { capacity: PAGE } } });
  pin = false;
  #adminTail = 0;

  constructor() {
    const shared = new SharedArrayBuffer(6 * PAGE);
    this.words = new Int32Array(shared);
    const memory = new DeviceMemory();
    memory.add(shared, [{ address: 0, length: shared.byteLength }]);
    const machine: Partial<FunctionHandle> = {
      memory,
      interrupt: () => {},
      pin: (asserted) => this.pin = asserted,
    };
    this.model.attach(machine as FunctionHandle);
    this.#write(wire.AQA, ENTRIES - 1 << 16 | ENTRIES - 1);
    this.#write(wire.ASQ, ASQ);
    this.#write(wire.ACQ, ACQ);
    this.#write(wire.CC, wire.CC_ENTRIES | wire.CC_EN);
    const first = ENTRIES - 1 << 16 | 1;
    this.#admin(wire.CREATE_CQ, CQ, 0, first, wire.QUEUE_CONTIGUOUS | wire.QUEUE_INTERRUPTS);
    this.#admin(wire.CREATE_SQ, SQ, 0, first, wire.QUEUE_CONTIGUOUS | 1 << 16);
    this.#admin(wire.DOORBELL_BUFFER_CONFIG, SHADOW, EVENTS, 0, 0);
    this.#write(DOORBELLS + 4, this.#adminTail);
  }

  /** How many I/O commands the controller has carried out. */
  get flushes(): number {
    return this.model.counts[wire.FLUSH]!;
  }

  /** The index at which the controller wants to be told. */
  event(doorbell: number): number {
    return this.words[EVENTS / 4 + doorbell]!;
  }

  /** A command without data is put at `index`. */
  flush(index: number): void {
    const at = (SQ + index * wire.SQE_BYTES) / 4;
    this.words[at] = index << 16 | wire.FLUSH;
    this.words[at + wire.NSID] = 1;
  }

  /** An index stands in memory from now on. */
  shadow(doorbell: number, index: number): void {
    this.words[SHADOW / 4 + doorbell] = index;
  }

  /** It comes by the register, too. */
  ring(doorbell: number, index: number): void {
    this.#write(DOORBELLS + 4 * doorbell, index);
  }

  process(): void {
    while (this.model.process());
  }

  #write(offset: number, value: number): void {
    this.model.write(0, offset, 4, value);
  }

  #admin(opcode: number, prp1: number, prp2: number, cdw10: number, cdw11: number): void {
    const at = (ASQ + this.#adminTail * wire.SQE_BYTES) / 4;
    this.words[at] = opcode;
    this.words[at + wire.PRP1] = prp1;
    this.words[at + wire.PRP2] = prp2;
    this.words[at + wire.CDW10] = cdw10;
    this.words[at + wire.CDW11] = cdw11;
    this.#write(DOORBELLS, ++this.#adminTail);
    this.process();
  }
}

Deno.test("a doorbell that comes after later indices were read in memory takes nothing back #nvme:shadow", () => {
  const rig = new Rig();
  for (const index of [0, 1, 2]) rig.flush(index);
  // The driver rings for the first, and the controller is awake before the register is written.
  rig.shadow(TAIL, 2);
  rig.process();
  assertEquals([rig.flushes, rig.event(TAIL)], [2, 2]);
  rig.ring(TAIL, 1);
  rig.process();
  // With 1, the driver would not ring for the third, and the controller would not look again.
  assertEquals([rig.flushes, rig.event(TAIL)], [2, 2]);
  rig.shadow(TAIL, 3);
  rig.ring(TAIL, 3);
  rig.process();
  assertEquals([rig.flushes, rig.event(TAIL)], [3, 3]);
});

Deno.test("the pin is let go of once the head in memory says that all was taken #nvme:shadow", () => {
  const rig = new Rig();
  rig.flush(0);
  rig.shadow(TAIL, 1);
  rig.ring(TAIL, 1);
  rig.process();
  assertEquals(rig.pin, true);
  rig.shadow(HEAD, 1);
  rig.ring(HEAD, 1);
  rig.process();
  assertEquals([rig.pin, rig.event(HEAD)], [false, 1]);
});
