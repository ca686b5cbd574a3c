import { BusFault } from "../bus/mailbox.ts";
import type { DriverReport, FromPlugin, Grant, WirePlan } from "../bus/message.ts";
import { ClientLane } from "../class/client_lane.ts";
import { type ClientHandle, type Clients, makeClient } from "../class/clients.ts";
import { clearer } from "../host/fd.ts";
import { mapShared } from "../host/memory.ts";
import type { InterruptLoop } from "../irq/interrupt_loop.ts";
import type { OpenFunction, PciFunction } from "../platform/platform.ts";
import type { DeviceClass, Manifest } from "../plugin/manifest.ts";
import { API, type Plugin } from "../plugin/plugin.ts";
import type { Tunables } from "../plugin/tunables.ts";
import { DeviceFault } from "../virtio/fault.ts";
import type { QueueFault } from "../virtqueue/virtqueue.ts";
import {
  bit,
  CORE_FEATURES,
  DOORBELL_FEATURES,
  driverFeatures,
  Feature,
  featureText,
  has,
} from "../virtio/features.ts";
import { agree, dropUnmet, featureReport } from "../virtio/negotiate.ts";
import { openTransport } from "../virtio/open_transport.ts";
import { DeviceStatus, statusNames } from "../virtio/status.ts";
import type { Transport } from "../virtio/transport.ts";
import { Budget } from "./budget.ts";
import { Conversation, PluginGone } from "./conversation.ts";
import { Deadline } from "./deadline.ts";
import type { Device, DeviceDescription } from "./device.ts";
import type { DriverHost, DriverHostOptions, Isolation } from "./driver_host.ts";
import { makeGrant, queueAddresses } from "./grant.ts";
import { inlineHost } from "./inline_host.ts";
import type { InterruptKind } from "./interrupt_kind.ts";
import { Interrupts } from "./interrupts.ts";
import { Link } from "./link.ts";
import { memoryStatistics } from "./memory_statistics.ts";
import { checkPlan, type Offered } from "./plan.ts";
import { processHost } from "./process_host.ts";
import { Restarts } from "./restarts.ts";
import { throughWindow } from "./through_window.ts";

/** A driver that the kernel can start. */
export interface PluginSource {
  /** What its `plugin.json` says. */
  readonly manifest: Manifest;
  /** URL of its module, for a process of its own. */
  readonly entry: string;
  /** The plugin itself, if the application trusts it enough to run it inline. */
  readonly plugin?: Plugin;
}

/** The URL of the folder that a driver's manifest stands in. */
function folderOf({ entry, manifest }: PluginSource): string {
  if (!entry.startsWith("file:")) return entry;
  // The manifest names the entry from its own folder, without a way up.
  const depth = manifest.entry.split("/").filter((part) => part !== "." && part !== "").length;
  return new URL("../".repeat(depth - 1) || ".", entry).href;
}

/** What a device is attached with. */
export interface AttachOptions {
  /** The kernel's loop. */
  readonly loop: InterruptLoop;
  /** The function. */
  readonly function: PciFunction;
  /** Its driver. */
  readonly source: PluginSource;
  /** Where the driver runs. */
  readonly isolation: Isolation;
  /** Features of ring and transport that stay unused, even if they are offered. */
  readonly without: bigint;
  /** The best kind of interrupt to use. */
  readonly interrupts: InterruptKind;
  /** Whether to use the legacy registers of a transitional device. */
  readonly legacy: boolean;
  /** What the user chose for the driver, and the usual values for the rest. */
  readonly tunables: Tunables;
  /** Milliseconds that a request may take, where its lane says nothing else: a device that needs more hangs. */
  readonly requestDeadline: number;
  /** Milliseconds after which a device that should interrupt is looked at all the same. */
  readonly watch: number;
  /** How often in a minute device and driver are started anew after a failure. */
  readonly restarts: number;
  /** Takes lines that people should see in any case. */
  readonly notice: (line: string) => void;
  /** Takes lines for people. */
  readonly log: (line: string) => void;
}

/**
 * For drivers that live, by what their watchdog sees, and do not answer all the same. Those that hang are found before,
 * and fairly; so these may be generous to a driver on a slow or busy machine.
 */
