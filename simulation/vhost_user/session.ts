// A conversation with a back-end, from getting to know it.

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
  /** Whether there are no more queues, whatever it says; false if left out. */
  readonly fewQueues?: boolean;
  /** Entries that each queue may have. */
  readonly queueSize: number;
  /** Bytes of its configuration. */
  readonly configBytes: number;
  /** The configuration, and features that go with it, if it does not tell one; then it must if left out. */
  readonly invented?: { readonly config: Uint8Array<ArrayBuffer>; readonly features: bigint };
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

/** One connection to a back-end, from the first message on. Disposing it hangs up. */
export class Session implements Disposable {
  /** The connection. */
  readonly connection: Connection;
  /** What a driver is offered. */
  readonly features: bigint;
  /** Those of them that we make up, and it knows nothing of. */
  readonly invented: bigint;
  /** How many queues it has. */
  readonly queues: number;
  /** Whether it is told the status. */
  readonly hasStatus: boolean;
  /** Whether rings have to be enabled. */
  readonly enables: boolean;
  /** Where it says that its configuration has changed; undefined if it does not. */
  readonly channel: number | undefined;
  readonly #facts: BackEndFacts;
  readonly #tellsConfig: boolean;
  #config: Uint8Array<ArrayBuffer>;

  /**
   * Gets to know a back-end.
   *
   * @param fd A socket that does not block, which is closed with this.
   * @throws {VhostFault} If it is none, or not of this type.
   */
  constructor(fd: number, facts: BackEndFacts, deadline?: number) {
    const connection = this.connection = new Connection(fd, deadline);
    this.#facts = facts;
    try {
      const offered = connection.ask("GET_FEATURES", undefined);
      this.#check(offered);
      this.enables = (offered & F_PROTOCOL_FEATURES) !== 0n;
      const protocol = this.enables
        ? connection.ask("GET_PROTOCOL_FEATURES", undefined) & WANTED
        : 0n;
      if (this.enables) connection.tell("SET_PROTOCOL_FEATURES", protocol);
      connection.acknowledges = has(protocol, "REPLY_ACK");
      connection.tell("SET_OWNER", undefined);
      this.hasStatus = has(protocol, "STATUS");
      this.queues = this.#countQueues(has(protocol, "MQ"));
      this.#tellsConfig = has(protocol, "CONFIG") && facts.configBytes > 0;
      const { known, hidden = 0n, invented, configBytes } = facts;
      const invents = !this.#tellsConfig && configBytes > 0;
      if (invents && !invented) {
        throw new VhostFault("it tells no configuration, and such a device has one");
      }
      this.invented = invents ? invented!.features : 0n;
      this.features = offered & (known & ~hidden | RING_FEATURES) | this.invented;
      this.#config = invented?.config ?? new Uint8Array(configBytes);
      this.refresh();
      if (this.#tellsConfig && this.#config.every((byte) => byte === 0)) {
        throw new VhostFault(
          `its configuration is ${configBytes} zeroes: is it of another type?`,
        );
      }
      this.channel = has(protocol, "BACKEND_REQ") ? this.#openChannel() : undefined;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  #check(offered: bigint): void {
    const { known, oneOf } = this.#facts;
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

  #countQueues(tells: boolean): number {
    const { queues, unit = 1, fewQueues } = this.#facts;
    if (!tells || fewQueues) return queues;
    const units = this.connection.ask("GET_QUEUE_NUM", undefined);
    if (units < 1n || units > 65535n) throw new VhostFault(`it says that it has ${units} queues`);
    return Math.min(Number(units) * unit, MOST_QUEUES);
  }

  #openChannel(): number {
    const [own, other] = socketPair();
    try {
      this.connection.tell("SET_BACKEND_REQ_FD", undefined, other);
      return own;
    } catch (error) {
      close(own);
      throw error;
    } finally {
      close(other);
    }
  }

  /** Whether what it said on its channel means that the configuration may have changed. False when that is over. */
  hear(): boolean {
    return receive(this.channel!, new Uint8Array(4096), false) !== 0;
  }

  /** The configuration, as it was last told. */
  get config(): Uint8Array<ArrayBuffer> {
    return this.#config;
  }

  /** Asks for the configuration anew, where it is told. */
  refresh(): void {
    if (!this.#tellsConfig) return;
    const bytes = new Uint8Array(Math.min(this.#facts.configBytes, MOST_CONFIG));
    const part = this.connection.ask("GET_CONFIG", { offset: 0, flags: 0, bytes });
    if (part?.bytes.length !== bytes.length) {
      this.connection[Symbol.dispose]();
      throw new VhostFault(`it does not tell the ${bytes.length} bytes of its configuration`);
    }
    this.#config = part.bytes;
  }

  /** Writes to the configuration. */
  write(offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#tellsConfig) return;
    this.connection.tell("SET_CONFIG", { offset, flags: 0, bytes });
    this.refresh();
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
    if (this.channel !== undefined) close(this.channel);
  }
}
