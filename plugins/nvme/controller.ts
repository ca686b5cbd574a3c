import type { Buffer, RegisterWindow } from "@virtio/deno/plugin";
import type { Doorbells } from "./doorbells.ts";
import { type Collect, QueuePair } from "./queue_pair.ts";
import * as wire from "./wire.ts";

/** Entries of the admin queues. */
export const ADMIN_ENTRIES = 64;
/** How long an admin command may take while the driver starts. */
const ADMIN_MS = 5000;
/** How long a controller may take to shut down; the core waits for the driver no longer than a second. */
const SHUTDOWN_MS = 500;
const ALL_ONES = 0xffffffff;

/** Memory that a controller is started with. */
export interface ControllerBuffers {
  /** Admin submission queue. */
  readonly asq: Buffer;
  /** Admin completion queue. */
  readonly acq: Buffer;
  /** What Identify tells. */
  readonly identify: Buffer;
}

/** An admin command whose end is waited for; arguments that are left out are 0. */
export interface AdminCommand {
  readonly opcode: number;
  readonly nsid?: number;
  /** Device address of its data. */
  readonly prp1?: number;
  /** Device address of more. */
  readonly prp2?: number;
  readonly cdw10?: number;
  readonly cdw11?: number;
  /** What it does, for the error: `"create completion queue 1"`. */
  readonly what: string;
}

/** What CAP says, as far as it matters here. */
export interface Capabilities {
  /** Most entries of a queue. */
  readonly entries: number;
  /** Milliseconds that it may take to become ready, or to stop. */
  readonly timeout: number;
  /** Binary logarithm of the distance between doorbells in dwords. */
  readonly stride: number;
}

/**
 * Reads the controller capabilities.
 *
 * @throws Error If the controller is gone, or cannot be driven with pages of 4096 bytes and the NVM command set.
 */
export function capabilities(registers: RegisterWindow): Capabilities {
  const low = registers.read32(wire.CAP_LOW);
  const high = registers.read32(wire.CAP_HIGH);
  if (low === ALL_ONES && high === ALL_ONES) throw new Error("The controller is gone");
  const page = wire.PAGE_BYTES << (high >>> wire.CAP_MPSMIN_SHIFT & 0xf);
  if (page !== wire.PAGE_BYTES) {
    throw new Error(`The controller's memory pages have at least ${page} bytes; 4096 are wanted`);
  }
  if (!(high & wire.CAP_CSS_NVM)) throw new Error("The controller has no NVM command set");
  return {
    entries: (low & wire.CAP_MQES) + 1,
    timeout: Math.max(1, low >>> wire.CAP_TO_SHIFT) * wire.CAP_TO_MS,
    stride: high & wire.CAP_DSTRD,
  };
}

/** The controller, by its properties and its admin queues (base 2.0, 3.1.3 and 3.5). */
export class Controller {
  /** The admin queues. */
  readonly admin: QueuePair;
  readonly #registers: RegisterWindow;
  readonly #buffers: ControllerBuffers;
  readonly #address: (offset: number) => number;
  #timeout: number;

  /**
   * Resets the controller, whatever it was at, and enables it.
   *
   * @throws Error If it does not become ready in the time that it asks for, or fails.
   */
  constructor(
    registers: RegisterWindow,
    doorbells: Doorbells,
    { timeout }: Capabilities,
    buffers: ControllerBuffers,
    options: { readonly identifiers: number; readonly address: (offset: number) => number },
  ) {
    this.#registers = registers;
    this.#buffers = buffers;
    this.#address = options.address;
    this.#timeout = timeout;
    const { asq, acq } = buffers;
    registers.write32(wire.CC, 0);
    this.#awaitReady(0);
    // What was under way until now may have been answered late.
    acq.bytes.fill(0);
    const last = ADMIN_ENTRIES - 1;
    registers.write32(wire.AQA, last << 16 | last);
    this.#writeAddress(wire.ASQ, asq);
    this.#writeAddress(wire.ACQ, acq);
    registers.write32(wire.CC, wire.CC_ENTRIES | wire.CC_EN);
    this.#awaitReady(wire.CSTS_RDY);
    this.admin = new QueuePair({
      id: 0,
      entries: ADMIN_ENTRIES,
      identifiers: options.identifiers,
      submission: asq,
      completion: acq,
      doorbells,
    });
  }

