/**
 * The console device as a model (virtio 1.4, 5.3): ports whose other side is a program's.
 *
 * @module
 */
import {
  type DeviceHandle,
  type DeviceModel,
  DriverFault,
  type Request,
} from "@virtio/deno/simulation";
import * as wire from "./wire.ts";

/** What a port is like. */
export interface PortOptions {
  /** Its name; none if absent. */
  readonly name?: string;
  /** Whether it is a console. */
  readonly console?: boolean;
  /** Whether the other side is open; true if absent. */
  readonly open?: boolean;
  /** Whether it sends back what it gets. */
  readonly echo?: boolean;
}

/** What a console device is like. */
export interface ConsoleOptions {
  /** Its ports, by their numbers. Without them it is a device with one port and no messages. */
  readonly ports?: Readonly<Record<number, PortOptions>>;
  /** The most ports that it can have; 4 if absent. */
  readonly mostPorts?: number;
  /** Columns and rows; no size if absent. */
  readonly size?: readonly [columns: number, rows: number];
  /** Whether it has the emergency write; true if absent. */
  readonly emergencyWrite?: boolean;
  /** Whether RESIZE tells the rows first, as some devices do. */
  readonly rowsFirst?: boolean;
  /** Entries of each queue; 64 if absent. */
  readonly queueSize?: number;
}

/** A control message, taken apart. */
export interface ControlMessage {
  /** The port. */
  readonly id: number;
  /** What it is about, for example {@linkcode wire.PORT_OPEN}. */
  readonly event: number;
  /** Its value. */
  readonly value: number;
}

/** The other side of a port. */
interface Port {
  readonly options: PortOptions;
  /** Whether the other side is open. */
  open: boolean;
  /** Whether the driver says that an application uses it. */
  guestOpen: boolean;
  /** Whether it takes what comes. */
  drains: boolean;
  /** What came. */
  readonly received: Uint8Array<ArrayBuffer>[];
  /** Bytes that wait for room. */
  readonly sending: Uint8Array[];
}

/** A console device, and the other side of all its ports. */
export class ConsoleModel implements DeviceModel {
  readonly id: number = wire.DEVICE_ID;
  readonly classCode = 0x078000;
  readonly features: bigint;
  readonly queues: readonly number[];
  /** Its configuration structure. */
  readonly config: Uint8Array<ArrayBuffer> = new Uint8Array(wire.CONFIG_BYTES);
  /** What the driver has said so far, since the last reset. */
  readonly heard: ControlMessage[] = [];
  /** Bytes that came by the emergency write. */
  readonly emergency: number[] = [];
  /** Bytes that came to a port whose other side was closed, and were lost. */
  lost = 0;

  readonly #options: ConsoleOptions;
  readonly #several: boolean;
  readonly #view = new DataView(this.config.buffer);
  readonly #ports = new Map<number, Port>();
  /** Buffers for bytes to the driver, and requests with bytes from it that are not taken yet, by queue. */
  readonly #waiting = new Map<number, Request[]>();
  /** Control messages that wait for a buffer. */
  readonly #saying: Uint8Array[] = [];
  #ready = false;
  #device: DeviceHandle | undefined;

  /** Makes the device. */
  constructor(options: ConsoleOptions = {}) {
    this.#options = options;
    const { ports, mostPorts = 4, size, emergencyWrite = true, queueSize = 64 } = options;
    this.#several = ports !== undefined;
    this.features = (size ? wire.F_SIZE : 0n) | (ports ? wire.F_MULTIPORT : 0n) |
      (emergencyWrite ? wire.F_EMERG_WRITE : 0n);
    const queues = this.#several ? 2 + 2 * mostPorts : 2;
    this.queues = Array.from({ length: queues }, () => queueSize);
    const [columns, rows] = size ?? [0, 0];
    this.#view.setUint16(wire.CONFIG_COLS, columns, true);
    this.#view.setUint16(wire.CONFIG_ROWS, rows, true);
    this.#view.setUint32(wire.CONFIG_MAX_NR_PORTS, this.#several ? mostPorts : 0, true);
    for (const [id, port] of Object.entries(ports ?? { 0: { console: true } })) {
      this.#ports.set(Number(id), newPort(port));
    }
  }

