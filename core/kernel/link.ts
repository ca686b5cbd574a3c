import { Bell, Cause } from "../bus/bell.ts";
import {
  controlBytes,
  ControlWord,
  FRAMES,
  LANES,
  MAILBOX_CAPACITY,
  TO_CORE,
  TO_PLUGIN,
} from "../bus/control.ts";
import { BusFault, Mailbox } from "../bus/mailbox.ts";
import { type FromPlugin, fromPlugin, type ToPlugin } from "../bus/message.ts";
import { type DmaRun, PAGE } from "../dma/address_table.ts";
import { close, eventfd, signaller } from "../host/fd.ts";
import { mapShared, memoryFile } from "../host/memory.ts";
import type { InterruptLoop } from "../irq/interrupt_loop.ts";

/** What the core does about its driver host. */
export interface LinkEvents {
  /** A message came. */
  readonly message: (message: FromPlugin) => void;
  /** Requests in lanes may have ended. */
  readonly completions: () => void;
  /** The host broke the rules of the bus. */
  readonly fault: (error: Error) => void;
  /** Doorbell answers must be taken. */
  readonly settle: () => void;
}

/**
 * The core's end of what it shares with the host of one device's driver: control memory, two bells, two mailboxes. It
 * outlives the hosts: a driver that is started anew finds the same lanes.
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
  readonly #loop: InterruptLoop;
  readonly #events: LinkEvents;
  #outbox: Mailbox;
  #inbox: Mailbox;

  /** @param arena Most bytes that the arena has. */
  constructor(loop: InterruptLoop, events: LinkEvents, arena: number) {
    const bytes = controlBytes(arena);
    this.fd = memoryFile("virtio-control", bytes);
    this.control = mapShared(this.fd, 0, bytes);
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
    return new Mailbox(this.control, TO_PLUGIN, MAILBOX_CAPACITY);
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
  send(message: ToPlugin): void {
    if (!this.#outbox.send(message)) throw new BusFault("The driver does not take its messages");
    this.driver.ring(Cause.mail);
  }

  /** Looks at everything, as if the bell had been rung for every cause. */
  look(): void {
    this.#answer(Cause.credits | Cause.lane | Cause.mail);
  }

  /** Answers the bell, if it was rung. */
  pump(): void {
    const causes = this.core.take();
    if (causes !== 0) this.#answer(causes);
  }

  /** Takes doorbell answers now. */
  settle(): void {
    const rung = Atomics.load(this.words, ControlWord.doorbellsRung);
    this.#events.settle();
    Atomics.store(this.words, ControlWord.doorbellsAnswered, rung);
  }

  #answer(causes: number): void {
    try {
      if (causes & Cause.credits) this.settle();
      if (causes & Cause.lane) this.#events.completions();
      if (!(causes & Cause.mail)) return;
      for (;;) {
        const message = this.#inbox.receive();
        if (message === undefined) return;
        this.#events.message(fromPlugin(message));
      }
    } catch (error) {
      this.#events.fault(error as Error);
    }
  }

  [Symbol.dispose](): void {
    this.#loop.remove(this.coreFd);
    close(this.fd);
    close(this.driverFd);
    close(this.coreFd);
  }
}
