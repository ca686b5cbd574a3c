import type { FromPlugin, Grant, QueueReport, WirePlan } from "../bus/message.ts";
import { ClientLane } from "../class/client_lane.ts";
import { type ClientHandle, type Clients, makeClient } from "../class/clients.ts";
import { clear } from "../host/fd.ts";
import type { InterruptLoop } from "../irq/interrupt_loop.ts";
import { planVectors, type VectorPlan } from "../irq/vectors.ts";
import type { DmaMemory, OpenFunction, PciFunction } from "../platform/platform.ts";
import type { DeviceClass, Manifest } from "../plugin/manifest.ts";
import { API, type Plugin } from "../plugin/plugin.ts";
import { DeviceFault } from "../virtio/fault.ts";
import { CORE_FEATURES, driverFeatures, Feature, featureText, has } from "../virtio/features.ts";
import { modernTransport } from "../virtio/modern.ts";
import { agree } from "../virtio/negotiate.ts";
import { DeviceStatus, statusNames } from "../virtio/status.ts";
import { NO_VECTOR, type Transport } from "../virtio/transport.ts";
import { Conversation, PluginGone } from "./conversation.ts";
import type { Device, DeviceDescription } from "./device.ts";
import type { DriverHost, DriverHostOptions, Isolation } from "./driver_host.ts";
import { makeGrant, queueAddresses } from "./grant.ts";
import { inlineHost } from "./inline_host.ts";
import { checkPlan } from "./plan.ts";
import { processHost } from "./process_host.ts";

/** A driver that the kernel can start. */
export interface PluginSource {
  /** What its `plugin.json` says. */
  readonly manifest: Manifest;
  /** URL of its module, for a process of its own. */
  readonly entry: string;
  /** The plugin itself, if the application trusts it enough to run it inline. */
  readonly plugin?: Plugin;
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
  /** Whether to use interrupts where there are any. */
  readonly interrupts: boolean;
  /** Milliseconds after which a device that finishes none of its requests counts as hung. */
  readonly requestDeadline: number;
  /** Takes lines for people. */
  readonly log: (line: string) => void;
}

/** A driver's first start may have to compile it. */
const HELLO_MS = 15_000;
const ANSWER_MS = 5_000;
const STOP_MS = 1_000;
const PROGRESS_MS = 250;

/**
 * One device and its driver.
 *
 * Whatever fails on the way up, and whatever ends the device later, comes down by the same path: the driver is asked
 * to stop, the device is reset, requests in flight are given back, the host is ended, the function is released.
 */
export class Attachment implements Device {
  readonly address: string;
  readonly driver: string;
  readonly class: DeviceClass;
  readonly isolation: Isolation;
  readonly gone: Promise<string | undefined>;
  readonly #options: AttachOptions;
  /** What was set up, in that order; it comes down in the opposite one. */
  readonly #stack = new AsyncDisposableStack();
  readonly #conversation = new Conversation();
  readonly #lanes = new Map<string, ClientLane>();
  readonly #settleGone: (reason: string | undefined) => void;
  #transport!: Transport;
  #host!: DriverHost;
  #handle!: ClientHandle;
  #grant: Grant | undefined;
  #vectors: VectorPlan = planVectors([]);
  #offered = 0n;
  #accepted = 0n;
  /** Whether clients may use it. */
  #running = false;
  #ending: Promise<void> | undefined;
  /** A report that was asked for; whoever asks meanwhile gets the same. */
  #report: Promise<readonly QueueReport[]> | undefined;

  constructor(options: AttachOptions) {
    this.address = options.function.address;
    this.driver = options.source.manifest.name;
    this.class = options.source.manifest.class;
    this.isolation = options.isolation;
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.gone = promise;
    this.#settleGone = resolve;
  }

  get pid(): number | undefined {
    return this.#host.pid;
  }

