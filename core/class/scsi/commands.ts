import type { ClientLane } from "../client_lane.ts";
import { Status } from "../lane.ts";
import {
  dataInOffset,
  ScsiAttribute,
  ScsiControl,
  type ScsiProperties,
  ScsiResponse,
  ScsiTail,
  ScsiWord,
} from "../scsi.ts";
import { addressWord, formatScsiAddress, type ScsiAddress } from "./address.ts";
import type { ScsiAnswer } from "./answer.ts";
import { ScsiError } from "./error.ts";
import { endLate, type LateCommand } from "./ladder.ts";
import { isAboutMedium, isWithoutMedium, Media } from "./media.ts";
import { parseSense, type ScsiSense, SenseKey } from "./sense.ts";
import { SlotQueue } from "./slot_queue.ts";
import { ScsiStatus } from "./status.ts";
import type { TaskManagement } from "./task_management.ts";

/** What goes along with a command. */
export interface CommandOptions {
  /** Data for the unit. */
  readonly out?: Uint8Array;
  /** Room for data from it, in bytes; none if left out. */
  readonly inBytes?: number;
  /** Where to put data from the unit, instead of the answer; its length is the room. */
  readonly into?: Uint8Array;
  /** Protection information for the unit. */
  readonly outProtection?: Uint8Array;
  /** Room for protection information from it, in bytes. */
  readonly inProtection?: number;
  /** Milliseconds that it may take before it is aborted; {@linkcode ScsiCommands.timeout} if left out. */
  readonly timeout?: number;
  /** How it stands among others; in any order if left out. */
  readonly order?: "simple" | "ordered" | "head" | "aca";
  /** Whether doing it twice does no harm: then it is done again where nobody knows whether it was. */
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
  /** Gives it up: the device may still have it, but nobody waits for it any more. */
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
  readonly #slots: SlotQueue;
  readonly #manager: TaskManagement;
  readonly #flights = new Set<Flight>();
  readonly #attention: (address: ScsiAddress, sense: ScsiSense) => void;
  #properties: ScsiProperties;
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
    this.#slots = new SlotQueue(lane);
    this.#manager = manager;
    this.#properties = properties;
    this.#attention = attention;
    this.dataBytes = lane.slotBytes - ScsiTail.bytes;
  }

  /** How often device and driver were started anew. */
  get restarts(): number {
    return this.#lane.restarts;
  }

  /** Takes new properties over: device and driver were started anew, and all commands get their time again. */
  update(properties: ScsiProperties): void {
    this.#properties = properties;
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
   */
  async execute(
    address: ScsiAddress,
    cdb: Uint8Array,
    options: CommandOptions = {},
  ): Promise<ScsiAnswer> {
    this.#check(address, cdb, options);
    const slot = await this.#slots.take();
    if (options.signal?.aborted) {
      this.#slots.release(slot);
      throw options.signal.reason;
    }
    return await this.#submit(slot, address, cdb, options);
  }

  #check(address: ScsiAddress, cdb: Uint8Array, options: CommandOptions): void {
    addressWord(address);
    const { out = NOTHING, outProtection = NOTHING, inProtection = 0 } = options;
    const { timeout = this.timeout } = options;
    const inBytes = roomOf(options);
    const fail = (why: string) => {
      throw new RangeError(`Cannot put a command to unit ${formatScsiAddress(address)}: ${why}`);
    };
    if (cdb.length === 0 || cdb.length > ScsiTail.cdbBytes) {
      fail(`its CDB has ${cdb.length} bytes; 1 to ${ScsiTail.cdbBytes} are possible`);
    }
    if (!(timeout > 0)) fail(`it may take ${timeout} ms`);
    if (!Number.isInteger(inBytes) || inBytes < 0) fail(`it wants ${inBytes} bytes of data`);
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
  }

  #submit(
    slot: number,
    address: ScsiAddress,
    cdb: Uint8Array,
    options: CommandOptions,
  ): Promise<ScsiAnswer> {
    const lane = this.#lane;
    const word = addressWord(address);
    const { out = NOTHING, outProtection = NOTHING, inProtection = 0, order = "simple" } = options;
    const { repeatable = false, signal, timeout = this.timeout } = options;
    const inBytes = roomOf(options);
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
        const answer = this.#answer(flight, ended, Math.min(moved, inBytes), options);
        this.#end(flight);
        // Before any command that ended along with this one is told of: they may be about another medium.
        if (answer.sense && this.media.look(word, answer.sense)) {
          this.#attention(address, answer.sense);
        }
        if (signal?.aborted && answer.response !== ScsiResponse.ok) reject(signal.reason);
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
    { out = NOTHING, into, inProtection = 0 }: CommandOptions,
  ): ScsiAnswer {
    const lane = this.#lane;
    const { slot, late, timeout } = flight;
    const bytes = lane.data(slot);
    const heard = ended === Status.ok || ended === Status.failed;
    const outcome = heard ? lane.word(slot, ScsiWord.outcome) : 0;
    const senseLength = Math.min(outcome >>> 16, ScsiTail.senseBytes);
    const at = this.dataBytes + ScsiTail.sense;
    const senseBytes = senseLength > 0 ? bytes.slice(at, at + senseLength) : NOTHING;
    const inAt = dataInOffset(out.length);
    const checks = this.dataBytes + ScsiTail.protection;
    const good = ended === Status.ok;
    if (into && good) into.set(bytes.subarray(inAt, inAt + moved));
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
      residual: heard ? lane.word(slot, ScsiWord.residual) : 0,
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
    if (flight.managed === 0) this.#slots.release(flight.slot);
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
      if (--flight.managed === 0 && flight.over) this.#slots.release(flight.slot);
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

function roomOf({ into, inBytes = into?.length ?? 0 }: CommandOptions): number {
  return inBytes;
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
