import { argument, type ClientLane, Status } from "../../core/class/mod.ts";
import {
  dataInOffset,
  ScsiAttribute,
  ScsiControl,
  type ScsiProperties,
  ScsiResponse,
  ScsiTail,
  ScsiWord,
} from "./protocol.ts";
import { addressWord, checkAddress, formatScsiAddress, type ScsiAddress } from "./address.ts";
import type { ScsiAnswer } from "./answer.ts";
import { ScsiError } from "./error.ts";
import { endLate, type LateCommand } from "./ladder.ts";
import { isAboutMedium, isWithoutMedium, Media } from "./media.ts";
import { parseSense, type ScsiSense, SenseKey } from "./sense.ts";
import { ScsiStatus } from "./status.ts";
import type { TaskManagement } from "./task_management.ts";

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

/** How often a command is tried that something came in the way of. */
const TRIES = 8;
/** Pauses before a command is tried again that the unit has no time for, in milliseconds: growing, up to the longest. */
const PAUSE = 25, LONGEST_PAUSE = 500;
/** How often late commands are looked for, in milliseconds. */
const WATCH = 50;
const NOTHING: Uint8Array<ArrayBuffer> = new Uint8Array(0);

interface Flight extends LateCommand {
  over: boolean;
  readonly end: () => void;
  readonly timeout: number;
  /** When it was submitted. */
  since: number;
  /** Whether its time was over. */
  late: boolean;
  /** Gives it up: the device may still have it, but the caller waits no more. */
  abandon: () => void;
  /** Whether it was given up. */
  abandoned: boolean;
  /** Task management functions about it that are not answered yet: its slot stays its own meanwhile. */
  managed: number;
}

/** The lane `requests`: commands for logical units. */
export class ScsiCommands {
  /** Milliseconds that a command may take before it is aborted, if it does not say. */
  timeout = 10_000;
  /** Most bytes of data that one command may carry. */
  readonly dataBytes: number;
  /** Commands whose time was over. */
  timeouts = 0;
  /** Which medium each unit has. */
  readonly media: Media = new Media();
  readonly #lane: ClientLane;
  readonly #manager: TaskManagement;
  readonly #flights = new Set<Flight>();
  readonly #attention: (address: ScsiAddress, sense: ScsiSense) => void;
  readonly #properties: ScsiProperties;
  #publishing = false;
  #watch: ReturnType<typeof setInterval> | undefined;

  /** @param attention Hears of what commands met that is not about them: unit attentions, and media that are gone. */
  constructor(
    lane: ClientLane,
    manager: TaskManagement,
    properties: ScsiProperties,
    attention: (address: ScsiAddress, sense: ScsiSense) => void,
  ) {
    this.#lane = lane;
    this.#manager = manager;
    this.#properties = properties;
    this.#attention = attention;
    this.dataBytes = lane.slotBytes - ScsiTail.bytes;
  }

  /** How often device and driver were started anew. */
  get restarts(): number {
    return this.#lane.restarts;
  }

  /** Device and driver were started anew, and all commands get their time again. */
  restarted(): void {
    const now = performance.now();
    for (const flight of this.#flights) {
      flight.since = now;
      flight.late = false;
    }
  }

