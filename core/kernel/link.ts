// The core's end of what it shares with a driver host.

import { Bell, Cause } from "../bus/bell.ts";
import {
  controlBytes,
  ControlWord,
  FRAMES,
  LANES,
  MAILBOX_CAPACITY,
  TO_CORE,
  TO_DRIVER,
} from "../bus/control.ts";
import { BusFault, Mailbox } from "../bus/mailbox.ts";
import { type FromDriver, fromDriver, type ToDriver } from "../bus/message.ts";
import { type DmaRun, PAGE } from "../dma/address_table.ts";
import { close, eventfd, signaller } from "../linux/fd.ts";
import { mapShared, memoryFile } from "../linux/memory.ts";
import type { InterruptLoop } from "../irq/interrupt_loop.ts";
import { Budget } from "../bus/budget.ts";
import { TRACE_BYTES } from "../trace/ring.ts";

/** Why a driver may ring. */
const CAUSES = Cause.lane | Cause.mail | Cause.credits | Cause.register | Cause.answered |
  Cause.doorbell;
/** How often in a row it may do so for nothing: what it rang for may have been found already when another thing was. */
const IN_VAIN = 64;
/** Messages that are read in one turn of the loop. */
const PORTION = 32;
/** What the messages of a second may cost, in bytes. A driver has something to say when something changes. */
const MAIL_BYTES = 2 << 20;
/** What a message costs at least, however short it is: 4096 of them in a second. */
const MESSAGE_BYTES = 512;

/** Accesses to registers that the core makes for a driver in a second. */
const ACCESSES = 5000;
/** Doorbells that it writes for a driver in a second. */
const DOORBELLS = 100_000;
/** Milliseconds after which the next is made where those are used up. */
const LATER_MS = 10;

/** What a trace takes of shared memory, which comes in granules of so many bytes. */
const TRACE_AREA = Math.ceil(TRACE_BYTES / 65536) * 65536;

/** What the core does about its driver host. */
export interface LinkEvents {
  /** A message came. */
  readonly message: (message: FromDriver) => void;
  /** Requests in lanes may have ended; returns how many had. */
  readonly completions: () => number;
  /** The host broke the rules of the bus. */
  readonly fault: (error: Error) => void;
  /** Doorbell answers must be taken. */
  readonly takeAnswers: () => void;
  /** The driver's process may ask for an access to a register: makes it. Returns whether it did. */
  readonly registers: () => boolean;
  /** The driver's process has written doorbells: writes them to the device. Returns how many. */
  readonly doorbells: () => number;
  /** The driver says that it has answered an interrupt. Returns whether there was one. */
  readonly answered: () => boolean;
  /** A message was sent or read, if that is to be told. */
  readonly told?: (by: "core" | "driver", message: ToDriver | FromDriver) => void;
}

/**
 * The core's end of what it shares with the host of one device's driver: control memory, two bells, two mailboxes. It
 * outlives the hosts: a driver that is started anew finds the same lanes.
 *
 * What the driver writes costs the core a bounded time in each turn of its loop, and a bounded part of each second. A
 * driver that sends or rings more is at fault, and one that is at fault is not listened to any more.
 */
export class Link implements Disposable {
  /** The file of the control memory. */
  readonly fd: number;
  /** Control memory. */
  readonly control: SharedArrayBuffer;
  /** Its 32-bit words. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Wakes the driver host. */
  readonly driverFd = eventfd();
  /** Wakes the core. */
  readonly coreFd = eventfd();
  /** The driver host's bell. */
  readonly driver: Bell;
  /** The core's bell. */
  readonly core: Bell;
  /** Where in control memory the host tells what it does; undefined if it does not. */
  readonly trace: number | undefined;
  readonly #loop: InterruptLoop;
  readonly #events: LinkEvents;
  #outbox: Mailbox;
  #inbox: Mailbox;
  #budget = new Budget(MAIL_BYTES);
  readonly #accesses = new Budget(ACCESSES);
  readonly #doorbells = new Budget(DOORBELLS);
  #later: ReturnType<typeof setTimeout> | undefined;
  #inVain = 0;
  #closed = false;