  /** Sends bytes to the driver, as soon as it takes them. */
  send(id: number, bytes: Uint8Array | string): void {
    const port = this.#port(id);
    port.sending.push(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
    this.#deliver(id);
  }

  /** Bytes that wait to be taken by the driver. */
  unsent(id: number): number {
    return this.#port(id).sending.reduce((sum, { length }) => sum + length, 0);
  }

  /** Requests with bytes from the driver that the other side has not taken. */
  untaken(id: number): number {
    return this.#waiting.get(wire.receiveq(id) + 1)?.length ?? 0;
  }

  /** Takes what came from the driver. */
  take(id: number): Uint8Array<ArrayBuffer> {
    const pieces = this.#port(id).received.splice(0);
    const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** Whether the driver says that an application uses the port. */
  guestOpen(id: number): boolean {
    return this.#port(id).guestOpen;
  }

  /** Whether the other side takes what comes; what does not fit waits on the driver's side. */
  drain(id: number, drains: boolean): void {
    this.#port(id).drains = drains;
    if (!drains) return;
    const queue = wire.receiveq(id) + 1;
    for (const request of this.#waiting.get(queue)?.splice(0) ?? []) {
      this.#collect(id, request);
      request.complete(0);
    }
  }

  /** The other side opens or closes a port. */
  open(id: number, open: boolean): void {
    this.#port(id).open = open;
    if (this.#several) this.#say(id, wire.PORT_OPEN, Number(open));
  }

  /** Plugs a port in. */
  add(id: number, options: PortOptions = {}): void {
    this.#ports.set(id, newPort(options));
    this.#say(id, wire.DEVICE_ADD, 1);
  }

  /**
   * Takes a port away.
   *
   * @param keeps Whether what it has not taken of the driver's bytes never comes back, as with QEMU.
   */
  remove(id: number, keeps = false): void {
    if (keeps) this.#waiting.delete(wire.receiveq(id) + 1);
    else this.drain(id, true);
    this.#ports.delete(id);
    this.#say(id, wire.DEVICE_REMOVE, 1);
  }

  /** Takes a port away without a word, as if the device had been off meanwhile. */
  vanish(id: number): void {
    this.#ports.delete(id);
  }

  /** Calls for a reset of the device. */
  fail(why: string): void {
    this.#device?.needsReset(why);
  }

  /** Changes the size of a port. */
  resize(columns: number, rows: number, id = 0): void {
    if (this.#several) return this.#say(id, wire.RESIZE, 0, this.#size(columns, rows));
    this.#view.setUint16(wire.CONFIG_COLS, columns, true);
    this.#view.setUint16(wire.CONFIG_ROWS, rows, true);
    this.#device?.configChanged();
  }

  /** Says anything, right or wrong, as soon as there is a buffer for it: for lies. */
  say(message: Uint8Array): void {
    this.#saying.push(message);
    this.#speak();
  }

  /** Called by the machine. */
  attach(device: DeviceHandle): void {
    this.#device = device;
  }

  /** Called by the machine when the driver writes into the configuration. */
  configWrite(offset: number, value: number): void {
    if (offset === wire.CONFIG_EMERG_WR) this.emergency.push(value & 0xff);
  }

  /** Called by the machine. What waits for the driver is kept: the other side has sent it. */
  reset(): void {
    this.#waiting.clear();
    this.#saying.length = 0;
    this.heard.length = 0;
    this.#ready = false;
    for (const port of this.#ports.values()) port.guestOpen = false;
  }

  /** Called by the machine. */
  queueReset(queue: number): void {
    this.#waiting.delete(queue);
  }

  /** Takes a request. */
  handle(queue: number, request: Request): number | undefined {
    if (this.#several && queue === wire.CONTROL_TRANSMITQ) {
      this.#hear(request);
      return 0;
    }
    const control = this.#several && queue === wire.CONTROL_RECEIVEQ;
    const toDevice = queue % 2 === 1;
    if (toDevice ? request.writable > 0 : request.readable > 0) {
      throw new DriverFault(`A buffer of queue ${queue} is for the other direction (5.3.6.1)`);
    }
    const id = queue < 2 ? 0 : (queue - 2) >> 1;
    const port = this.#ports.get(id);
    if (toDevice && (!port || port.drains)) {
      this.#collect(id, request);
      return 0;
    }
    const waiting = this.#waiting.get(queue) ?? [];
    this.#waiting.set(queue, waiting);
    waiting.push(request);
    if (control) this.#speak();
    else if (!toDevice && port) this.#deliver(id);
    return undefined;
  }

  #collect(id: number, request: Request): void {
    const bytes = new Uint8Array(request.readable);
    request.read(bytes);
    const port = this.#ports.get(id);
    if (!port?.open) this.lost += bytes.length;
    else if (port.options.echo) this.send(id, bytes);
    else port.received.push(bytes);
  }

  #deliver(id: number): void {
    const port = this.#port(id);
    const room = this.#waiting.get(wire.receiveq(id)) ?? [];
    // Nothing is sent to a port that no application uses.
    const usable = port.guestOpen || !this.#several;
    while (usable && room.length > 0 && port.sending.length > 0) {
      const request = room.shift()!;
      while (request.writable > 0 && port.sending.length > 0) {
        const bytes = port.sending.shift()!;
        const written = request.write(bytes);
        if (written < bytes.length) port.sending.unshift(bytes.subarray(written));
      }
      request.complete(request.written);
    }
  }

  #hear(request: Request): void {
    const bytes = new Uint8Array(wire.CONTROL_BYTES);
    if (request.read(bytes) < wire.CONTROL_BYTES) {
      throw new DriverFault("A control message is shorter than its header (5.3.6.2)");
    }
    const view = new DataView(bytes.buffer);
    const id = view.getUint32(wire.CONTROL_ID, true);
    const event = view.getUint16(wire.CONTROL_EVENT, true);
    const value = view.getUint16(wire.CONTROL_VALUE, true);
    this.heard.push({ id, event, value });
    if (event === wire.DEVICE_READY) {
      this.#ready = value === 1;
      if (!this.#ready) return;
      for (const id of this.#ports.keys()) this.#say(id, wire.DEVICE_ADD, 1);
      return;
    }
    const port = this.#ports.get(id);
    if (!port) return; // it is gone meanwhile
    if (event === wire.PORT_READY && value === 1) this.#introduce(id, port);
    else if (event === wire.PORT_OPEN) {
      port.guestOpen = value === 1;
      this.#deliver(id);
    }
  }

  /** What there is to say of a port. */
  #introduce(id: number, { options: { console, name }, open }: Port): void {
    if (console) this.#say(id, wire.CONSOLE_PORT, 1);
    const { size } = this.#options;
    if (console && size) this.#say(id, wire.RESIZE, 0, this.#size(...size));
    if (name !== undefined) {
      this.#say(id, wire.PORT_NAME, 1, new TextEncoder().encode(name));
    }
    if (open) this.#say(id, wire.PORT_OPEN, 1);
  }

  #size(columns: number, rows: number): Uint8Array {
    const first = this.#options.rowsFirst ? [rows, columns] : [columns, rows];
    return new Uint8Array(Uint16Array.from(first).buffer);
  }

  #say(id: number, event: number, value: number, more?: Uint8Array): void {
    if (this.#ready) this.say(controlMessage(id, event, value, more));
  }

  #speak(): void {
    const room = this.#waiting.get(wire.CONTROL_RECEIVEQ) ?? [];
    while (room.length > 0 && this.#saying.length > 0) {
      const request = room.shift()!;
      request.write(this.#saying.shift()!);
      request.complete(request.written);
    }
  }

  #port(id: number): Port {
    const port = this.#ports.get(id);
    if (port) return port;
    throw new RangeError(`Cannot find port ${id}: there is ${[...this.#ports.keys()].join(", ")}`);
  }
}

/** A control message as it goes over the queue. */
export function controlMessage(
  id: number,
  event: number,
  value: number,
  more: Uint8Array = new Uint8Array(),
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(wire.CONTROL_BYTES + more.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(wire.CONTROL_ID, id, true);
  view.setUint16(wire.CONTROL_EVENT, event, true);
  view.setUint16(wire.CONTROL_VALUE, value, true);
  bytes.set(more, wire.CONTROL_BYTES);
  return bytes;
}

function newPort(options: PortOptions): Port {
  const { open = true } = options;
  return { options, open, guestOpen: false, drains: true, received: [], sending: [] };
}

/** A console with a port that sends back what it gets, as tests take it. */
export default (): DeviceModel => new ConsoleModel({ ports: { 0: { echo: true } } });