  /**
   * Has a command carried out, and sees to it that it is: repeats it where the unit was not able to just now.
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
    const deadline = performance.now() + (options.timeout ?? this.timeout);
    const word = addressWord(address);
    const { medium } = options;
    for (let tries = 1;; tries++) {
      const answer = await this.execute(address, cdb, options);
      if (medium !== undefined && medium !== this.media.generation(word)) {
        throw exchangedError(action, address, answer);
      }
      const { sense } = answer;
      if (sense?.key === SenseKey.unitAttention && !isAboutMedium(sense)) {
        this.#attention(address, sense);
      }
      const verdict = judge(answer, options.repeatable === true);
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
    const command = this.#check(unit, cdb, options, where);
    const { signal } = command;
    signal?.throwIfAborted();
    const slot = await this.#lane.taken(actionOf(unit));
    try {
      signal?.throwIfAborted();
      if (isLost(command)) throw argument.lostError(actionOf(unit));
    } catch (error) {
      this.#lane.release(slot);
      throw error;
    }
    return await this.#submit(slot, unit, command);
  }

  /** Checks a command. Returns it with nothing left open, and with views of its own. */
  #check(address: ScsiAddress, cdb: Uint8Array, options: CommandOptions, where: string): Command {
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
    const command: Command = {
      cdb: argument.copied(cdb, where, "cdb", 1, ScsiTail.cdbBytes),
      out,
      outBytes: out.length,
      outProtection,
      outProtectionBytes: outProtection.length,
      into,
      intoBytes: into?.length ?? 0,
      inBytes: argument.integer(inBytes, where, "options.inBytes", 0, into?.length),
      inProtection: argument.integer(inProtection, where, "options.inProtection"),
      timeout: argument.milliseconds(timeout, where, "options.timeout", 1),
      order: argument.word(order, where, "options.order", ORDERS),
      repeatable: argument.flag(repeatable, where, "options.repeatable"),
      signal: argument.abortSignal(given.signal, where, "options.signal"),
    };
    const fail = (why: string) => {
      throw new RangeError(`${actionOf(address)}: ${why}`);
    };
    if (out.length > 0 && inBytes > 0 && !this.#properties.bidirectional) {
      fail("it has data in both directions, and the device does not offer VIRTIO_SCSI_F_INOUT");
    }
    if (dataInOffset(out.length) + inBytes > this.dataBytes) {
      fail(`it has ${out.length + inBytes} bytes of data; ${this.dataBytes} are possible`);
    }
    const protection = Math.max(outProtection.length, inProtection);
    if (protection > ScsiTail.protectionBytes) {
      fail(
        `it has ${protection} bytes of protection information; it may have ` +
          ScsiTail.protectionBytes,
      );
    }
    if (protection > 0 && !this.#properties.protection) {
      fail("it has protection information, and the device does not offer VIRTIO_SCSI_F_T10_PI");
    }
    return command;
  }

  #submit(slot: number, address: ScsiAddress, command: Command): Promise<ScsiAnswer> {
    const lane = this.#lane;
    const word = addressWord(address);
    const { cdb, out, outProtection, inBytes, inProtection, order } = command;
    const { repeatable, signal, timeout } = command;
    const data = lane.data(slot);
    const tail = this.dataBytes;
    data.set(out);
    data.set(cdb, tail + ScsiTail.cdb);
    data.set(outProtection, tail + ScsiTail.protection);
    const attribute = ScsiAttribute[order] | (repeatable ? 0 : ScsiAttribute.once);
    lane.setWord(slot, ScsiWord.operation, 0);
    lane.setWord(slot, ScsiWord.address, (word | attribute << 24) >>> 0);
    lane.setWord(slot, ScsiWord.cdbBytes, cdb.length);
    lane.setWord(slot, ScsiWord.outBytes, out.length);
    lane.setWord(slot, ScsiWord.inBytes, inBytes);
    lane.setWord(slot, ScsiWord.protection, (outProtection.length | inProtection << 16) >>> 0);

    const flight = this.#begin(slot, word, timeout);
    const abort = () => void this.#abort(flight);
    signal?.addEventListener("abort", abort, { once: true });
    return new Promise((resolve, reject) => {
      flight.abandon = () => {
        flight.abandoned = true;
        resolve(GIVEN_UP);
      };
      lane.submit(slot, (_, ended, moved) => {
        signal?.removeEventListener("abort", abort);
        if (flight.abandoned) return this.#end(flight);
        const lost = isLost(command);
        const answer = this.#answer(flight, ended, Math.min(moved, inBytes), command);
        this.#end(flight);
        // Before any command that ended along with this one is told of: they may be about another medium.
        if (answer.sense && this.media.look(word, answer.sense)) {
          this.#attention(address, answer.sense);
        }
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

  /** What the driver and the device left in a slot. */
  #answer(
    flight: Flight,
    ended: number,
    moved: number,
    { outBytes, into, intoBytes, inBytes, inProtection }: Command,
  ): ScsiAnswer {
    const lane = this.#lane;
    const { slot, late, timeout } = flight;
    const bytes = lane.data(slot);
    const heard = ended === Status.ok || ended === Status.failed;
    const outcome = heard ? lane.word(slot, ScsiWord.outcome) : 0;
    const senseLength = Math.min(outcome >>> 16, ScsiTail.senseBytes);
    const at = this.dataBytes + ScsiTail.sense;
    const senseBytes = senseLength > 0 ? bytes.slice(at, at + senseLength) : NOTHING;
    const inAt = dataInOffset(outBytes);
    const checks = this.dataBytes + ScsiTail.protection;
    const good = ended === Status.ok;
    if (into && good && !argument.isLost(into, intoBytes)) {
      into.set(bytes.subarray(inAt, inAt + moved));
    }
    const sense = (outcome >>> 8 & 0xff) === ScsiStatus.checkCondition
      ? parseSense(senseBytes)
      : undefined;
    return {
      ended,
      response: heard ? outcome & 0xff : ScsiResponse.failure,
      status: outcome >>> 8 & 0xff,
      senseBytes,
      ...(sense && { sense }),
      data: good && !into ? bytes.slice(inAt, inAt + moved) : NOTHING,
      protection: good ? bytes.slice(checks, checks + inProtection) : NOTHING,
      // What came in less is missing, whatever the driver says.
      residual: heard
        ? Math.max(lane.word(slot, ScsiWord.residual), good ? inBytes - moved : 0)
        : 0,
      ...(late && { late: timeout }),
    };
  }

  #begin(slot: number, address: number, timeout: number): Flight {
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const flight: Flight = {
      slot,
      address,
      timeout,
      over: false,
      ended,
      end,
      since: performance.now(),
      late: false,
      abandon: () => {},
      abandoned: false,
      managed: 0,
    };
    this.#flights.add(flight);
    this.#watch ??= setInterval(() => this.#look(), WATCH);
    return flight;
  }

  #end(flight: Flight): void {
    flight.over = true;
    flight.end();
    this.#flights.delete(flight);
    if (this.#flights.size === 0) {
      clearInterval(this.#watch);
      this.#watch = undefined;
    }
    if (flight.managed === 0) this.#lane.release(flight.slot);
  }

  /** Looks for commands whose time is over. */
  #look(): void {
    const now = performance.now();
    for (const flight of this.#flights) {
      if (flight.late || now - flight.since < flight.timeout) continue;
      flight.late = true;
      this.timeouts++;
      void this.#manage(flight, () => this.#endLate(flight));
    }
  }

  async #endLate(flight: Flight): Promise<void> {
    if (!await endLate(flight, this.#manager, this.#properties.busReset)) flight.abandon();
  }

  #abort(flight: Flight): Promise<void> {
    const { address, slot } = flight;
    const abort = () => this.#manager.request(ScsiControl.abortTask, address, slot);
    return this.#manage(flight, abort);
  }

  /** Does something about a command, which keeps its slot meanwhile. */
  async #manage(flight: Flight, work: () => Promise<unknown>): Promise<void> {
    flight.managed++;
    try {
      await work();
    } finally {
      if (--flight.managed === 0 && flight.over) this.#lane.release(flight.slot);
    }
  }

  /** Hastens the end of all commands to a unit that is gone. */
  lose(address: ScsiAddress): void {
    const word = addressWord(address);
    for (const flight of this.#flights) {
      if (flight.address === word) flight.since = -Infinity;
    }
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
  readonly cdb: Uint8Array<ArrayBuffer>;
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

/** What is to be done after an answer. */
type Verdict = "done" | "failed" | "again" | "later";

function judge(answer: ScsiAnswer, repeatable: boolean): Verdict {
  const { ended, response, status, sense, late } = answer;
  if (ended === Status.failed) {
    if (response === ScsiResponse.busy) return "later";
    const reset = response === ScsiResponse.reset || response === ScsiResponse.aborted;
    return reset && repeatable && late === undefined ? "again" : "failed";
  }
  if (ended !== Status.ok || response !== ScsiResponse.ok) return "failed";
  switch (status) {
    case ScsiStatus.good:
    case ScsiStatus.conditionMet:
      return "done";
    case ScsiStatus.busy:
    case ScsiStatus.taskSetFull:
      return "later";
    case ScsiStatus.checkCondition:
      return judgeSense(sense, repeatable);
    default:
      return "failed";
  }
}

function judgeSense(sense: ScsiSense | undefined, repeatable: boolean): Verdict {
  // A deferred error is about an earlier command; this one was not carried out (SPC-4, 4.5.8).
  if (sense?.deferred) return "failed";
  switch (sense?.key) {
    case SenseKey.none:
    case SenseKey.recovered:
      return "done";
    case SenseKey.unitAttention:
      return "again";
    case SenseKey.aborted:
      return repeatable ? "again" : "failed";
    case SenseKey.notReady:
      return sense!.asc === 0x04 && sense!.ascq === 0x01 ? "later" : "failed";
    default:
      return "failed";
  }
}

/** A status for the error of a command that the unit refused. */
function errorStatus({ ended, sense }: ScsiAnswer): number {
  if (ended !== Status.ok) return ended;
  const unknown = sense?.key === SenseKey.illegalRequest && sense.asc === 0x20;
  return unknown ? Status.unsupported : Status.failed;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
