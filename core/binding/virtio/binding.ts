import { Budget } from "../../bus/budget.ts";
import { BusFault } from "../../bus/mailbox.ts";
import type { FromDriver, Grant, QueueGrant, WireOffer, WirePlan } from "../../bus/message.ts";
import { DeviceFault } from "../../pci/device_fault.ts";
import type { DmaMemory, OpenFunction } from "../../pci/function.ts";
import {
  bit,
  CORE_FEATURES,
  DOORBELL_FEATURES,
  driverFeatures,
  Feature,
  featureText,
  has,
} from "../../virtio/features.ts";
import { agree, dropUnmet, featureReport } from "../../virtio/negotiate.ts";
import { openTransport } from "../../virtio/open_transport.ts";
import { DeviceStatus, statusNames } from "../../virtio/status.ts";
import type { Transport } from "../../virtio/transport.ts";
import type { QueueFault } from "../../virtqueue/virtqueue.ts";
import type {
  Accepted,
  Arena,
  Binding,
  BindingDescription,
  BindingOptions,
  HostPart,
} from "../binding.ts";
import { makeGrant, queueAddresses } from "../grant.ts";
import { checkPlan, type Offered } from "../plan.ts";
import { Interrupts } from "./interrupts.ts";
import { throughWindow } from "./through_window.ts";
import { seeRegisters } from "./traced_transport.ts";

/** Changes of configuration that a driver is told of in a second. */
const NEWS = 100;
/** A device that changes more often is looked at again after so long. */
const NEWS_MS = 50;

/** A VirtIO device over PCI: the initialisation of virtio 1.4, 3.1.1, and what may happen to it afterwards. */
export class VirtioBinding implements Binding {
  readonly device: OpenFunction;
  readonly forgives = ["D-20", "D-22"];
  readonly #options: BindingOptions;
  readonly #stack = new DisposableStack();
  readonly #transport: Transport;
  readonly #interrupts: Interrupts;
  /** Features that stay unused. */
  #without: bigint;
  #features = { offered: 0n, usable: 0n, accepted: 0n };
  /** Features of ring and transport that are used if the device agrees. */
  #own = 0n;
  #arena: Arena | undefined;
  #queues: readonly QueueGrant[] = [];
  /** The MSI-X vector of each of them; none without MSI-X. */
  #vectors: readonly number[] = [];
  /** The configuration as it was when the driver or the core last looked for changes. */
  #seenConfig: readonly number[] = [];
  /** Whether there may have been changes since then that the driver was not told of. */
  #unseen = false;
  /** Whether features are agreed, so that the configuration may be written (2.2.1). */
  #agreed = false;
  /** Whether requests reach the device. */
  #live = false;
  readonly #news = new Budget(NEWS);
  #newsLater: ReturnType<typeof setTimeout> | undefined;
  /** Queues that are being reset. */
  readonly #resetting = new Set<string>();
  /** Queues that were reset because they were broken, since the device was started. */
  readonly #mended = new Set<string>();
  /** Aborted when the device is not wanted any more: after each wait it may be given back. */
  #ended!: AbortSignal;
  /** Counts the starts of the device: what belongs to an earlier one is out of date. */
  #starts = 0;

  /**
   * Takes the function.
   *
   * @throws DeviceFault If it has no usable registers.
   */
  constructor(options: BindingOptions) {
    const { loop, legacy, interrupts, trace, manifest } = options;
    this.#options = options;
    this.#without = options.without;
    using stack = new DisposableStack();
    const device = stack.use(throughWindow(options.function.open(), loop));
    const transport = openTransport(device, legacy, trace && seeRegisters(trace, manifest));
    const events = {
      config: () => this.#live && this.#tellConfig(),
      heard: (source: string) => trace?.tell({ kind: "interrupt", by: "core", source }),
    };
    this.#interrupts = stack.use(new Interrupts(device, transport, interrupts, loop, events));
    this.device = device;
    this.#transport = transport;
    this.#stack = stack.move();
  }

  async begin(ended: AbortSignal): Promise<void> {
    const transport = this.#transport;
    const { features: rules } = this.#options.manifest;
    this.device.restore?.();
    this.#ended = ended;
    await this.#greet();
    const offered = transport.offeredFeatures();
    if (transport.kind === "modern" && !has(offered, Feature.VERSION_1)) {
      throw new DeviceFault("D-23", "The device does not offer VIRTIO_F_VERSION_1");
    }
    const usable = dropUnmet(offered, rules);
    const legacyOnly = transport.kind === "modern" ? bit(Feature.ANY_LAYOUT) : 0n;
    const own = usable & CORE_FEATURES & ~this.#without & ~legacyOnly;
    // Some devices have some of their queues only while the features that bring them are chosen, as QEMU's network card.
    // What the driver does not know is not even tried: choosing it may do something.
    const known = rules.reduce((set, rule) => set | bit(rule.bit), 0n);
    transport.acceptFeatures(own | driverFeatures(usable) & known);
    this.#features = { offered, usable, accepted: 0n };
    this.#own = own;
    this.#starts++;
    this.#mended.clear();
    this.#resetting.clear();
  }

