import { argument, type ClientLane, Status } from "../../core/class/mod.ts";
import { BlockSlots } from "../block/slots.ts";
import { addressWord, checkAddress, formatScsiAddress, type ScsiAddress } from "./address.ts";
import { NOTHING, readOutcome, type ScsiAnswer } from "./answer.ts";
import { ScsiError } from "./error.ts";
import { Flights } from "./flights.ts";
import { errorStatus, judge, TRIES } from "./judge.ts";
import { isAboutMedium, isWithoutMedium, Media } from "./media.ts";
import * as protocol from "./protocol.ts";
import type { ScsiProperties } from "./protocol.ts";
import { ScsiRequests } from "./requests.ts";
import { type ScsiSense, SenseKey } from "./sense.ts";
import type { TaskManagement } from "./task_management.ts";

const { dataInOffset, ScsiAttribute, ScsiResponse, ScsiTail, ScsiWord } = protocol;

/** What goes along with a command. */
export interface CommandOptions {
  /** Data for the unit; it must not change until the promise settles. */
  readonly out?: Uint8Array;
  /** Room for data from it, in bytes; none if left out. */
  readonly inBytes?: number;
  /** Where to put data from the unit, instead of the answer; its length is the room. */
  readonly into?: Uint8Array;
  /** Protection information for the unit. */
  readonly outProtection?: Uint8Array;
  /** Room for protection information from it, in bytes. */
  readonly inProtection?: number;
  /** Milliseconds that it may take before it is aborted, up to 2³¹ − 1; {@linkcode ScsiCommands.timeout} if left out. */
  readonly timeout?: number;
  /** How it stands among others; in any order if left out. */
  readonly order?: "simple" | "ordered" | "head" | "aca";
  /** Whether doing it twice does no harm: then it is done again where it is unknown whether it was. */
  readonly repeatable?: boolean;
  /** The generation of the medium that it is for: with another one in the drive, what came of it is not what was asked for. */
  readonly medium?: number;
  /** Aborts it. */
  readonly signal?: AbortSignal;
}

/** Pauses before a command is tried again that the unit has no time for, in milliseconds: growing, up to the longest. */
const PAUSE = 25, LONGEST_PAUSE = 500;
/** The lane `requests`: commands for logical units. */
export class ScsiCommands {
  /** Milliseconds that a command may take before it is aborted, if it does not say. */
  timeout = 10_000;
  /** Most bytes of data that one command may carry. */
  readonly dataBytes: number;
  /** Which medium each unit has. */
  readonly media: Media = new Media();
  /** Those that are with the device. */
  readonly flights: Flights;
  readonly #lane: ClientLane;
  readonly #attention: (address: ScsiAddress, sense: ScsiSense) => void;
  readonly #properties: ScsiProperties;
  #publishing = false;

  /** @param attention Hears of what commands met that is not about them: unit attentions, and media that are gone. */
  constructor(
    lane: ClientLane,
    manager: TaskManagement,
    properties: ScsiProperties,
    attention: (address: ScsiAddress, sense: ScsiSense) => void,
  ) {
    this.#lane = lane;
    this.flights = new Flights(lane, manager, properties.busReset);
    this.#properties = properties;
    this.#attention = attention;
    this.dataBytes = lane.slotBytes - ScsiTail.bytes;
  }

  /** How often device and driver were started anew. */
  get restarts(): number {
    return this.#lane.restarts;
  }

