import {
  argument,
  type ClientLane,
  demand,
  type Feed,
  type Lanes,
  listen,
  News,
  type OpenClient,
  RequestError,
  Status,
} from "../../core/class/mod.ts";
import { ConsoleOperation, type ConsoleProperties, ConsoleWord, PortState } from "./protocol.ts";
import { ConsolePort, type OpenPort, type PortNews } from "./port.ts";

/** A device that was started anew announces its ports at once; one that has not come back after so long is gone. */
const COME_BACK_MS = 2000;

type ConsoleLanes = Lanes<"receive" | "transmit" | "control" | "events">;

/** What happened to a port: it came, it went, or its name, its size or its other side changed. */
export interface PortChange {
  /** What. */
  readonly type: "added" | "removed" | "changed";
  /** Which. */
  readonly port: ConsolePort;
}

/** What the client keeps of a port. */
interface Entry extends OpenPort {
  readonly generation: number;
  /** Whether the driver that is there now has announced it. */
  announced: boolean;
}

/**
 * An application's view of a console device: its ports, which come and go. A device may announce them a little after it
 * was attached; {@linkcode find} and {@linkcode announced} wait for that.
 */
export class ConsoleClient {
  readonly #receive: ClientLane;
  readonly #transmit: ClientLane;
  readonly #control: ClientLane;
  readonly #events: ClientLane;
  readonly #properties: ConsoleProperties;
  /** How many ports there can be: lanes are shared by so many. */
  readonly #most: number;
  readonly #entries: (Entry | undefined)[] = [];
  /** The port that each slot of `receive` is lent to, and bytes in it that its port has no room for. */
  readonly #lentTo: Uint8Array;
  readonly #held: number[][];
  readonly #heldBytes: Uint32Array;
  /** Slots of `transmit` that each port may still have, so that none takes those of the others. */
  readonly #share: Int32Array;
  /** How often device and driver had been started anew when the ports were announced. */
  #announcedIn = 0;
  /** Control requests in flight for each port. */
  readonly #using: Int32Array;
  /** Waits for anything that the device says. */
  readonly #curious = new Set<() => void>();
  readonly #news = new News<PortChange>("ConsoleClient.changes");
  #missing: ReturnType<typeof setTimeout> | undefined;
  /** Whether the device has said all that it has to say at first. */
  #settled = false;
  #gone = false;