  #writeAddress(register: number, { offset }: Buffer): void {
    const address = this.#address(offset);
    this.#registers.write32(register, address % 2 ** 32);
    this.#registers.write32(register + 4, Math.floor(address / 2 ** 32));
  }

  #awaitReady(wanted: number): void {
    const ready = comesTrue(this.#timeout, () => {
      const status = this.#status();
      // Until it has stopped, a controller that failed may say so still.
      if (wanted !== 0 && status & wire.CSTS_CFS) throw fatal();
      return (status & wire.CSTS_RDY) === wanted;
    });
    if (ready) return;
    throw new Error(
      `The controller did not become ${
        wanted ? "ready" : "disabled"
      } within ${this.#timeout} ms, as CAP.TO promises`,
    );
  }

  #status(): number {
    const status = this.#registers.read32(wire.CSTS);
    if (status === ALL_ONES) throw new Error("The controller is gone");
    return status;
  }

  /**
   * Looks whether the controller is well.
   *
   * @throws Error If it is not.
   */
  check(): void {
    const status = this.#status();
    if (status & wire.CSTS_CFS) throw fatal();
    if (!(status & wire.CSTS_RDY)) throw new Error("The controller was reset: it is not ready");
  }

  /**
   * Does an admin command, and waits in place until it has ended.
   *
   * @returns Its status, and dword 0 of its completion.
   * @throws Error If it does not end in time, or the controller fails.
   */
  try(command: AdminCommand): { readonly status: number; readonly result: number } {
    const { opcode, nsid = 0, prp1 = 0, prp2 = 0, cdw10 = 0, cdw11 = 0, what } = command;
    const { admin } = this;
    const at = admin.begin(0, opcode, nsid);
    putAddress(admin.sq, at + wire.PRP1, prp1);
    putAddress(admin.sq, at + wire.PRP2, prp2);
    admin.sq[at + wire.CDW10] = cdw10;
    admin.sq[at + wire.CDW11] = cdw11;
    admin.publish();
    let ended: { status: number; result: number } | undefined;
    const collect: Collect = (_, status, result) => ended = { status, result };
    const done = comesTrue(ADMIN_MS, () => admin.drain(collect) > 0);
    if (done) return ended!;
    this.check();
    throw new Error(`The controller did not ${what} within ${ADMIN_MS} ms`);
  }

  /**
   * The same, of a command that must succeed.
   *
   * @returns Dword 0 of its completion.
   */
  do(command: AdminCommand): number {
    const { status, result } = this.try(command);
    if (status === wire.STATUS_SUCCESS) return result;
    throw new Error(`The controller did not ${command.what}: status ${hex(status)}`);
  }

  /**
   * What the controller tells of itself or of a namespace: a copy.
   *
   * @param cns Of what.
   * @returns Undefined if it does not know that.
   */
  identify(cns: number, nsid = 0): DataView | undefined {
    const { bytes, offset } = this.#buffers.identify;
    bytes.fill(0);
    const prp1 = this.#address(offset);
    const what = `identify ${hex(cns)}`;
    const { status } = this.try({ opcode: wire.IDENTIFY, nsid, prp1, cdw10: cns, what });
    return status === wire.STATUS_SUCCESS ? new DataView(Uint8Array.from(bytes).buffer) : undefined;
  }

  /** Lets the controller shut down in order, as far as it does soon. */
  shutDown(): void {
    this.#registers.write32(wire.CC, wire.CC_ENTRIES | wire.CC_EN | wire.CC_SHN_NORMAL);
    comesTrue(SHUTDOWN_MS, () => (this.#status() & wire.CSTS_SHST) === wire.CSTS_SHST_COMPLETE);
  }
}

/** Writes a device address into two dwords. */
export function putAddress(dwords: Uint32Array, at: number, address: number): void {
  dwords[at] = address % 2 ** 32;
  dwords[at + 1] = address / 2 ** 32;
}

function fatal(): Error {
  return new Error("The controller reports a fatal status (CSTS.CFS)");
}

function hex(number: number): string {
  return `0x${number.toString(16)}`;
}

const NAP_MS = 1;
const nap = new Int32Array(new SharedArrayBuffer(4));

/** Waits in place until something is so. Returns whether it came to that in time. */
function comesTrue(milliseconds: number, done: () => boolean): boolean {
  const end = performance.now() + milliseconds;
  while (!done()) {
    if (performance.now() >= end) return false;
    Atomics.wait(nap, 0, 0, NAP_MS);
  }
  return true;
}