  /** A disk's commands as slots, once it has learnt what it is like. */
  slots(address: ScsiAddress): { readonly slots: BlockSlots; readonly requests: ScsiRequests } {
    const requests = new ScsiRequests(this.#lane, this, address);
    return { slots: new BlockSlots(this.#lane, requests), requests };
  }

  /**
   * Has a command carried out, and sees to it that it is: repeats it where the unit was not able to just now. What is
   * given is the client's own, and not checked again.
   *
   * @param action For the error: `"Cannot read 512 bytes at 0"`.
   * @throws ScsiError If it was not.
   */
  async perform(
    action: string,
    address: ScsiAddress,
    cdb: Uint8Array,
    options: CommandOptions = {},
  ): Promise<ScsiAnswer> {
    const command = this.#complete(cdb, options);
    const deadline = performance.now() + command.timeout;
    const word = addressWord(address);
    const { medium } = options;
    for (let tries = 1;; tries++) {
      const answer = await this.#run(address, command);
      if (medium !== undefined && medium !== this.media.generation(word)) {
        throw exchangedError(action, address, answer);
      }
      const { sense } = answer;
      if (sense) this.hear(address, sense);
      const verdict = judge(answer, command.repeatable);
      if (verdict === "done") return answer;
      const enough = verdict === "later" ? performance.now() > deadline : tries >= TRIES;
      if (verdict === "failed" || enough) {
        throw new ScsiError(action, address, errorStatus(answer), answer);
      }
      if (verdict === "later") await pause(Math.min(PAUSE * tries, LONGEST_PAUSE));
    }
  }

  /**
   * Puts a command to a unit, once, and tells what came of it.
   *
   * @throws RangeError If it is larger than what fits, or to an address that cannot be.
   * @throws TypeError If an argument is of the wrong kind, or a buffer is transferred or resized meanwhile.
   */
  async execute(
    address: ScsiAddress,
    cdb: Uint8Array,
    options: CommandOptions = {},
  ): Promise<ScsiAnswer> {
    const where = "ScsiClient.execute";
    const unit = checkAddress(address, where);
    const command = this.#check(cdb, options, where);
    command.signal?.throwIfAborted();
    return await this.#run(unit, command);
  }

  async #run(address: ScsiAddress, command: Command): Promise<ScsiAnswer> {
    this.#checkFits(address, command);
    const free = this.#lane.take();
    const slot = free >= 0 ? free : await this.#lane.taken(actionOf(address));
    try {
      command.signal?.throwIfAborted();
      if (isLost(command)) throw argument.lostError(actionOf(address));
    } catch (error) {
      this.#lane.release(slot);
      throw error;
    }
    return await this.#submit(slot, address, command);
  }

  /** Checks what an application gives, and takes views of its own of it. */
  #check(cdb: Uint8Array, options: CommandOptions, where: string): Command {
    const given = argument.record(options, where, "options");
    const bytesOf = (name: "out" | "outProtection" | "into") => {
      const value = given[name];
      return value === undefined ? undefined : argument.bytes(value, where, `options.${name}`);
    };
    const [out = NOTHING, outProtection = NOTHING, into] = [
      bytesOf("out"),
      bytesOf("outProtection"),
      bytesOf("into"),
    ];
    const { inBytes = into?.length ?? 0, inProtection = 0, repeatable = false } = given;
    const { timeout = this.timeout, order = "simple" } = given;
    const signal = argument.abortSignal(given.signal, where, "options.signal");
    return this.#complete(argument.copied(cdb, where, "cdb", 1, ScsiTail.cdbBytes), {
      out,
      outProtection,
      ...(into && { into }),
      inBytes: argument.integer(inBytes, where, "options.inBytes", 0, into?.length),
      inProtection: argument.integer(inProtection, where, "options.inProtection"),
      timeout: argument.milliseconds(timeout, where, "options.timeout", 1),
      order: argument.word(order, where, "options.order", ORDERS),
      repeatable: argument.flag(repeatable, where, "options.repeatable"),
      ...(signal && { signal }),
    });
  }

  /** A command with nothing left open. */
  #complete(cdb: Uint8Array, options: CommandOptions): Command {
    const { out = NOTHING, outProtection = NOTHING, into, signal } = options;
    return {
      cdb,
      out,
      outBytes: out.length,
      outProtection,
      outProtectionBytes: outProtection.length,
      into,
      intoBytes: into?.length ?? 0,
      inBytes: options.inBytes ?? into?.length ?? 0,
      inProtection: options.inProtection ?? 0,
      timeout: options.timeout ?? this.timeout,
      order: options.order ?? "simple",
      repeatable: options.repeatable ?? false,
      signal,
    };
  }

  /** Makes sure that a command fits the device, and a slot. */
  #checkFits(address: ScsiAddress, command: Command): void {
    const { outBytes, inBytes, outProtectionBytes, inProtection } = command;
    const fail = (why: string) => {
      throw new RangeError(`${actionOf(address)}: ${why}`);
    };
    if (outBytes > 0 && inBytes > 0 && !this.#properties.bidirectional) {
      fail("it has data in both directions, and the device does not offer VIRTIO_SCSI_F_INOUT");
    }
    if (dataInOffset(outBytes) + inBytes > this.dataBytes) {
      fail(`it has ${outBytes + inBytes} bytes of data; ${this.dataBytes} are possible`);
    }
    const protection = Math.max(outProtectionBytes, inProtection);
    if (protection > ScsiTail.protectionBytes) {
      fail(
        `it has ${protection} bytes of protection information; it may have ` +
          ScsiTail.protectionBytes,
      );
    }
    if (protection > 0 && !this.#properties.protection) {
      fail("it has protection information, and the device does not offer VIRTIO_SCSI_F_T10_PI");
    }
  }

  #submit(slot: number, address: ScsiAddress, command: Command): Promise<ScsiAnswer> {
    const lane = this.#lane;
    const word = addressWord(address);
    const { cdb, out, outBytes, outProtection, inBytes, inProtection, order } = command;
    const { repeatable, signal, timeout } = command;
    const data = lane.data(slot);
    const tail = this.dataBytes;
    if (outBytes > 0) data.set(out);
    data.set(cdb, tail + ScsiTail.cdb);
    if (outProtection.length > 0) data.set(outProtection, tail + ScsiTail.protection);
    const attribute = ScsiAttribute[order] | (repeatable ? 0 : ScsiAttribute.once);
    lane.setWord(slot, ScsiWord.operation, 0);
    lane.setWord(slot, ScsiWord.address, (word | attribute << 24) >>> 0);
    lane.setWord(slot, ScsiWord.cdbBytes, cdb.length);
    lane.setWord(slot, ScsiWord.outBytes, out.length);
    lane.setWord(slot, ScsiWord.inBytes, inBytes);
    lane.setWord(slot, ScsiWord.protection, (outProtection.length | inProtection << 16) >>> 0);

    const { flights } = this;
    return new Promise((resolve, reject) => {
      let abandoned = false;
      const abort = signal && (() => flights.abort(slot));
      if (abort) signal.addEventListener("abort", abort, { once: true });
      flights.begin(slot, word, timeout, () => {
        abandoned = true;
        resolve(GIVEN_UP);
      });
      lane.submit(slot, (_, ended, moved) => {
        if (abort) signal.removeEventListener("abort", abort);
        const late = flights.isLate(slot);
        flights.end(slot);
        if (abandoned) return flights.release(slot);
        const lost = isLost(command);
        const answer = this.#answer(slot, ended, Math.min(moved, inBytes), command, late);
        flights.release(slot);
        if (answer.sense) this.look(address, answer.sense);
        if (lost) reject(argument.lostError(actionOf(address)));
        else if (signal?.aborted && answer.response !== ScsiResponse.ok) reject(signal.reason);
        else resolve(answer);
      }, !repeatable);
      this.#publishSoon();
    });
  }

  /** Shows all that is submitted in one go to the driver at once. */
  #publishSoon(): void {
    if (this.#publishing) return;
    this.#publishing = true;
    queueMicrotask(() => {
      this.#publishing = false;
      this.#lane.publish();
    });
  }

  /** Looks at the sense data of an answer, before any command that ended along with it is told of: it may be about another medium. */
  look(address: ScsiAddress, sense: ScsiSense): void {
    if (this.media.look(addressWord(address), sense)) this.#attention(address, sense);
  }

  /** Tells what the sense data of an answer say that is not about its command. */
  hear(address: ScsiAddress, sense: ScsiSense): void {
    if (sense.key === SenseKey.unitAttention && !isAboutMedium(sense)) {
      this.#attention(address, sense);
    }
  }

  /** What the driver and the device left in a slot. */
  #answer(
    slot: number,
    ended: number,
    moved: number,
    { outBytes, into, intoBytes, inBytes, inProtection, timeout }: Command,
    late: boolean,
  ): ScsiAnswer {
    const lane = this.#lane;
    const bytes = lane.data(slot);
    const outcome = readOutcome(lane, slot, ended, late ? timeout : undefined);
    const heard = ended === Status.ok || ended === Status.failed;
    const inAt = dataInOffset(outBytes);
    const checks = this.dataBytes + ScsiTail.protection;
    const good = ended === Status.ok;
    if (into && good && !argument.isLost(into, intoBytes)) {
      into.set(bytes.subarray(inAt, inAt + moved));
    }
    return {
      ...outcome,
      data: good && !into ? bytes.slice(inAt, inAt + moved) : NOTHING,
      protection: good ? bytes.slice(checks, checks + inProtection) : NOTHING,
      // What came in less is missing, whatever the driver says.
      residual: heard
        ? Math.max(lane.word(slot, ScsiWord.residual), good ? inBytes - moved : 0)
        : 0,
    };
  }
}