  /**
   * Makes the client of a console device; for the class.
   *
   * @throws TypeError If the lanes have too few slots.
   */
  static open(lanes: ConsoleLanes, properties: ConsoleProperties): OpenClient<ConsoleClient> {
    const client = new ConsoleClient(lanes, properties);
    return { client, update: () => client.#checkPorts(), gone: () => client.#lose() };
  }

  private constructor(lanes: ConsoleLanes, properties: ConsoleProperties) {
    this.#receive = lanes.receive;
    this.#transmit = lanes.transmit;
    this.#control = lanes.control;
    this.#events = lanes.events;
    this.#properties = properties;
    const { ports } = properties;
    this.#most = ports;
    if (Math.min(this.#receive.slots, this.#transmit.slots) < ports) {
      throw new TypeError(
        `The lanes of a console driver must have a slot for each of its ${ports} ports`,
      );
    }
    this.#lentTo = new Uint8Array(this.#receive.slots);
    this.#held = Array.from({ length: ports }, () => []);
    this.#heldBytes = new Uint32Array(this.#receive.slots);
    this.#share = new Int32Array(ports).fill(Math.floor(this.#transmit.slots / ports));
    this.#using = new Int32Array(ports);
    listen(lanes.events, this.#hear);
    for (let i = 0; i < Math.floor(this.#receive.slots / ports) * ports; i++) {
      const slot = this.#receive.take();
      this.#lentTo[slot] = i % ports;
      this.#lend(slot);
    }
    this.#receive.publish();
  }

  /** Each port had its share of the slots at first. */
  #checkPorts(): void {
    const { ports } = this.#properties;
    if (ports <= this.#most) return;
    throw new TypeError(`The driver came back with ${ports} ports instead of ${this.#most}`);
  }

  /** The ports that are there now. */
  get ports(): readonly ConsolePort[] {
    return this.#entries.flatMap((entry) => entry ? [entry.port] : []);
  }

  /** The port with that number, or the first one with that name; undefined if there is none. */
  port(which: number | string): ConsolePort | undefined {
    return this.#port(which, "ConsoleClient.port");
  }

  #port(which: number | string, where: string): ConsolePort | undefined {
    if (typeof which !== "string") argument.integer(which, where, "which");
    return typeof which === "number"
      ? this.#entries[which]?.port
      : this.ports.find(({ name }) => name === which);
  }

  /**
   * The port with that number or name, once it is there.
   *
   * @param timeout How long to wait for it, in milliseconds.
   * @returns Undefined if it has not come by then.
   */
  async find(which: number | string, timeout = 1000): Promise<ConsolePort | undefined> {
    const where = "ConsoleClient.find";
    argument.milliseconds(timeout, where, "timeout");
    return await this.#soon(timeout, () => this.#port(which, where), (port) => port !== undefined);
  }

  /**
   * The ports, once the device has announced those that it has from the start.
   *
   * @param timeout How long to wait for that, in milliseconds; also, how long to wait for a first one.
   */
  async announced(timeout = 1000): Promise<readonly ConsolePort[]> {
    argument.milliseconds(timeout, "ConsoleClient.announced", "timeout");
    return await this.#soon(timeout, () => this.ports, ({ length }) => this.#settled && length > 0);
  }

  /** What happens to ports from now on, until the device is gone or `signal` is aborted. */
  changes(signal?: AbortSignal): Feed<PortChange> {
    return this.#news.feed({ signal });
  }

  /** Whether the device knows {@linkcode emergencyWrite}. */
  get canEmergencyWrite(): boolean {
    return this.#properties.emergencyWrite;
  }

  /**
   * Writes a byte to the console past all queues: it comes out at once, even if the console's other side does not read.
   *
   * @throws RangeError If it is not 0 to 255.
   * @throws TypeError If it is no number.
   * @throws RequestError If the device cannot do that.
   */
  async emergencyWrite(byte: number): Promise<void> {
    argument.integer(byte, "ConsoleClient.emergencyWrite", "byte", 0, 255);
    const action = `Cannot write byte ${byte} in an emergency`;
    if (!this.canEmergencyWrite) {
      throw new RequestError(action, Status.unsupported, "the device does not offer it");
    }
    await demand(this.#control, action, {
      operation: ConsoleOperation.emergencyWrite,
      words: { [ConsoleWord.value]: byte },
      once: true,
    });
  }

  /** Looks after each thing that the device says, until it is enough or the time is over. */
  async #soon<T>(timeout: number, look: () => T, enough: (seen: T) => boolean): Promise<T> {
    const deadline = performance.now() + timeout;
    for (;;) {
      const seen = look();
      const left = deadline - performance.now();
      if (enough(seen) || left <= 0 || this.#gone) return seen;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#curious.add(resolve);
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
      this.#curious.delete(resolve);
    }
  }

  // Events.

  readonly #hear = (slot: number, length: number): void => {
    const lane = this.#events;
    const id = lane.word(slot, ConsoleWord.port);
    const state = lane.word(slot, ConsoleWord.value);
    const size = sizeOf(lane.word(slot, ConsoleWord.size));
    const generation = lane.word(slot, ConsoleWord.generation);
    const name = cleanName(lane.data(slot).slice(0, length));
    // What came before is told before.
    this.#receive.drain();
    this.#transmit.drain();
    if (state & PortState.begin) this.#beginAnew();
    else if (state & PortState.settled) this.#settled = true;
    else if (id < this.#properties.ports) this.#update(id, { state, size, generation, name });
    for (const wake of this.#curious) wake();
  };

  #update(
    id: number,
    { generation, ...news }: PortNews & { readonly generation: number },
  ): void {
    let entry = this.#entries[id];
    const { state } = news;
    const present = (state & PortState.present) !== 0;
    // A driver that begins anew counts anew, and its ports are those of before as they come.
    if (entry?.announced && (!present || generation !== entry.generation)) {
      this.#remove(id, Status.failed);
      entry = undefined;
    }
    if (!present) return;
    const known = entry !== undefined;
    entry = { ...(entry ?? this.#makePort(id)), generation, announced: true };
    this.#entries[id] = entry;
    const { port } = entry;
    if (this.#entries.every((each) => !each || each.announced)) clearTimeout(this.#missing);
    const changed = entry.update(news);
    if (!known) this.#news.tell({ type: "added", port });
    else if (changed) this.#news.tell({ type: "changed", port });
    // A console is opened without being asked; if we did not want that, it is closed again.
    if (state & PortState.open && !port.isOpen && this.#using[id] === 0) {
      this.#use(id, false).catch(() => {});
    }
  }

  #remove(id: number, status: number): void {
    const entry = this.#entries[id];
    if (!entry) return;
    this.#entries[id] = undefined;
    for (const slot of this.#held[id]!) {
      entry.take(this.#bytes(slot, this.#heldBytes[slot]!), true);
    }
    entry.end(status);
    this.#returnHeld(id);
    this.#news.tell({ type: "removed", port: entry.port });
  }

  /** The driver begins, perhaps not for the first time: all ports will be announced, and are opened again. */
  #beginAnew(): void {
    this.#settled = false;
    this.#announcedIn = this.#transmit.restarts;
    const missing = this.#entries.filter((entry) => entry !== undefined);
    if (missing.length === 0) return;
    for (const entry of missing) {
      entry.announced = false;
      entry.suspend();
      const { id, isOpen } = entry.port;
      if (isOpen) this.#use(id, true).catch(() => {});
    }
    clearTimeout(this.#missing);
    this.#missing = setTimeout(() => {
      for (const [id, entry] of this.#entries.entries()) {
        if (!entry || entry.announced) continue;
        this.#remove(id, Status.failed);
        // What the driver holds back for it must not reach the next port with this number.
        this.#use(id, false).catch(() => {});
      }
    }, COME_BACK_MS);
  }

  /** Device or driver are gone for good. */
  #lose(): void {
    this.#gone = true;
    clearTimeout(this.#missing);
    for (const id of this.#entries.keys()) this.#remove(id, Status.gone);
    this.#news.end();
    for (const wake of this.#curious) wake();
  }

  // Bytes from the device.

  #lend(slot: number): void {
    this.#receive.setWord(slot, ConsoleWord.port, this.#lentTo[slot]!);
    this.#receive.submit(slot, this.#received);
  }

  readonly #received = (slot: number, status: number, length: number): void => {
    // A slot that the driver refuses stays here: it would refuse it again.
    if (status !== Status.ok) return;
    const id = this.#lentTo[slot]!;
    const held = this.#held[id]!;
    const entry = this.#entries[id];
    if (entry?.port.isOpen && (held.length > 0 || !entry.take(this.#bytes(slot, length)))) {
      this.#heldBytes[slot] = length;
      held.push(slot);
      return;
    }
    this.#lend(slot);
    this.#receive.publish();
  };

  #bytes(slot: number, length: number): Uint8Array {
    return this.#receive.data(slot).subarray(0, length);
  }

  /** A port has room again, or no use for what was held back. */
  #returnHeld(id: number): void {
    const held = this.#held[id]!;
    const entry = this.#entries[id];
    while (held.length > 0) {
      const slot = held[0]!;
      if (entry?.port.isOpen && !entry.take(this.#bytes(slot, this.#heldBytes[slot]!))) break;
      held.shift();
      if (!this.#gone) this.#lend(slot);
    }
    this.#receive.publish();
  }

  // Bytes to the device, and what it is to know.

  #makePort(id: number): OpenPort {
    return ConsolePort.open(id, {
      slotBytes: this.#transmit.slotBytes,
      transmit: (bytes, done) => this.#send(id, bytes, done),
      use: (open) => this.#use(id, open),
      room: () => this.#returnHeld(id),
    });
  }

  #send(id: number, bytes: Uint8Array, done: (status: number) => void): boolean {
    const lane = this.#transmit;
    // What waits when the driver is gone ends with its port. One that begins anew is not there yet for ports that it has
    // not announced.
    const { generation } = this.#entries[id]!;
    if (this.#share[id] === 0 || lane.gone || lane.restarts !== this.#announcedIn) return false;
    const slot = lane.take();
    if (slot < 0) return false;
    this.#share[id]!--;
    lane.data(slot).set(bytes);
    lane.setWord(slot, ConsoleWord.port, id);
    lane.setWord(slot, ConsoleWord.length, bytes.length);
    lane.setWord(slot, ConsoleWord.generation, generation);
    const ended = (_: number, status: number) => {
      this.#share[id]!++;
      lane.release(slot);
      done(status);
    };
    // Bytes of a stream must not come twice.
    lane.submit(slot, ended, true);
    lane.publish();
    return true;
  }

  async #use(id: number, open: boolean): Promise<void> {
    const operation = open ? ConsoleOperation.open : ConsoleOperation.close;
    this.#using[id]!++;
    try {
      // To say twice that a port is open does no harm.
      const question = { operation, words: { [ConsoleWord.port]: id } };
      await demand(this.#control, `Cannot ${open ? "open" : "close"} port ${id}`, question);
    } finally {
      this.#using[id]!--;
    }
  }
}

/** What a port may be called: text of which nothing steers a terminal, up to the first NUL. */
function cleanName(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const text = new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  return text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, "\ufffd");
}

function sizeOf(word: number): { columns: number; rows: number } | undefined {
  const [columns, rows] = [word & 0xffff, word >>> 16];
  return columns > 0 && rows > 0 ? { columns, rows } : undefined;
}