  /** @param arena Most bytes that the arena has. */
  constructor(loop: InterruptLoop, events: LinkEvents, arena: number) {
    const bytes = controlBytes(arena);
    // Where messages are told, the host tells what it does.
    this.trace = events.told && bytes;
    const all = bytes + (events.told ? TRACE_AREA : 0);
    this.fd = memoryFile("virtio-control", all);
    this.control = mapShared(this.fd, 0, all);
    this.words = new Int32Array(this.control);
    this.driver = new Bell(this.words, ControlWord.driverBell, signaller(this.driverFd));
    this.core = new Bell(this.words, ControlWord.coreBell, signaller(this.coreFd));
    this.#outbox = this.outbox();
    this.#inbox = this.inbox();
    this.#loop = loop;
    this.#events = events;
    loop.addBell(this.core, this.coreFd, (causes) => this.#answer(causes));
  }

  /** The mailbox to the driver, from its start. */
  outbox(): Mailbox {
    return new Mailbox(this.control, TO_DRIVER, MAILBOX_CAPACITY);
  }

  /** The mailbox from the driver, from its start. */
  inbox(): Mailbox {
    return new Mailbox(this.control, TO_CORE, MAILBOX_CAPACITY);
  }

  /** Makes everything but the lanes as new. No host may be there. */
  restart(): void {
    new Uint8Array(this.control, 0, LANES).fill(0);
    this.#outbox = this.outbox();
    this.#inbox = this.inbox();
    this.#budget = new Budget(MAIL_BYTES);
    this.#inVain = 0;
    this.#closed = false;
  }

  /** Listens to the driver no more, until it is started anew. */
  close(): void {
    this.#closed = true;
  }

  /** Writes the page frames of the arena where the driver finds them. */
  tellFrames(runs: readonly DmaRun[]): void {
    const frames = new Uint32Array(this.control, FRAMES);
    let page = 0;
    for (const { address, length } of runs) {
      if ((address + length) / PAGE > 2 ** 32) {
        throw new RangeError(
          "Cannot tell the page frames of the arena: some take more than 32 bits",
        );
      }
      for (let done = 0; done < length; done += PAGE) frames[page++] = (address + done) / PAGE;
    }
  }

  /** Sends a message. The core never has more under way than fit; a full mailbox means that the host hangs. */
  send(message: ToDriver): void {
    if (!this.#outbox.send(message)) throw new BusFault("The driver does not take its messages");
    this.#events.told?.("core", message);
    this.driver.ring(Cause.mail);
  }

  /** Looks at everything that the driver left when it ended. */
  takeAll(): void {
    this.#answer(CAUSES, MAILBOX_CAPACITY);
  }

  /** Answers the bell, if it was rung. */
  answerBell(): void {
    const causes = this.core.take();
    if (causes !== 0) this.#answer(causes);
  }

  /** Takes doorbell answers now. */
  takeAnswers(): void {
    const rung = Atomics.load(this.words, ControlWord.doorbellsRung);
    this.#events.takeAnswers();
    Atomics.store(this.words, ControlWord.doorbellsAnswered, rung);
  }

  #answer(causes: number, portion = PORTION): void {
    if (this.#closed) return;
    try {
      if (causes & ~CAUSES) throw new BusFault("the driver rang for a reason that there is not");
      let found = 0;
      // First, so that the device works meanwhile, and before an interrupt counts as answered.
      if (causes & Cause.doorbell) found += this.#passDoorbells();
      if (causes & Cause.credits) found += this.#creditsUsed();
      if (causes & Cause.lane) found += this.#events.completions();
      if (causes & Cause.register) found += this.#access();
      if (causes & Cause.answered) found += Number(this.#events.answered());
      if (causes & Cause.mail) found += this.#read(portion);
      this.#inVain = found > 0 ? 0 : this.#inVain + 1;
      if (this.#inVain > IN_VAIN) {
        throw new BusFault(`the driver rang ${IN_VAIN} times in a row for nothing`);
      }
    } catch (error) {
      this.close();
      this.#events.fault(error as Error);
    }
  }

  /** Makes an access to a register. A driver that asks too often waits: it waits in place anyway. */
  #access(): number {
    if (this.#accesses.spent) return this.#postpone();
    this.#accesses.spend(1);
    return Number(this.#events.registers());
  }

  /** Writes doorbells. Those that are too many wait, and only the latest value of each is written then. */
  #passDoorbells(): number {
    if (this.#doorbells.spent) return this.#postpone();
    const passed = this.#events.doorbells();
    this.#doorbells.spend(passed);
    return passed;
  }

  #postpone(): number {
    this.#later ??= setTimeout(() => this.#goOn(), LATER_MS);
    return 1;
  }

  #goOn(): void {
    clearTimeout(this.#later);
    this.#later = undefined;
    this.core.ring(Cause.register | Cause.doorbell);
  }

  /** Waits once, blocking this thread. No timer comes meanwhile, so what was put off is gone on with here. */
  wait(timeout: number): void {
    if (this.#later === undefined) return void this.#loop.runOnce(timeout);
    this.#loop.runOnce(Math.min(timeout, LATER_MS));
    this.#goOn();
  }

  /** Takes doorbell answers. Returns how many there may have been. */
  #creditsUsed(): number {
    const { doorbellsRung, doorbellsAnswered } = ControlWord;
    const used = Atomics.load(this.words, doorbellsRung) - this.words[doorbellsAnswered]!;
    if (used !== 0) this.takeAnswers();
    return Math.abs(used);
  }

  /** Reads messages, a portion of them. Returns how many there were. */
  #read(most: number): number {
    for (let count = 0; count < most; count++) {
      const before = this.#inbox.passed;
      const message = this.#inbox.receive();
      if (message === undefined) return count;
      this.#budget.spend(Math.max(MESSAGE_BYTES, this.#inbox.passed - before >>> 0));
      if (this.#budget.spent) {
        const most = MAIL_BYTES / MESSAGE_BYTES;
        throw new BusFault(
          `the driver sent more than ${most} messages, or ${MAIL_BYTES} bytes, in a second`,
        );
      }
      const decoded = fromDriver(message);
      this.#events.told?.("driver", decoded);
      this.#events.message(decoded);
      if (this.#closed) return count + 1;
    }
    // There may be more: others first.
    this.core.ring(Cause.mail);
    return most;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#later);
    this.#loop.remove(this.coreFd);
    close(this.fd);
    close(this.driverFd);
    close(this.coreFd);
  }
}