  memory(bytes: number): DmaMemory {
    return this.device.dma(bytes, { bypass: !has(this.#own, Feature.ACCESS_PLATFORM) });
  }

  host(): HostPart {
    const transport = this.#transport;
    return {
      vectors: this.#interrupts.queueFds,
      doorbells: Array.from(
        { length: transport.queues },
        (_, i) => transport.doorbell(i, this.#own),
      ),
    };
  }

  /** What the driver may choose from. */
  get #offered(): Offered {
    const transport = this.#transport;
    return {
      features: driverFeatures(this.#features.usable),
      queues: Array.from({ length: transport.queues }, (_, i) => transport.queueMaximum(i)),
      resizable: transport.resizable,
      kind: has(this.#own, Feature.RING_PACKED) ? "packed" : "split",
    };
  }

  offer(): WireOffer {
    const { features, queues } = this.#offered;
    return {
      bus: "virtio",
      features: featureText(features),
      queues,
      legacy: this.#transport.kind === "legacy",
      config: this.#config(),
    };
  }

  async accept(wanted: WirePlan, arena: Arena): Promise<Accepted> {
    const transport = this.#transport;
    const own = this.#own;
    const plan = checkPlan(wanted, this.#offered);
    const accepted = await agree(transport, BigInt(plan.features) | own, () => this.#greet());
    this.#features = { ...this.#features, accepted };
    if ((own & ~accepted & DOORBELL_FEATURES) !== 0n) {
      // The host was started for features that the device then refused.
      this.#without |= DOORBELL_FEATURES;
      throw new DeviceFault("D-20", "The device refuses features of notifications that it offers");
    }
    const { runs, memory } = this.#arena = arena;
    const places = makeGrant(plan, { features: accepted, runs });
    this.#queues = places.queues;
    this.#vectors = this.#interrupts.use(places.queues.map(({ index }) => index));
    const config = this.#seenConfig = this.#config();
    const bytes = new Uint8Array(memory);
    for (const queue of places.queues) {
      bytes.fill(0, queue.layout.descriptors, queue.layout.end);
      this.#enable(queue);
    }
    this.#agreed = true;
    const grant: Grant = {
      ...places,
      config,
      physical: plan.physical,
      polled: this.#interrupts.kind === "polling",
      resettable: has(accepted, Feature.RING_RESET),
    };
    return { plan, grant };
  }

  async live(): Promise<void> {
    const transport = this.#transport;
    transport.addStatus(DeviceStatus.DRIVER_OK);
    await this.device.settled?.();
    this.#ended.throwIfAborted();
    if (transport.status() & DeviceStatus.DEVICE_NEEDS_RESET) {
      throw new DeviceFault("D-22", "The device set DEVICE_NEEDS_RESET while it was started");
    }
    this.#live = true;
    // What changed since the driver got its copy was told to none.
    this.#unseen = true;
  }

  hear(message: FromDriver): boolean {
    if (message.type === "resetQueue" && this.#live) {
      this.#resetQueue(message.queue, message.because);
      return true;
    }
    if (message.type === "writeConfig" && this.#agreed) {
      this.#writeConfig(message.field, message.value);
      return true;
    }
    if (message.type === "readConfig" && this.#agreed) {
      this.#tellConfig();
      return true;
    }
    return false;
  }

  check(): void {
    this.#checkStatus();
    if (this.#unseen || !this.#interrupts.tellsOfConfig) this.#compareConfig();
    this.#unseen = false;
  }

  quiet(): Promise<void> {
    this.#live = this.#agreed = false;
    // Whatever reset the machine may have closed its registers too.
    this.device.restore?.();
    return this.#reset();
  }

  giveUp(): void {
    this.#transport.addStatus(DeviceStatus.FAILED);
  }

  describe(): BindingDescription {
    const { offered, usable, accepted } = this.#features;
    const { features: rules } = this.#options.manifest;
    return {
      status: this.#live ? statusNames(this.#transport.status()) : [],
      features: {
        offered: featureText(offered),
        accepted: featureText(accepted),
        list: featureReport(offered, usable, accepted, this.#without, rules),
      },
      transport: this.#transport.kind,
      interrupts: this.#interrupts.kind,
      queues: this.#queues.map(({ name, index, layout: { kind, size } }, i) => {
        const vector = this.#vectors[i];
        return { name, index, kind, size, ...(vector === undefined ? {} : { vector }) };
      }),
    };
  }

  /** Resets the device and says that it was noticed, and can be driven (3.1.1, steps 1 to 3). */
  async #greet(): Promise<void> {
    const transport = this.#transport;
    await this.#reset();
    this.#ended.throwIfAborted();
    await this.device.settled?.();
    this.#ended.throwIfAborted();
    const quiet = transport.status();
    if (quiet !== 0) {
      throw new DeviceFault("D-25", `The device raised its status to ${quiet} after its reset`);
    }
    transport.addStatus(DeviceStatus.ACKNOWLEDGE);
    transport.addStatus(DeviceStatus.DRIVER);
    const now = transport.status();
    if (now & DeviceStatus.DEVICE_NEEDS_RESET) {
      throw new DeviceFault("D-22", "The device set DEVICE_NEEDS_RESET while it was started");
    }
    if (now !== (DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER)) {
      throw new DeviceFault(
        "D-19",
        `The device does not keep its status: it is ${now} after ACKNOWLEDGE and DRIVER were set`,
      );
    }
  }

  /** Resets the device; one that does not come to the end of it is reset from outside, where that can be. */
  async #reset(): Promise<void> {
    try {
      await this.#transport.reset(this.#options.patience.reset);
    } catch (error) {
      const { device } = this;
      if (!device.reset || !(error instanceof DeviceFault) || error.rule !== "D-24") throw error;
      this.#options.driver.log(`resetting the function: ${error.message}`);
      device.reset();
      device.restore?.();
      await this.#transport.reset(this.#options.patience.reset);
    }
  }

  #enable({ index, layout }: QueueGrant): void {
    const addresses = queueAddresses(layout, this.#arena!.runs);
    this.#transport.enableQueue(index, { size: layout.size, ...addresses });
  }

  #config(): number[] {
    const fields = this.#options.manifest.config;
    return [...this.#transport.config(fields.map(({ bytes }) => bytes))];
  }

  /** Writes a field of the device-specific configuration that the manifest lets the driver write. */
  #writeConfig(name: string, value: number): void {
    let offset = 0;
    for (const field of this.#options.manifest.config) {
      const { bytes } = field;
      if (field.name === name) {
        if (!field.writable || bytes === 8 || value >= 2 ** (8 * bytes)) {
          throw new BusFault(`the driver writes ${value} to the configuration field ${name}`);
        }
        return this.#transport.writeConfig(offset, bytes, value);
      }
      offset += bytes;
    }
    throw new BusFault(
      `the driver writes the configuration field ${name}, which its plugin.json lacks`,
    );
  }

  /**
   * Tells the driver of the device-specific configuration (2.5), and looks for calls for help (2.1.1): when it changed, and
   * when the driver asks. What is told is how it stands, so a device that changes all the time floods neither its driver
   * nor, with the driver's answers, the core; nor does a driver that asks all the time.
   */
  #tellConfig(): void {
    if (this.#newsLater !== undefined) return;
    if (this.#news.spent) {
      this.#newsLater = setTimeout(() => {
        this.#newsLater = undefined;
        if (this.#agreed) this.#tellConfig();
      }, NEWS_MS);
      return;
    }
    this.#news.spend(1);
    try {
      if (this.#live) this.#checkStatus();
      const config = this.#seenConfig = this.#config();
      this.#options.driver.send({ type: "config", config });
    } catch (error) {
      this.#options.driver.fail(error as Error);
    }
  }

  /** Looks for changes of configuration that the device did not tell of. */
  #compareConfig(): void {
    const before = this.#seenConfig;
    if (this.#config().some((byte, i) => byte !== before[i])) this.#tellConfig();
  }

  /** Looks whether the device still works: it may call for help, or have been reset from elsewhere. */
  #checkStatus(): void {
    const status = this.#transport.status();
    if (status & DeviceStatus.DEVICE_NEEDS_RESET) {
      throw new DeviceFault("D-77", "The device set DEVICE_NEEDS_RESET");
    }
    if (!(status & DeviceStatus.DRIVER_OK)) {
      throw new DeviceFault("D-76", "The device was reset, and not by the core");
    }
  }

  /**
   * Takes a queue away from the device and gives it back empty (2.6.1): because the driver wants that, or as the
   * first step against a device that broke a rule of it.
   */
  async #resetQueue(name: string, because?: QueueFault): Promise<void> {
    const transport = this.#transport;
    const { driver, patience } = this.#options;
    const start = this.#starts;
    try {
      const at = this.#queues.findIndex((queue) => queue.name === name);
      const queue = this.#queues[at];
      const resettable = has(this.#features.accepted, Feature.RING_RESET);
      if (!queue || !resettable || this.#resetting.has(name)) {
        throw new BusFault(`the driver wants queue ${name} reset, which cannot be`);
      }
      this.#resetting.add(name);
      if (because) {
        const fault = new DeviceFault(because.rule, `On queue ${name} the device ${because.what}`);
        // What a reset of the queue did not cure is a matter for the whole device.
        if (this.#mended.has(name) || !driver.mend()) throw fault;
        this.#mended.add(name);
        driver.log(`resetting the queue: ${fault.message}`);
      }
      await transport.resetQueue(queue.index, patience.queueReset);
      if (start !== this.#starts || !this.#live) return;
      driver.send({ type: "queueReset", queue: name });
      await driver.expect(patience.emptied, "emptied");
      const vector = this.#vectors[at];
      if (vector !== undefined && !transport.setQueueVector(queue.index, vector)) {
        throw new DeviceFault("D-70", `Queue ${name} does not take its interrupt vector again`);
      }
      this.#enable(queue);
      this.#resetting.delete(name);
      driver.send({ type: "queueEnabled", queue: name });
    } catch (error) {
      if (start === this.#starts) driver.fail(error as Error);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#newsLater);
    this.#stack.dispose();
  }
}
