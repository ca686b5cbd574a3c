import { BlockOperation, type BlockProperties, SECTOR } from "./block.ts";
import { BlockSlots } from "./block_slots.ts";
import type { ClientLane } from "./client_lane.ts";
import { Status } from "./lane.ts";
import { RequestError } from "./request_error.ts";

/** One call of the client: as many requests as its bytes need slots. */
interface Job {
  readonly operation: number;
  /** Where its bytes are, or go. */
  readonly bytes: Uint8Array;
  readonly sector: number;
  /** Bytes for which a request was submitted. */
  submitted: number;
  /** Requests in flight. */
  pending: number;
  /** Bytes that the last request moved. */
  moved: number;
  status: number;
  readonly settle: (job: Job) => void;
}

/** An application's view of a block device. */
export class BlockClient {
  /** Requests as slots, without a copy. */
  readonly slots: BlockSlots;
  readonly #lane: ClientLane;
  readonly #jobs: Job[] = [];
  #properties: BlockProperties;

  /** Made by the kernel. */
  constructor(lane: ClientLane, properties: BlockProperties) {
    this.#lane = lane;
    this.#properties = properties;
    this.slots = new BlockSlots(lane);
  }

  /** Bytes that the device holds. */
  get capacity(): number {
    return this.#properties.sectors * SECTOR;
  }

  /** Bytes of the disk's own blocks: the best unit. Any multiple of 512 works. */
  get blockSize(): number {
    return this.#properties.blockSize;
  }

  /** Whether writes are refused. */
  get readOnly(): boolean {
    return this.#properties.readOnly;
  }

  /** Whether finished writes are durable only after {@linkcode flush}. */
  get writeCache(): boolean {
    return this.#properties.writeCache;
  }

  /** Takes new properties over; for the kernel. */
  update(properties: BlockProperties): void {
    this.#properties = properties;
  }

  /**
   * Reads bytes.
   *
   * @param offset First byte, a multiple of 512.
   * @param length Bytes, a multiple of 512.
   * @throws RangeError If that is not inside the device.
   * @throws RequestError If the device fails.
   */
  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#checkRange("read", offset, length);
    const bytes = new Uint8Array(length);
    if (length === 0) return bytes;
    await this.#run(BlockOperation.read, offset, bytes, `Cannot read ${length} bytes at ${offset}`);
    return bytes;
  }

  /**
   * Writes bytes. They are durable after the next {@linkcode flush}, unless the device has no write cache.
   *
   * @param offset First byte, a multiple of 512.
   * @param bytes What to write; its length a multiple of 512. It must not change until the promise settles.
   * @throws RangeError If that is not inside the device.
   * @throws RequestError If the device fails or is read-only.
   */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#checkRange("write", offset, bytes.length);
    const action = `Cannot write ${bytes.length} bytes at ${offset}`;
    if (this.readOnly) throw new TypeError(`${action}: the device is read-only`);
    if (bytes.length === 0) return;
    await this.#run(BlockOperation.write, offset, bytes, action);
  }

  /** Makes all writes that have finished durable. */
  async flush(): Promise<void> {
    await this.#run(BlockOperation.flush, 0, new Uint8Array(0), "Cannot flush");
  }

  /** The device's identity: up to 20 characters, often a serial number, possibly none. */
  async id(): Promise<string> {
    const bytes = new Uint8Array(20);
    await this.#run(BlockOperation.identify, 0, bytes, "Cannot read the identity");
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  #checkRange(verb: string, offset: number, length: number): void {
    const whole = (value: number) =>
      Number.isSafeInteger(value) && value >= 0 && value % SECTOR === 0;
    const action = `Cannot ${verb} ${length} bytes at ${offset}`;
    if (!whole(offset) || !whole(length)) {
      throw new RangeError(`${action}: not multiples of ${SECTOR}`);
    }
    if (offset + length > this.capacity) {
      throw new RangeError(`${action}: the device ends at ${this.capacity}`);
    }
  }

  #run(operation: number, offset: number, bytes: Uint8Array, action: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#jobs.push({
        operation,
        bytes,
        sector: offset / SECTOR,
        submitted: 0,
        pending: 0,
        moved: 0,
        status: Status.ok,
        settle: ({ status }) =>
          status === Status.ok ? resolve() : reject(new RequestError(action, status)),
      });
      this.#feed();
    });
  }

  /** Submits what there are slots for. */
  #feed(): void {
    for (let job = this.#jobs[0]; job; job = this.#jobs[0]) {
      const wanted = job.submitted < job.bytes.length || job.submitted === 0 && job.pending === 0;
      if (!wanted || job.status !== Status.ok) {
        this.#jobs.shift();
        if (job.pending === 0) job.settle(job);
        continue;
      }
      const slot = this.#lane.take();
      if (slot < 0) break;
      this.#submit(job, slot);
      if (job.submitted >= job.bytes.length) this.#jobs.shift();
    }
    this.#lane.publish();
  }

  #submit(job: Job, slot: number): void {
    const { operation, bytes, sector } = job;
    const start = job.submitted;
    const length = Math.min(bytes.length - start, this.#lane.slotBytes);
    job.submitted += length;
    job.pending++;
    if (operation === BlockOperation.identify) this.#lane.data(slot).fill(0, 0, length);
    if (operation === BlockOperation.write) {
      this.#lane.data(slot).set(bytes.subarray(start, start + length));
    }
    this.slots.submit(slot, operation, sector + start / SECTOR, length, (_, status, moved) => {
      if (status === Status.ok && operation !== BlockOperation.write) {
        bytes.set(this.#lane.data(slot).subarray(0, Math.min(moved, length)), start);
      }
      this.#lane.release(slot);
      job.pending--;
      // A read that moved less than it should is none, whatever the driver says.
      const short = operation === BlockOperation.read && moved !== length;
      job.status ||= status || (short ? Status.invalid : Status.ok);
      if (job.pending === 0 && !this.#jobs.includes(job)) job.settle(job);
      this.#feed();
    });
  }
}
