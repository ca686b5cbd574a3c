// A conversation with a back-end, from getting to know it.

import type { Loop } from "../../core/irq/interrupt_loop.ts";
import { close } from "../../core/linux/fd.ts";
import { receive, socketPair } from "../../core/linux/socket.ts";
import { VhostFault } from "../../core/vhost/fault.ts";
import { MOST_CONFIG } from "../../core/vhost/payload.ts";
import {
  F_PROTOCOL_FEATURES,
  ProtocolFeature,
  protocolFeatures,
} from "../../core/vhost/protocol.ts";
import { VERSION_1 } from "../model.ts";
import { Connection } from "./connection.ts";

/** What must be known of a back-end beforehand, since the protocol does not tell it. */
export interface BackEndFacts {
  /** What people call it, for example `"blk=/run/disk.sock"`. */
  readonly name: string;
  /** The path of its socket. */
  readonly socket: string;
  /** Whether it is the one that connects; false if left out. */
  readonly listen?: boolean;
  /** Type of the device (virtio 1.4, 5). */
  readonly type: number;
  /** Features of that type that there are: one that offers others is no such device. */
  readonly known: bigint;
  /** Those of them that stay the front-end's own affair, and are not shown to a driver; none if left out. */
  readonly hidden?: bigint;
  /** Features one of which at least such a device offers; any will do if left out. */
  readonly oneOf?: bigint;
  /** Its queues, if it does not say how many. */
  readonly queues: number;
  /** Queues that it counts as one; 1 if left out. */
  readonly unit?: number;
  /** How many such units are used at most, whatever it says; all if left out. */
  readonly mostUnits?: number;
  /** The queue by which its driver says how many of several units it uses; all are in use if left out. */
  readonly control?: ControlQueue;
  /** Entries that each queue may have. */
  readonly queueSize: number;
  /** Bytes of its configuration. */
  readonly configBytes: number;
  /** The configuration of so many units, and features that go with it, if it does not tell one; then it must if left out. */
  readonly invented?: {
    readonly config: (units: number) => Uint8Array<ArrayBuffer>;
    readonly features: bigint;
  };
}

/** A queue of the front-end's own, behind those of the back-end, which knows nothing of it. */
export interface ControlQueue {
  /** Its entries. */
  readonly size: number;
  /** The feature that stands for it. */
  readonly feature: bigint;
  /** The feature of a back-end that has several units. */
  readonly several: bigint;
  /**
   * Answers a command.
   *
   * @param use Uses so many units from now on; false if there are not so many.
   * @returns The byte that the driver gets.
   */
  answer(command: Uint8Array, use: (units: number) => boolean): number;
}

/** Of ring and transport: what a back-end has to do with. */
const RING_FEATURES = 1n << 28n | 1n << 29n | 1n << 32n | 1n << 34n | 1n << 35n;
/** Bits that belong to the type of a device (virtio 1.4, 2.2). */
const OF_TYPE = (1n << 24n) - 1n | ((1n << 14n) - 1n) << 50n;
const WANTED = protocolFeatures("MQ", "REPLY_ACK", "BACKEND_REQ", "CONFIG", "STATUS");
const MOST_QUEUES = 64;

function has(protocol: bigint, name: keyof typeof ProtocolFeature): boolean {
  return (protocol >> BigInt(ProtocolFeature[name]) & 1n) !== 0n;
}

/** One connection to a back-end that is known. Disposing it hangs up. */
export class Session implements Disposable {
  /** The connection. */
  readonly connection: Connection;
  /** What a driver is offered. */
  readonly features: bigint;
  /** Those of them that we make up, and it knows nothing of. */
  readonly invented: bigint;
  /** How many queues it has. */
  readonly queues: number;
  /** The queue that we serve behind them, if there is one. */
  readonly control: ControlQueue | undefined;
  /** Whether it is told the status. */
  readonly hasStatus: boolean;
  /** Whether rings have to be enabled. */
  readonly enables: boolean;
  readonly #facts: BackEndFacts;
  readonly #tellsConfig: boolean;
  #channel: number | undefined;
  #config: Uint8Array<ArrayBuffer>;

  private constructor(
    connection: Connection,
    facts: BackEndFacts,
    offered: bigint,
    protocol: bigint,
    units: number,
  ) {
    const { known, hidden = 0n, invented, configBytes, control, unit = 1, queues } = facts;
    this.connection = connection;
    this.#facts = facts;
    this.enables = (offered & F_PROTOCOL_FEATURES) !== 0n;
    this.hasStatus = has(protocol, "STATUS");
    this.#tellsConfig = has(protocol, "CONFIG") && configBytes > 0;
    const invents = !this.#tellsConfig && configBytes > 0;
    if (invents && !invented) {
      throw new VhostFault("it tells no configuration, and such a device has one");
    }
    this.control = units > 1 ? control : undefined;
    this.queues = units === 0 ? queues : Math.min(units * unit, MOST_QUEUES);
    this.invented = (invents ? invented!.features : 0n) | (this.control?.feature ?? 0n);
    this.features = offered & (known & ~hidden | RING_FEATURES) | this.invented |
      (this.control?.several ?? 0n);
    this.#config = invents ? invented!.config(units) : new Uint8Array(configBytes);
  }

