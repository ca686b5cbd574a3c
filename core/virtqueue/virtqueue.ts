/**
 * The driver side of a virtqueue: what a plugin moves its requests through. Which kind of ring lies behind it is
 * not visible.
 *
 * A request is built by `begin`, then any `readable` and then any `writable` buffers, then `commit`; the device
 * sees it after `publish`. Finished requests come back through `drain`. All of it moves plain numbers and allocates
 * nothing.
 */
export interface Virtqueue {
  /** Number of entries that were agreed with the device. */
  readonly size: number;
  /** Requests that the device holds, including those not yet published. */
  readonly inFlight: number;
  /** Why the queue is not used any more: the device broke a rule. Undefined while all is well. */
  readonly broken: QueueFault | undefined;
  /** What happened on this queue since it was made. */
  readonly counters: QueueCounters;

  /**
   * Begins a request.
   *
   * @param cookie A number of the driver's own, 0 to 2³²−1, that comes back with the finished request.
   */
  begin(cookie: number): void;
  /** Adds bytes of the arena that the device may only read. They must come before any writable ones. */
  readable(offset: number, length: number): void;
  /** Adds bytes of the arena that the device may only write. */
  writable(offset: number, length: number): void;
  /**
   * Ends the request.
   *
   * @returns Whether it found room. If not, nothing has happened: the driver begins it again after a `drain`.
   */
  commit(): boolean;
  /** Shows all committed requests to the device and notifies it if it wants to be. */
  publish(): void;
  /**
   * Takes finished requests, in the order in which the device finished them.
   *
   * What the device says was checked: the cookie is that of a request in flight, and each comes back once; `written`
   * is at most the request's writable bytes. What the bytes mean is the driver's to check.
   *
   * With VIRTIO_F_IN_ORDER a device may report a batch by its last request alone. The others it must have used
   * completely (2.7.9, 2.8.8), so `written` is then all of their writable bytes, without a word of the device.
   *
   * A request that was begun and not committed is dropped if one comes back.
   *
   * @param collect Called for each with its cookie and the bytes that the device says it wrote.
   * @returns How many there were.
   */
  drain(collect: (cookie: number, written: number) => void): number;
  /**
   * Asks for an interrupt when the next request finishes.
   *
   * @returns Whether one has finished meanwhile: then look again instead of sleeping (2.7.7.1).
   */
  arm(): boolean;
}

/** What the host of a driver can do with a virtqueue beyond what the driver can. */
export interface DriverQueue extends Virtqueue {
  /** Notifies the device, whether it wants that or not: for one that has fallen silent (rules D-58 and D-59). */
  kick(): void;
  /**
   * Makes the queue as it was at first, empty and not broken, and gives back what was in flight.
   *
   * Only after the device or this queue was reset, when the device does not touch the ring any more.
   *
   * @param collect Called with the cookie of each request, in the order of their commits. It may begin new ones.
   */
  takeUnfinished(collect: (cookie: number) => void): void;
}

/** A rule of the ring that the device broke. */
export interface QueueFault {
  /** Number of the rule in the catalogue of device lies, for example `"D-41"`. */
  readonly rule: string;
  /** What the device did. */
  readonly what: string;
}

/** Running totals of one queue. */
export interface QueueCounters {
  /** Requests that were published. */
  published: number;
  /** Requests that came back. */
  completed: number;
  /** Notifications that were sent to the device. */
  notifications: number;
  /** Finished requests for which the device claimed more bytes than it had room for (rule D-45). */
  overlong: number;
}