const HELLO_MS = 120_000;
const ANSWER_MS = 30_000;
/** What may fail without harm is not waited for that long. */
const REPORT_MS = 5_000;
const STOP_MS = 1_000;
/** Changes of configuration that a driver is told of in a second. */
const NEWS = 100;
/** A device that changes more often is looked at again after so long. */
const NEWS_MS = 50;
const PROGRESS_MS = 250;
/** A device may spoil its first start so often, by breaking one of these rules. */
const STARTS = 3;
const ANOTHER_TRY: readonly string[] = ["D-20", "D-22"];

const NOTHING_TO_REPORT: DriverReport = { queues: [], statistics: {} };

/**
 * One device and its driver.
 *
 * Whatever fails, and whenever, comes down by the same path: the device is reset, the driver's host is ended. From
 * there a device that had been at work is started anew, as often as it may be, and requests in flight are submitted
 * again: its clients see a pause. At last they are given back as gone, and the function is released.
 */
export class Attachment implements Device {
  readonly address: string;
  readonly driver: string;
  readonly class: DeviceClass;
  readonly isolation: Isolation;
  readonly gone: Promise<string | undefined>;
  unsafeDma: string | undefined;
  readonly #options: AttachOptions;
  /** What stays for good, in the order in which it was set up; it comes down in the opposite one. */
  readonly #stack = new AsyncDisposableStack();
  /** What belongs to one start of device and driver, likewise. */
  #incarnation = new AsyncDisposableStack();
  #lanes: readonly ClientLane[] = [];
  #deadlines: readonly Deadline[] = [];
  readonly #settleGone: (reason: string | undefined) => void;
  #conversation = new Conversation();
  #device!: OpenFunction;
  #transport!: Transport;
  #link!: Link;
  #arena!: DriverHostOptions["arena"];
  #interrupts!: Interrupts;
  #vectors: readonly number[] = [];
  /** When all that was to come down has; whether the device was safe to be used again. */
  #down: Promise<boolean> = Promise.resolve(true);
  /** The driver's host, while there is one. */
  #host: DriverHost | undefined;
  /** Of the driver's process, the latest if it was started anew. */
  #pid: number | undefined;
  #handle: ClientHandle | undefined;
  #grant: Grant | undefined;
  /** As it was when somebody looked for changes. */
  #seenConfig: readonly number[] | undefined;
  #features = { offered: 0n, usable: 0n, accepted: 0n };
  /** Features that stay unused. */
  #without: bigint;
  /** Whether features are agreed, so that the configuration may be written (2.2.1). */
  #agreed = false;
  /** Whether requests reach the device. */
  #running = false;
  readonly #restarts: Restarts;
  #ending: Promise<void> | undefined;
  readonly #ended = new AbortController();
  /** The last attempt to come back, under way or over. */
  #recovering: Promise<void> | undefined;
  readonly #news = new Budget(NEWS);
  #newsLater: ReturnType<typeof setTimeout> | undefined;
  /** Queues that are being reset. */
  readonly #resetting = new Set<string>();
  /** Queues that were reset because they were broken, since the device was started. */
  readonly #mended = new Set<string>();
  /** A report that was asked for; whoever asks meanwhile gets the same. */
  #report: Promise<DriverReport> | undefined;

  constructor(options: AttachOptions) {
    this.address = options.function.address;
    this.driver = options.source.manifest.name;
    this.class = options.source.manifest.class;
    this.isolation = options.isolation;
    this.#options = options;
    this.#without = options.without;
    this.#restarts = new Restarts(options.restarts);
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.gone = promise;
    this.#settleGone = resolve;
  }

  get pid(): number | undefined {
    return this.#pid;
  }

  get client(): Clients[DeviceClass] {
    return this.#handle!.client;
  }