  /**
   * Gets to know a back-end.
   *
   * @param fd A socket that does not block, which is closed with the session, or if there comes none of it.
   * @param ended Told why, when the back-end is no more.
   * @param left Aborted when it is not wanted any more.
   * @throws {VhostFault} If it is none, or not of this type.
   */
  static async open(
    fd: number,
    facts: BackEndFacts,
    loop: Loop,
    ended: (error: VhostFault) => void,
    left?: AbortSignal,
  ): Promise<Session> {
    const connection = new Connection(fd, loop, ended);
    const leave = () => connection[Symbol.dispose]();
    left?.addEventListener("abort", leave);
    let session: Session | undefined;
    try {
      const offered = await connection.ask("GET_FEATURES", undefined);
      check(offered, facts);
      const enables = (offered & F_PROTOCOL_FEATURES) !== 0n;
      const protocol = enables
        ? await connection.ask("GET_PROTOCOL_FEATURES", undefined) & WANTED
        : 0n;
      if (enables) await connection.tell("SET_PROTOCOL_FEATURES", protocol);
      connection.acknowledges = has(protocol, "REPLY_ACK");
      await connection.tell("SET_OWNER", undefined);
      const units = await countUnits(connection, facts, offered, has(protocol, "MQ"));
      session = new Session(connection, facts, offered, protocol, units);
      await session.refresh();
      if (session.#tellsConfig && session.#config.every((byte) => byte === 0)) {
        throw new VhostFault(
          `its configuration is ${facts.configBytes} zeroes: is it of another type?`,
        );
      }
      if (has(protocol, "BACKEND_REQ")) await session.#openChannel();
      return session;
    } catch (error) {
      connection[Symbol.dispose]();
      session?.[Symbol.dispose]();
      throw error;
    } finally {
      left?.removeEventListener("abort", leave);
    }
  }

  async #openChannel(): Promise<void> {
    const [own, other] = socketPair();
    this.#channel = own;
    try {
      await this.connection.tell("SET_BACKEND_REQ_FD", undefined, other);
    } finally {
      close(other);
    }
  }

  /** Where it says that its configuration has changed; undefined if it does not. */
  get channel(): number | undefined {
    return this.#channel;
  }

  /** Whether what it said on its channel means that the configuration may have changed. False when that is over. */
  hear(): boolean {
    return receive(this.#channel!, new Uint8Array(4096), false) !== 0;
  }

  /** The configuration, as it was last told. */
  get config(): Uint8Array<ArrayBuffer> {
    return this.#config;
  }

  /** Asks for the configuration anew, where it is told. Returns whether it is another than before. */
  async refresh(): Promise<boolean> {
    if (!this.#tellsConfig) return false;
    const bytes = new Uint8Array(Math.min(this.#facts.configBytes, MOST_CONFIG));
    const part = await this.connection.ask("GET_CONFIG", { offset: 0, flags: 0, bytes });
    if (part?.bytes.length !== bytes.length) {
      throw new VhostFault(`it does not tell the ${bytes.length} bytes of its configuration`);
    }
    const before = this.#config;
    this.#config = part.bytes;
    return before.some((byte, i) => byte !== part.bytes[i]);
  }

  /** Writes to the configuration. */
  async write(offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.#tellsConfig) await this.connection.tell("SET_CONFIG", { offset, flags: 0, bytes });
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
    if (this.#channel !== undefined) close(this.#channel);
    this.#channel = undefined;
  }
}

function check(offered: bigint, { known, oneOf }: BackEndFacts): void {
  if (!(offered & VERSION_1)) {
    throw new VhostFault(
      `it does not offer VIRTIO_F_VERSION_1 (its features are 0x${offered.toString(16)})`,
    );
  }
  const foreign = offered & OF_TYPE & ~known;
  if (foreign || oneOf && !(offered & oneOf)) {
    throw new VhostFault(
      `it is of another type: such a device does not offer features 0x${offered.toString(16)}`,
    );
  }
}

/** How many units it has that are used; 0 if it does not say. */
async function countUnits(
  connection: Connection,
  { mostUnits = Infinity, control }: BackEndFacts,
  offered: bigint,
  tells: boolean,
): Promise<number> {
  if (mostUnits === 1 || control && !(offered & control.several)) return 1;
  if (!tells) return control ? 1 : 0;
  const units = await connection.ask("GET_QUEUE_NUM", undefined);
  if (units < 1n || units > 65535n) throw new VhostFault(`it says that it has ${units} queues`);
  return Math.min(Number(units), mostUnits);
}