  get client(): Clients[DeviceClass] {
    return this.#handle.client;
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
      await this.#initialise();
    } catch (error) {
      this.#markFailed();
      await this.#end((error as Error).message);
      throw error;
    }
  }

  async #initialise(): Promise<void> {
    const { manifest } = this.#options.source;
    const device = this.#stack.use(this.#options.function.open());
    const transport = this.#transport = modernTransport(device);
    const arena = device.dma(manifest.limits.memoryMiB * 2 ** 20);
    const wanted = this.#options.interrupts ? transport.queues + 1 : 0;
    this.#vectors = planVectors(wanted === 0 ? [] : device.vectors(wanted));

    // The driver's process starts while the device is reset.
    const host = this.#host = this.#startHost(device, arena);
    this.#stack.defer(() => host.end());
    this.#stack.defer(() => this.#lanes.forEach((lane) => lane.fail()));
    this.#stack.defer(() => transport.reset());

    await transport.reset();
    transport.addStatus(DeviceStatus.ACKNOWLEDGE);
    transport.addStatus(DeviceStatus.DRIVER);
    this.#offered = transport.offeredFeatures();
    if (!has(this.#offered, Feature.VERSION_1)) {
      throw new DeviceFault("D-23", "The device does not offer VIRTIO_F_VERSION_1");
    }
    const plan = await this.#negotiate();

    this.#accepted = BigInt(plan.features) |
      this.#offered & CORE_FEATURES & ~this.#options.without;
    agree(transport, this.#accepted);
    this.#watchConfig();
    this.#enable(plan, arena);
    await this.#conversation.expect(ANSWER_MS, "ready");
    transport.addStatus(DeviceStatus.DRIVER_OK);
    this.#running = true;
    host.send({ type: "go" });
    this.#watchProgress();
  }

  #startHost(device: OpenFunction, arena: DmaMemory): DriverHost {
    const { source, loop, isolation, log } = this.#options;
    const options: DriverHostOptions = {
      loop,
      manifest: source.manifest,
      entry: source.entry,
      arena,
      vectors: this.#vectors.queueFds,
      doorbell: this.#transport.doorbell(0).fd,
      settle: () => device.settle(),
      print: (line) => log(`${this.address} ${this.driver}: ${line}`),
      message: (message) => this.#hear(message),
      completions: () => this.#lanes.forEach((lane) => lane.drain()),
      gone: (reason) => this.lose(reason),
    };
    if (isolation === "process") return processHost(options);
    if (source.plugin) return inlineHost(source.plugin, options);
    throw new TypeError(
      `Cannot run ${this.driver} inline: only a plugin that the application hands over can; run it in a process`,
    );
  }

  /** Offers the device to the driver, and checks the plan that comes back. */
  async #negotiate(): Promise<WirePlan> {
    const hello = await this.#conversation.expect(HELLO_MS, "hello");
    if (hello.api !== API) {
      throw new PluginGone(`The driver speaks plugin API ${hello.api}, this core speaks ${API}`);
    }
    const transport = this.#transport;
    const features = driverFeatures(this.#offered);
    const queues = Array.from({ length: transport.queues }, (_, i) => transport.queueMaximum(i));
    this.#host.send({
      type: "offer",
      features: featureText(features),
      queues,
      config: this.#config(),
    });
    const answer = await this.#conversation.expect(ANSWER_MS, "plan", "decline");
    if (answer.type === "decline") throw new PluginGone(`The driver declines: ${answer.reason}`);
    return checkPlan(answer.plan, { features, queues });
  }

  /** Lays out what was planned, sets the queues up, and hands all of it to driver and client. */
  #enable(plan: WirePlan, { runs }: DmaMemory): void {
    const transport = this.#transport;
    const host = this.#host;
    const grant = this.#grant = makeGrant(plan, {
      features: this.#accepted,
      runs,
      doorbell: (index) => transport.doorbell(index),
    });
    const arena = new Uint8Array(host.arena);
    for (const { offset, bytes } of grant.buffers) arena.fill(0, offset, offset + bytes);
    grant.queues.forEach(({ index, layout }, i) => {
      arena.fill(0, layout.descriptors, layout.end);
      transport.enableQueue(index, {
        size: layout.size,
        ...queueAddresses(layout, runs),
        vector: this.#vectors.queue(i) ?? NO_VECTOR,
      });
    });
    for (const layout of grant.lanes) {
      const lane = new ClientLane(layout, {
        control: host.control,
        arena: host.arena,
        ring: () => host.ring(),
        pump: () => host.pump(),
        spins: host.spins,
        turn: (timeout) => host.turn(timeout),
        attend: () => host.attend(),
      });
      this.#lanes.set(layout.name, lane);
    }
    this.#handle = makeClient(this.class, this.#lanes, plan.properties);
    host.send({ type: "grant", grant });
  }

  #config(): number[] {
    const fields = this.#options.source.manifest.config;
    return [...this.#transport.config(fields.map(({ bytes }) => bytes))];
  }

  /** Follows changes of the device-specific configuration (2.5), and calls for help (2.1.1). */
  #watchConfig(): void {
    const { config } = this.#vectors;
    if (!config) return;
    if (!this.#transport.setConfigVector(config.vector)) {
      throw new DeviceFault(
        "D-70",
        `The device does not take the configuration vector ${config.vector}`,
      );
    }
    const { loop } = this.#options;
    this.#stack.defer(() => loop.remove(config.fd));
    loop.add(config.fd, () => {
      clear(config.fd);
      if (!this.#running) return;
      try {
        if (this.#transport.status() & DeviceStatus.DEVICE_NEEDS_RESET) {
          return this.lose("the device set DEVICE_NEEDS_RESET");
        }
        this.#host.send({ type: "config", config: this.#config() });
      } catch (error) {
        this.lose((error as Error).message);
      }
    });
  }

  /** Looks whether requests end at all; a device that finishes none of them hangs. */
  #watchProgress(): void {
    const { requestDeadline } = this.#options;
    let ended = 0;
    let since = performance.now();
    const timer = setInterval(() => {
      const lanes = [...this.#lanes.values()];
      const now = lanes.reduce((sum, lane) => sum + lane.ended, 0);
      if (now !== ended || lanes.every(({ inFlight }) => inFlight === 0)) {
        ended = now;
        since = performance.now();
      } else if (performance.now() - since > requestDeadline) {
        this.lose(`the device finished none of its requests for ${requestDeadline} ms`);
      }
    }, PROGRESS_MS);
    this.#stack.defer(() => clearInterval(timer));
  }

  #hear(message: FromPlugin): void {
    if (message.type === "fault") return this.lose(`the driver failed: ${message.message}`);
    if (this.#conversation.hear(message)) return;
    if (message.type === "properties" && this.#running) {
      try {
        return this.#handle.update(message.properties);
      } catch (error) {
        return this.lose((error as Error).message);
      }
    }
    this.lose(`the driver sent "${message.type}" when nobody had asked`);
  }

  /** The device is out of work for a reason. */
  lose(reason: string): void {
    this.#conversation.end(new PluginGone(reason));
    if (this.#running) this.#end(reason);
  }

  #markFailed(): void {
    try {
      this.#transport?.addStatus(DeviceStatus.FAILED);
    } catch {
      // A device that is gone cannot be told either; the error that brought us here says what happened.
    }
  }

  async describe(): Promise<DeviceDescription> {
    const reports = this.#running ? await (this.#report ??= this.#inspect()) : [];
    return {
      address: this.address,
      driver: this.driver,
      class: this.class,
      isolation: this.isolation,
      ...(this.pid === undefined ? {} : { pid: this.pid }),
      status: this.#running ? statusNames(this.#transport.status()) : [],
      features: { offered: featureText(this.#offered), accepted: featureText(this.#accepted) },
      interrupts: this.#vectors.queueFds.length > 0 ? "msix" : "polling",
      queues: (this.#grant?.queues ?? []).map(({ name, index, layout }, i) => {
        const vector = this.#vectors.queue(i);
        return {
          name,
          index,
          size: layout.size,
          ...(vector === undefined ? {} : { vector }),
          ...reports.find((report) => report.name === name),
        };
      }),
    };
  }

  async #inspect(): Promise<readonly QueueReport[]> {
    try {
      this.#host.send({ type: "inspect" });
      return (await this.#conversation.expect(ANSWER_MS, "report")).queues;
    } finally {
      this.#report = undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#report?.catch(() => {});
    if (this.#running && !this.#ending) {
      try {
        this.#host.send({ type: "stop" });
        await this.#conversation.expect(STOP_MS, "stopped");
      } catch (error) {
        // It comes down anyway; the reason is for people.
        this.#options.log(`${this.address} ${this.driver}: ${(error as Error).message}`);
      }
    }
    await this.#end(undefined);
  }

  #end(reason: string | undefined): Promise<void> {
    return this.#ending ??= (async () => {
      this.#running = false;
      this.#conversation.end(new PluginGone(reason ?? "the device was stopped"));
      try {
        await this.#stack.disposeAsync();
      } catch (error) {
        this.#options.log(`${this.address} ${this.driver}: ${(error as Error).message}`);
      }
      this.#settleGone(reason);
    })();
  }
}
