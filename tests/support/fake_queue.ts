import type { Virtqueue } from "@virtio/deno/plugin";

/** A part of the arena. */
export type FakePart = readonly [offset: number, length: number];

/** A request as a driver made it. */
export interface FakeRequest {
  readonly cookie: number;
  readonly readable: readonly FakePart[];
  readonly writable: readonly FakePart[];
}

/** A virtqueue that keeps what it is given, for tests of a driver alone: the test is the device. */
export class FakeQueue implements Virtqueue {
  readonly size = 64;
  readonly broken = undefined;
  readonly counters = { published: 0, completed: 0, notifications: 0, overlong: 0 };
  /** What the device has, the oldest first. */
  readonly requests: FakeRequest[] = [];
  /** How many requests it can have. */
  room = Infinity;
  #building = { cookie: 0, readable: [] as FakePart[], writable: [] as FakePart[] };
  readonly #used: [cookie: number, written: number][] = [];

  get inFlight(): number {
    return this.requests.length + this.#used.length;
  }

  begin(cookie: number): void {
    this.#building = { cookie, readable: [], writable: [] };
  }

  readable(...part: FakePart): void {
    this.#building.readable.push(part);
  }

  writable(...part: FakePart): void {
    this.#building.writable.push(part);
  }

  commit(): boolean {
    if (this.requests.length >= this.room) return false;
    this.requests.push(this.#building);
    return true;
  }

  publish(): void {}

  drain(collect: (cookie: number, written: number) => void): number {
    const used = this.#used.splice(0);
    for (const [cookie, written] of used) collect(cookie, written);
    return used.length;
  }

  arm(): boolean {
    return this.#used.length > 0;
  }

  /** The device is done with a request, the oldest if none is named. Returns what it was. */
  use(written = 0, cookie: number = this.requests[0]!.cookie): FakeRequest {
    const at = this.requests.findIndex((request) => request.cookie === cookie);
    const [request] = this.requests.splice(at, 1);
    this.#used.push([cookie, written]);
    return request!;
  }

  /** The queue is reset. Returns the cookies of what the device had. */
  reset(): number[] {
    this.#used.length = 0;
    return this.requests.splice(0).map(({ cookie }) => cookie);
  }
}