/** The error of a command for a medium that is not in its unit any more. */
export function exchangedError(
  action: string,
  address: ScsiAddress,
  answer?: ScsiAnswer,
): ScsiError {
  const reason = isWithoutMedium(answer?.sense) ? undefined : EXCHANGED;
  return new ScsiError(action, address, Status.failed, answer, reason);
}

const EXCHANGED = "the medium was exchanged or taken out; open the disk anew";

/** The answer of a unit that is not there any more, instead of none. */
const GIVEN_UP: ScsiAnswer = {
  ended: Status.failed,
  response: ScsiResponse.incorrectLun,
  status: 0,
  senseBytes: NOTHING,
  data: NOTHING,
  protection: NOTHING,
  residual: 0,
};

/** A command that was checked. */
interface Command {
  readonly cdb: Uint8Array;
  readonly out: Uint8Array;
  readonly outBytes: number;
  readonly outProtection: Uint8Array;
  readonly outProtectionBytes: number;
  readonly into: Uint8Array | undefined;
  readonly intoBytes: number;
  readonly inBytes: number;
  readonly inProtection: number;
  readonly timeout: number;
  readonly order: NonNullable<CommandOptions["order"]>;
  readonly repeatable: boolean;
  readonly signal: AbortSignal | undefined;
}

const ORDERS = ["simple", "ordered", "head", "aca"] as const;

/** Whether one of a command's buffers was taken away. */
function isLost(command: Command): boolean {
  const { out, outBytes, outProtection, outProtectionBytes, into, intoBytes } = command;
  return argument.isLost(out, outBytes) || argument.isLost(outProtection, outProtectionBytes) ||
    into !== undefined && argument.isLost(into, intoBytes);
}

function actionOf(address: ScsiAddress): string {
  return `Cannot put a command to unit ${formatScsiAddress(address)}`;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