  /**
   * Takes the function, starts its driver, and leads both through the initialisation (virtio 1.4, 3.1.1).
   *
   * @throws PluginGone If the driver declines, faults, ends, or does not answer.
   * @throws PlanError If it asks for what it cannot have.
   * @throws DeviceFault If the device breaks a rule.
   */
  async start(): Promise<void> {
    try {
      this.#take();
      for (let tries = 1;; tries++) {
        try {
          return await this.#initialise();
        } catch (error) {
          // A device may ask for a reset at any time, and refuse what it offered; another start may do.
          const again = error instanceof DeviceFault && ANOTHER_TRY.includes(error.rule);
          if (!again || tries === STARTS || !await this.#tearDown()) throw error;
          this.#link.restart();
          this.#conversation = new Conversation();
        }
      }
    } catch (error) {
      await this.#end((error as Error).message);
      throw error;
    }
  }

  /** Takes the function and what is needed for as long as it is held. */
  #take(): void {
    const { loop, interrupts, legacy, source } = this.#options;
    const device = this.#stack.use(throughWindow(this.#options.function.open(), loop));
    const transport = this.#transport = openTransport(device, legacy);
    this.#device = device;
    this.#interrupts = this.#stack.use(
      new Interrupts(device, transport, interrupts, loop, {
        config: () => this.#running && this.#configChanged(),
      }),
    );
    this.#link = this.#stack.use(
      new Link(loop, {
        message: (message) => this.#hear(message),
        completions: () => this.#drain(),
        fault: (error) => this.#fail(error),
        settle: () => device.settle(),
      }, source.manifest.limits.memoryMiB * 2 ** 20),
    );
    this.#listen(
      device.wanted,
      () => this.lose("it is being unplugged: the machine wants it back"),
    );
    this.#listen(device.failed, () => {
      this.#fail(new DeviceFault("D-74", "The bus reports an error of the device"));
    });
    this.#stack.defer(() => this.#lanes.forEach((lane) => lane.fail()));
    this.#watchProgress();
  }

  /** Calls `handler` whenever an eventfd of the function is signalled. */
  #listen(fd: number | undefined, handler: () => void): void {
    if (fd === undefined) return;
    const { loop } = this.#options;
    const clear = clearer(fd);
    this.#stack.defer(() => loop.remove(fd));
    loop.add(fd, () => {
      clear();
      handler();
    });
  }

  /** Takes memory for driver and device, once it is known by which addresses the device is going to use it. */
  #allocate(features: bigint): DriverHostOptions["arena"] {
    const { source, log } = this.#options;
    const bypass = !has(features, Feature.ACCESS_PLATFORM);
    const arena = this.#device.dma(source.manifest.limits.memoryMiB * 2 ** 20, bypass);
    const { fd, offset, size, alignment, unsafe } = arena;
    if (unsafe !== undefined) {
      this.unsafeDma = unsafe;
      log(`${this.address} ${this.driver}: UNSAFE DMA: ${unsafe}; it can reach all memory`);
    }
    return { ...arena, memory: mapShared(fd, offset, size, alignment) };
  }

  /** Starts device and driver. */
  async #initialise(): Promise<void> {
    const transport = this.#transport;
    const { source } = this.#options;
    this.#device.restore?.();
    await this.#greet();
    // Whoever ended the device meanwhile will not look here again.
    if (this.#ending) throw new PluginGone("the device was stopped");
    const offered = transport.offeredFeatures();
    if (transport.kind === "modern" && !has(offered, Feature.VERSION_1)) {
      throw new DeviceFault("D-23", "The device does not offer VIRTIO_F_VERSION_1");
    }
    const usable = dropUnmet(offered, source.manifest.features);
    const legacyOnly = transport.kind === "modern" ? bit(Feature.ANY_LAYOUT) : 0n;
    const own = usable & CORE_FEATURES & ~this.#without & ~legacyOnly;
    // Some devices have some of their queues only while the features that bring them are chosen, as QEMU's network card.
    // What the driver does not know is not even tried: choosing it may do something.
    const known = source.manifest.features.reduce((set, rule) => set | bit(rule.bit), 0n);
    transport.acceptFeatures(own | driverFeatures(usable) & known);
    this.#arena ??= this.#allocate(own);
    const host = this.#host = this.#startHost(own);
    this.#pid = host.pid;
    this.#incarnation.defer(() => {
      this.#host = undefined;
      return host.end();
    });
    this.#incarnation.defer(() => {
      // Whatever reset the machine may have closed its registers too.
      this.#device.restore?.();
      return this.#reset();
    });
    this.#greeted(await this.#conversation.expect(HELLO_MS, "hello"));
    const plan = await this.#negotiate({
      features: driverFeatures(usable),
      queues: Array.from({ length: transport.queues }, (_, i) => transport.queueMaximum(i)),
      resizable: transport.resizable,
      kind: has(own, Feature.RING_PACKED) ? "packed" : "split",
    });
    const wanted = BigInt(plan.features) | own;
    const accepted = await agree(transport, wanted, () => this.#greet());
    this.#features = { offered, usable, accepted };
    if ((own & ~accepted & DOORBELL_FEATURES) !== 0n) {
      // The host was started for features that the device then refused.
      this.#without |= DOORBELL_FEATURES;
      throw new DeviceFault("D-20", "The device refuses features of notifications that it offers");
    }
    this.#enable(plan);
    await this.#conversation.expect(ANSWER_MS, "ready");
    transport.addStatus(DeviceStatus.DRIVER_OK);
    if (transport.status() & DeviceStatus.DEVICE_NEEDS_RESET) {
      throw new DeviceFault("D-22", "The device set DEVICE_NEEDS_RESET while it was started");
    }
    this.#running = true;
    host.send({ type: "go" });
    // What changed since the driver got its copy was told to nobody.
    this.#compareConfig();
  }

  /** Resets the device and says that somebody has noticed it, and can drive it (3.1.1, steps 1 to 3). */
  async #greet(): Promise<void> {
    const transport = this.#transport;
    await this.#reset();
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
      await this.#transport.reset();
    } catch (error) {
      const device = this.#device;
      if (!device.reset || !(error instanceof DeviceFault) || error.rule !== "D-24") throw error;
      this.#options.log(`${this.address} ${this.driver}: resetting the function: ${error.message}`);
      device.reset();
      device.restore?.();
      await this.#transport.reset();
    }
  }

  #startHost(features: bigint): DriverHost {
    const { source, loop, isolation, log } = this.#options;
    const transport = this.#transport;
    const options: DriverHostOptions = {
      loop,
      link: this.#link,
      manifest: source.manifest,
      entry: source.entry,
      folder: folderOf(source),
      arena: this.#arena,
      vectors: this.#interrupts.queueFds,
      watch: this.#options.watch,
      doorbells: Array.from(
        { length: transport.queues },
        (_, i) => transport.doorbell(i, features),
      ),
      print: (line) => log(`${this.address} ${this.driver}: ${line}`),
      gone: (reason) => this.#fail(new PluginGone(reason)),
    };
    if (isolation === "process") return processHost(options);
    if (source.plugin) return inlineHost(source.plugin, options);
    throw new TypeError(
      `Cannot run ${this.driver} inline: only a plugin that the application hands over can; run it in a process`,
    );
  }

  #greeted({ api }: { api: number }): void {
    if (api !== API) {
      throw new PluginGone(`The driver speaks plugin API ${api}, this core speaks ${API}`);
    }
  }

  /** Offers the device to the driver, and checks the plan that comes back. */
  async #negotiate(offered: Offered): Promise<WirePlan> {
    this.#host!.send({
      type: "offer",
      features: featureText(offered.features),
      queues: offered.queues,
      legacy: this.#transport.kind === "legacy",
      tunables: this.#options.tunables,
      config: this.#config(),
    });
    const answer = await this.#conversation.expect(ANSWER_MS, "plan", "decline");
    if (answer.type === "decline") throw new PluginGone(`The driver declines: ${answer.reason}`);
    return checkPlan(answer.plan, offered);
  }

  /** Lays out what was planned, sets the queues up, and hands all of it to driver and client. */
  #enable(plan: WirePlan): void {
    const transport = this.#transport;
    const { runs, memory } = this.#arena;
    const places = makeGrant(plan, { features: this.#features.accepted, runs });
    this.#vectors = this.#interrupts.use(places.queues.map(({ index }) => index));
    if (plan.physical) this.#link.tellFrames(this.#device.physical?.(this.#arena) ?? runs);
    const config = this.#seenConfig = this.#config();
    const grant: Grant = {
      ...places,
      config,
      physical: plan.physical,
      polled: this.#interrupts.kind === "polling",
      resettable: has(this.#features.accepted, Feature.RING_RESET),
    };
    const arena = new Uint8Array(memory);
    for (const { offset, bytes } of grant.buffers) arena.fill(0, offset, offset + bytes);
    for (const { index, layout } of grant.queues) {
      arena.fill(0, layout.descriptors, layout.end);
      transport.enableQueue(index, { size: layout.size, ...queueAddresses(layout, runs) });
    }
    if (this.#grant) this.#resume(grant, plan);
    else this.#connect(grant, plan);
    this.#grant = grant;
    this.#agreed = true;
    this.#host!.send({ type: "grant", grant });
  }

  /** Makes the client at the first start. */
  #connect(grant: Grant, plan: WirePlan): void {
    const { loop } = this.#options;
    this.#lanes = grant.lanes.map((layout) =>
      new ClientLane(layout, {
        control: this.#link.control,
        arena: this.#arena.memory,
        ring: () => this.#host?.ring(),
        pump: () => this.#host?.pump(),
        spins: this.#host!.spins,
        turn: (timeout) => this.#host ? this.#host.turn(timeout) : loop.turn(timeout),
        attend: () => {
          const attention = loop.attend();
          return {
            [Symbol.dispose]: () => {
              attention[Symbol.dispose]();
              this.#host?.rest();
            },
          };
        },
      })
    );
    this.#deadlines = this.#lanes.map((lane, i) =>
      new Deadline(lane, plan.lanes[i]!.deadline ?? this.#options.requestDeadline)
    );
    const byName = new Map(grant.lanes.map(({ name }, i) => [name, this.#lanes[i]!]));
    this.#handle = makeClient(this.class, byName, plan.properties, { memory: memoryStatistics });
  }

  /** Puts the client's requests to the driver that was started anew. */
  #resume(grant: Grant, plan: WirePlan): void {
    if (JSON.stringify(grant.lanes) !== JSON.stringify(this.#grant!.lanes)) {
      throw new PluginGone("the driver came back with other lanes than before");
    }
    this.#handle!.update(plan.properties);
    this.#lanes.forEach((lane) => lane.restart());
    this.#deadlines.forEach((deadline) => deadline.restart());
  }

  #config(): number[] {
    const fields = this.#options.source.manifest.config;
    return [...this.#transport.config(fields.map(({ bytes }) => bytes))];
  }

  /** Writes a field of the device-specific configuration that the manifest lets the driver write. */
  #writeConfig(name: string, value: number): void {
    let offset = 0;
    for (const field of this.#options.source.manifest.config) {
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
   * Follows changes of the device-specific configuration (2.5), and calls for help (2.1.1). What is told is how it stands,
   * so a device that changes all the time floods neither its driver nor, with the driver's answers, the core.
   */
  #configChanged(): void {
    if (this.#newsLater !== undefined) return;
    if (this.#news.spent) {
      this.#newsLater = setTimeout(() => {
        this.#newsLater = undefined;
        if (this.#running) this.#configChanged();
      }, NEWS_MS);
      return;
    }
    this.#news.spend(1);
    try {
      if (this.#isWell()) this.#host!.send({ type: "config", config: this.#config() });
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** Looks for changes of configuration that the device did not tell of. */
  #compareConfig(): void {
    try {
      const before = this.#seenConfig!;
      const now = this.#seenConfig = this.#config();
      if (now.some((byte, i) => byte !== before[i])) this.#configChanged();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** Looks whether the device still works: it may call for help, or have been reset behind our back. */
  #isWell(): boolean {
    try {
      const status = this.#transport.status();
      if (status & DeviceStatus.DEVICE_NEEDS_RESET) {
        throw new DeviceFault("D-77", "The device set DEVICE_NEEDS_RESET");
      }
      if (status & DeviceStatus.DRIVER_OK) return true;
      throw new DeviceFault("D-76", "The device was reset by somebody else");
    } catch (error) {
      this.#fail(error as Error);
      return false;
    }
  }

  /** Looks whether requests end in time; a device that does not finish one hangs. */
  #watchProgress(): void {
    const timer = setInterval(() => {
      if (this.#running && this.#isWell() && !this.#interrupts.tellsOfConfig) this.#compareConfig();
      if (!this.#running) return;
      const now = performance.now();
      const late = this.#deadlines.filter((deadline) => deadline.passed(now))[0];
      if (late === undefined) return;
      this.#fail(
        new DeviceFault(
          "D-64",
          `The device did not finish a request within ${late.milliseconds} ms`,
        ),
      );
    }, PROGRESS_MS);
    this.#stack.defer(() => {
      clearInterval(timer);
      clearTimeout(this.#newsLater);
    });
  }

  #drain(): number {
    let ended = 0;
    for (let i = 0; i < this.#lanes.length; i++) ended += this.#lanes[i]!.drain();
    return ended;
  }

  #hear(message: FromPlugin): void {
    switch (message.type) {
      case "fault":
        return this.#fail(new PluginGone(`the driver failed: ${message.message}`));
      case "broken": {
        const { queue, rule, what } = message;
        return this.#fail(new DeviceFault(rule, `On queue ${queue} the device ${what}`));
      }
      case "resetQueue":
        if (!this.#running) break;
        this.#resetQueue(message.queue, message.because);
        return;
      case "properties":
        if (!this.#agreed) break;
        return this.#handle!.update(message.properties);
      case "writeConfig":
        if (!this.#agreed) break;
        return this.#writeConfig(message.field, message.value);
    }
    if (!this.#conversation.hear(message)) {
      this.#fail(new BusFault(`the driver sent "${message.type}" when nobody had asked`));
    }
  }

  /** Something went wrong. During a start it fails; afterwards it is tried anew. */
  #fail(error: Error): void {
    this.#link.close();
    this.#conversation.end(error);
    if (!this.#running) return;
    this.#running = false;
    this.#recovering = this.#recover(error);
  }

  /**
   * Takes a queue away from the device and gives it back empty (2.6.1): because the driver wants that, or as the
   * first step against a device that broke a rule of it.
   */
  async #resetQueue(name: string, because?: QueueFault): Promise<void> {
    const transport = this.#transport;
    const { log } = this.#options;
    try {
      const at = this.#grant!.queues.findIndex((queue) => queue.name === name);
      const queue = this.#grant!.queues[at];
      if (!queue || !this.#grant!.resettable || this.#resetting.has(name)) {
        throw new BusFault(`the driver wants queue ${name} reset, which cannot be`);
      }
      this.#resetting.add(name);
      if (because) {
        const fault = new DeviceFault(because.rule, `On queue ${name} the device ${because.what}`);
        // What a reset of the queue did not cure is a matter for the whole device.
        if (this.#mended.has(name) || this.#restarts.take() === undefined) throw fault;
        this.#mended.add(name);
        log(`${this.address} ${this.driver}: resetting the queue: ${fault.message}`);
      }
      await transport.resetQueue(queue.index);
      this.#host!.send({ type: "queueReset", queue: name });
      await this.#conversation.expect(ANSWER_MS, "emptied");
      const vector = this.#vectors[at];
      if (vector !== undefined && !transport.setQueueVector(queue.index, vector)) {
        throw new DeviceFault("D-70", `Queue ${name} does not take its interrupt vector again`);
      }
      const { size } = queue.layout;
      const addresses = queueAddresses(queue.layout, this.#arena.runs);
      transport.enableQueue(queue.index, { size, ...addresses });
      this.#resetting.delete(name);
      this.#host!.send({ type: "queueEnabled", queue: name });
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** Ends the device because what is beneath it is gone. */
  lose(reason: string): void {
    this.#running = false;
    this.#conversation.end(new PluginGone(reason));
    this.#end(reason);
  }

  async #recover(error: Error): Promise<void> {
    const { notice } = this.#options;
    for (let cause = error;;) {
      if (!await this.#tearDown()) return await this.#end(cause.message);
      const wait = this.#restarts.take();
      if (wait === undefined) return await this.#end(cause.message);
      notice(`${this.address} ${this.driver}: starting anew: ${cause.message}`);
      await pause(wait, this.#ended.signal);
      if (this.#ending) return;
      try {
        this.#link.restart();
        this.#mended.clear();
        this.#resetting.clear();
        this.#conversation = new Conversation();
        await this.#initialise();
        return;
      } catch (again) {
        cause = again as Error;
      }
    }
  }

  /**
   * Resets the device, ends the driver's host, and takes the completions that had come. One after the other: what ends
   * the device for good does not overtake what was about to start it anew, and leaves no host behind.
   *
   * @returns Whether the device is safe to be used again.
   */
  #tearDown(): Promise<boolean> {
    return this.#down = this.#down.then(() => this.#comeDown());
  }

  async #comeDown(): Promise<boolean> {
    const incarnation = this.#incarnation;
    this.#incarnation = new AsyncDisposableStack();
    this.#agreed = false;
    let safe = true;
    try {
      await incarnation.disposeAsync();
      this.#drain();
    } catch (error) {
      safe = error instanceof BusFault;
      this.#options.log(`${this.address} ${this.driver}: ${(error as Error).message}`);
    }
    return safe;
  }

  async describe(): Promise<DeviceDescription> {
    const { offered, usable, accepted } = this.#features;
    const { source } = this.#options;
    const { queues: reports, statistics } = this.#running
      ? await (this.#report ??= this.#inspect())
      : NOTHING_TO_REPORT;
    return {
      address: this.address,
      driver: this.driver,
      class: this.class,
      isolation: this.isolation,
      ...(this.pid === undefined ? {} : { pid: this.pid }),
      status: this.#running ? statusNames(this.#transport.status()) : [],
      restarts: this.#restarts.count,
      features: {
        offered: featureText(offered),
        accepted: featureText(accepted),
        list: featureReport(offered, usable, accepted, this.#without, source.manifest.features),
      },
      transport: this.#transport.kind,
      interrupts: this.#interrupts.kind,
      statistics,
      queues: (this.#grant?.queues ?? []).map(({ name, index, layout }, i) => {
        const vector = this.#vectors[i];
        return {
          name,
          index,
          kind: layout.kind,
          size: layout.size,
          ...(vector === undefined ? {} : { vector }),
          ...reports.find((report) => report.name === name),
        };
      }),
    };
  }

  async #inspect(): Promise<DriverReport> {
    try {
      this.#host!.send({ type: "inspect" });
      return await this.#conversation.expect(REPORT_MS, "report");
    } catch {
      return NOTHING_TO_REPORT; // it is on its way out, or anew
    } finally {
      this.#report = undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#report?.catch(() => {});
    if (this.#running && !this.#ending) await this.#handle?.close?.();
    if (this.#running && !this.#ending) {
      try {
        this.#host!.send({ type: "stop" });
        await this.#conversation.expect(STOP_MS, "stopped");
      } catch (error) {
        // It comes down anyway; the reason is for people.
        this.#options.log(`${this.address} ${this.driver}: ${(error as Error).message}`);
      }
    }
    await this.#end(undefined);
    await this.#recovering;
  }

  #end(reason: string | undefined): Promise<void> {
    return this.#ending ??= (async () => {
      this.#running = false;
      this.#ended.abort();
      this.#conversation.end(new PluginGone(reason ?? "the device was stopped"));
      if (reason !== undefined) this.#markFailed();
      await this.#tearDown();
      try {
        await this.#stack.disposeAsync();
      } catch (error) {
        this.#options.log(`${this.address} ${this.driver}: ${(error as Error).message}`);
      }
      this.#settleGone(reason);
    })();
  }

  #markFailed(): void {
    try {
      this.#transport?.addStatus(DeviceStatus.FAILED);
    } catch {
      // A device that is gone cannot be told either; the error that brought us here says what happened.
    }
  }
}

/** Waits, unless there is nothing to wait for any more. */
function pause(milliseconds: number, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      over.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    if (over.aborted) done();
    else over.addEventListener("abort", done);
  });
}
