// One device and its driver, from the first start to the end: the supervision.

import { openBinding } from "../binding/mod.ts";
import type { Arena, Binding, BindingOptions } from "../binding/binding.ts";
import type { LanePort } from "../bus/client_lane.ts";
import { BusFault } from "../bus/mailbox.ts";
import { answerRegisters } from "../bus/register_call.ts";
import { passDoorbells } from "../bus/written_doorbells.ts";
import type { DriverReport, FromDriver, Grant, WirePlan, WireProperties } from "../bus/message.ts";
import type { CheckOptions, CheckResult } from "../class/check.ts";
import type { DeviceClass, OpenDevice } from "../class/define.ts";
import { within } from "../class/within.ts";
import { clearer } from "../linux/fd.ts";
import { mapShared, placeFile } from "../linux/memory.ts";
import { processorTime, residentMemory } from "../linux/process.ts";
import { DeviceFault } from "../pci/device_fault.ts";
import type { Registers } from "../pci/registers.ts";
import { API } from "../plugin/plugin.ts";
import type { DeviceTrace } from "../trace/trace.ts";
import { ClientLanes } from "./client_lanes.ts";
import { Conversation, DriverGone } from "./conversation.ts";
import type { AttachedDevice, DeviceDescription } from "./device.ts";
import type { DriverHost, DriverHostOptions, Isolation } from "./driver_host.ts";
import { inlineHost } from "./inline_host.ts";
import { Link } from "./link.ts";
import type { Patience } from "./patience.ts";
import { folderOf, type PluginSource } from "./plugin_source.ts";
import { processHost } from "./process_host.ts";
import { Restarts } from "./restarts.ts";

/** What a device is attached with. */
export interface AttachOptions extends Omit<BindingOptions, "manifest" | "driver"> {
  /** Its driver. */
  readonly source: PluginSource;
  /** What it is to the application; undefined if the kernel was not given the class that the driver names. */
  readonly class: DeviceClass | undefined;
  /** Where the driver runs. */
  readonly isolation: Isolation;
  /** Milliseconds that a request may take, where its lane says nothing else: a device that needs more hangs. */
  readonly requestDeadline: number;
  /** Milliseconds after which a device that should interrupt is looked at all the same. */
  readonly watch: number;
  /** How often in a minute device and driver are started anew after a failure. */
  readonly restarts: number;
  /** How long device and driver are waited for. */
  readonly patience: Patience;
  /** Whether bytes of queues are counted. */
  readonly counted: boolean;
  /** Called before a device that is at work is stopped in order. */
  readonly leaving: () => Promise<void>;
  /** Takes lines that people should see in any case. */
  readonly notice: (line: string) => void;
  /** Takes the lines that the driver prints. */
  readonly print: (line: string) => void;
  /** Takes lines for people. */
  readonly log: (line: string) => void;
}

/** A device may spoil its first start so often, by breaking a rule that its binding forgives. */
const STARTS = 3;

const NOTHING_TO_REPORT: DriverReport = { queues: [], statistics: {}, interrupts: [], heap: 0 };

/**
 * Where a device and its driver are. `starting` leads to `running`; from there a fault leads to `recovering`, and that
 * back; `ending` may come at any time and leads to `gone`.
 */
type State = DeviceDescription["state"];

/**
 * One device and its driver.
 *
 * Whatever fails, and whenever, comes down by the same path: the device is made quiet, the driver's host is ended. From
 * there a device that had been at work is started anew, as often as it may be, and requests in flight are submitted
 * again: its clients see a pause. At last they are given back as gone, and the function is released.
 */
export class Attachment implements AttachedDevice {
  readonly address: string;
  readonly driver: string;
  readonly class: string | undefined;
  readonly isolation: Isolation;
  readonly gone: Promise<string | undefined>;
  unsafeDma: string | undefined;
  readonly #options: AttachOptions;
  readonly #patience: Patience;
  #state: State = "starting";
  readonly #trace: DeviceTrace | undefined;
  /** What stays for good, in the order in which it was set up; it comes down in the opposite one. */
  readonly #stack = new AsyncDisposableStack();
  /** What belongs to one start of device and driver, likewise. */
  #incarnation = new AsyncDisposableStack();
  #binding!: Binding;
  #link!: Link;
  #arena!: Arena;
  /** The windows of registers that the driver's process may ask for. */
  #registers: readonly Registers[] = [];
  /** Their names. */
  #windows: readonly string[] = [];
  /** Those of them that are doorbells. */
  #doorbells: Registers | undefined;
  #conversation = new Conversation();
  /** When all that was to come down has; whether the device was safe to be used again. */
  #down: Promise<boolean> = Promise.resolve(true);
  /** The driver's host, while there is one. */
  #host: DriverHost | undefined;
  /** How often the driver was started, and when the last time. */
  #starts = 0;
  #startedAt = 0;
  /** Of the driver's process, the latest if it was started anew. */
  #pid: number | undefined;
  /** From the first grant on. */
  #lanes: ClientLanes | undefined;
  /** The client, if the kernel was given the class of the device. */
  #opened: OpenDevice | undefined;
  /** Whether the driver of this start has got its grant. */
  #granted = false;
  readonly #restarts: Restarts;
  /** Aborted as soon as the device is no longer wanted. */
  readonly #ended = new AbortController();
  #ending: Promise<void> | undefined;
  /** The last attempt to come back, under way or over. */
  #recovering: Promise<void> | undefined;
  readonly #settleGone: (reason: string | undefined) => void;
  /** Reports that are no longer waited for, and may come all the same. */
  #lateReports = 0;
  /** A report that was asked for; the next to ask meanwhile gets the same. */
  #report: Promise<DriverReport> | undefined;

  constructor(options: AttachOptions) {
    this.address = options.function.address;
    this.driver = options.source.manifest.name;
    this.class = options.class && options.source.manifest.class;
    this.isolation = options.isolation;
    this.#options = options;
    this.#trace = options.trace;
    this.#patience = options.patience;
    this.#restarts = new Restarts(options.restarts);
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.gone = promise;
    this.#settleGone = resolve;
  }

  get pid(): number | undefined {
    return this.#pid;
  }

  get restarts(): number {
    return this.#restarts.total;
  }

  get client(): unknown {
    return this.#opened?.client;
  }

  get check(): ((options: CheckOptions) => Promise<CheckResult>) | undefined {
    return this.#opened?.check;
  }

  /**
   * Takes the function, starts its driver, and leads both to where requests reach the device.
   *
   * @throws DriverGone If the driver declines, faults, ends, or does not answer.
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
          const again = error instanceof DeviceFault && this.#binding.forgives.includes(error.rule);
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

  /** From one state to another. */
  #become(state: State, why?: string): void {
    this.#state = state;
    this.#trace?.tell({ kind: "state", by: "core", state, ...(why !== undefined && { why }) });
    if (state === "gone") this.#trace?.forget();
  }

  /** Takes the function and what is needed for as long as it is held. */
  #take(): void {
    this.#become("starting");
    const { source, loop } = this.#options;
    const trace = this.#trace;
    const binding = this.#binding = this.#stack.use(openBinding({
      ...this.#options,
      manifest: source.manifest,
      driver: {
        send: (message) => this.#host?.send(message),
        expect: (deadline, ...types) => this.#conversation.expect(deadline, ...types),
        fail: (error) => this.#fail(error),
        mend: () => this.#restarts.take() !== undefined,
        log: (line) => this.#log(line),
      },
    }));
    const { device } = binding;
    this.#link = this.#stack.use(
      new Link(
        loop,
        {
          message: (message) => this.#hear(message),
          completions: () => this.#completions(),
          fault: (error) => this.#fail(error),
          takeAnswers: () => device.takeAnswers(),
          registers: () => answerRegisters(this.#link.words, this.#registers),
          doorbells: () => passDoorbells(this.#link.words, this.#doorbells),
          answered: () => binding.answered?.() ?? false,
          ...(trace && {
            told: (by, { type, ...body }) => trace.tell({ kind: "message", by, type, body }),
          }),
        },
        source.manifest.limits.memoryMiB * 2 ** 20,
      ),
    );
    if (this.#link.trace !== undefined) trace?.listen(this.#link.control, this.#link.trace);
    this.#listen(
      device.wanted,
      () => this.lose("it is being unplugged: the machine wants it back"),
    );
    this.#listen(device.failed, () => {
      const what = device.failure?.() ?? "The bus reports an error of the device";
      this.#fail(new DeviceFault("D-74", what));
    });
    this.#stack.defer(() => {
      this.#lanes?.fail();
      this.#opened?.gone();
    });
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
  #allocate(): Arena {
    const arena = this.#binding.memory(this.#options.source.manifest.limits.memoryMiB * 2 ** 20);
    const { fd, offset, size, alignment, unsafe } = arena;
    if (unsafe !== undefined) {
      this.unsafeDma = unsafe;
      this.#log(`UNSAFE DMA: ${unsafe}; it can reach all memory`);
    }
    return { ...arena, memory: mapShared(fd, offset, size, alignment) };
  }

  /** What clients have put into the memory stays where they find it, also if a device that was left may write to the old. */
  #renew(arena: Arena): Arena {
    const fresh = this.#binding.device.renew?.(arena);
    if (!fresh) return arena;
    const { memory, size } = arena;
    const bytes = new Uint8Array(memory, 0, size);
    new Uint8Array(mapShared(fresh.fd, fresh.offset, size)).set(bytes);
    placeFile(memory, 0, size, fresh.fd);
    return { ...arena, ...fresh };
  }

  /** Starts device and driver. */
  async #initialise(): Promise<void> {
    const binding = this.#binding;
    await binding.begin(this.#ended.signal);
    // A device that was ended meanwhile is not looked at again from here.
    this.#ended.signal.throwIfAborted();
    this.#arena = this.#arena ? this.#renew(this.#arena) : this.#allocate();
    const host = this.#host = this.#startHost();
    this.#pid = host.pid;
    this.#starts++;
    this.#startedAt = performance.now();
    this.#incarnation.defer(() => {
      this.#host = undefined;
      return host.end();
    });
    this.#incarnation.defer(() => binding.quiet());
    this.#greeted(await this.#conversation.expect(this.#patience.hello, "hello"));
    const { grant, plan } = await binding.accept(await this.#plan(), this.#arena);
    const again = this.#lanes !== undefined;
    this.#furnish(grant, plan);
    if (plan.properties) this.#tell(plan.properties);
    host.send({ type: "grant", grant });
    await this.#conversation.expect(this.#patience.answer, "ready");
    this.#ended.signal.throwIfAborted();
    // One that learns while it starts what its device is like has told it by now.
    if (!this.#opened) this.#tell({});
    await binding.live();
    // Device or driver may have ended meanwhile.
    this.#ended.signal.throwIfAborted();
    this.#conversation.throwIfOver();
    this.#become("running");
    // Not before: what a device said until now is lost, and from now on nothing is.
    if (again) this.#opened?.restarted();
    host.send({ type: "go" });
    this.#check();
  }

  #startHost(): DriverHost {
    const { source, loop, isolation, watch } = this.#options;
    const part = this.#binding.host();
    const windows = Object.values(part.registers ?? {});
    this.#windows = Object.keys(part.registers ?? {});
    this.#registers = windows.map(({ window }) => window);
    this.#doorbells = windows.find(({ doorbells }) => doorbells)?.window;
    const options: DriverHostOptions = {
      loop,
      link: this.#link,
      manifest: source.manifest,
      entry: source.entry,
      folder: folderOf(source),
      arena: this.#arena,
      ...part,
      watch,
      counted: this.#options.counted,
      patience: this.#patience,
      print: (line) => this.#options.print(`${this.address} ${this.driver}: ${line}`),
      gone: (reason) => this.#fail(new DriverGone(reason)),
    };
    if (isolation === "process") return processHost(options);
    if (source.plugin) return inlineHost(source.plugin, options);
    throw new TypeError(
      `Cannot run ${this.driver} inline: only a plugin that the application hands over can; run it in a process`,
    );
  }

  #greeted({ api }: { api: number }): void {
    if (api !== API) {
      const which = api > API
        ? "an older version of the driver, or a newer @virtio/deno"
        : "a newer version of the driver";
      throw new DriverGone(
        `The driver is written for version ${api} of the plugin API, and this core has ${API}: take ${which}`,
      );
    }
  }

  /** Offers the device to the driver. */
  async #plan(): Promise<WirePlan> {
    const { tunables } = this.#options;
    this.#host!.send({ type: "offer", tunables, device: this.#binding.offer() });
    const answer = await this.#conversation.expect(this.#patience.answer, "plan", "decline");
    if (answer.type === "plan") return answer.plan;
    throw new DriverGone(`The driver declines: ${answer.reason}`);
  }

  /** Makes ready what was granted, for the driver and for its client. */
  #furnish(grant: Grant, plan: WirePlan): void {
    const { runs, memory } = this.#arena;
    if (plan.physical) {
      this.#link.tellFrames(this.#binding.device.physical?.(this.#arena) ?? runs);
    }
    const arena = new Uint8Array(memory);
    for (const { offset, bytes } of grant.buffers) arena.fill(0, offset, offset + bytes);
    if (this.#lanes) this.#lanes.resume(grant.lanes);
    else this.#lanes = this.#makeLanes(grant, plan);
    const names = (named: readonly { readonly name: string }[]) => named.map(({ name }) => name);
    this.#trace?.named({
      queues: names(grant.queues),
      lanes: names(grant.lanes),
      windows: this.#windows,
    });
    this.#granted = true;
  }

  /** Tells the client what the device is like; the first time, that makes the client. */
  #tell(properties: WireProperties): void {
    if (this.#opened) return this.#opened.update(properties);
    this.#opened = this.#options.class?.open(this.#lanes!.byName, properties, this.driver);
  }

  #makeLanes({ lanes }: Grant, plan: WirePlan): ClientLanes {
    const { loop, requestDeadline } = this.#options;
    const { inThread } = this.#binding.device;
    const run = () => this.#host?.run() ?? false;
    const port: LanePort = {
      control: this.#link.control,
      arena: this.#arena.memory,
      ring: () => this.#host?.ring(),
      // What works on this thread has no turn but by the loop.
      run: inThread ? () => (loop.runOnce(0), run()) : run,
      spins: this.#host!.spins,
      wait: (timeout) => this.#host ? this.#host.wait(timeout) : loop.runOnce(timeout),
      busyPoll: () => loop.busyPoll(),
    };
    const deadlines = plan.lanes.map(({ deadline = requestDeadline }) =>
      Math.min(deadline, this.#patience.request)
    );
    return new ClientLanes(lanes, deadlines, port, this.#trace);
  }

  /** Looks whether the device is well. Returns whether it is. */
  #check(): boolean {
    try {
      this.#binding.check();
    } catch (error) {
      this.#fail(error as Error);
    }
    return this.#state === "running";
  }

  /** Looks whether requests end in time; a device that does not finish one hangs. */
  #watchProgress(): void {
    const timer = setInterval(() => {
      if (this.#state !== "running" || !this.#check()) return;
      const late = this.#lanes?.late(performance.now());
      if (late === undefined) return;
      this.#fail(
        new DeviceFault("D-64", `The device did not finish a request within ${late} ms`),
      );
    }, this.#patience.progress);
    this.#stack.defer(() => clearInterval(timer));
  }

  /** Takes completions. Returns how many there were, those that a client took itself among them. */
  #completions(): number {
    // Before what the client does about them.
    this.#trace?.fetch();
    this.#lanes?.drain();
    return this.#lanes?.completions() ?? 0;
  }

  #hear(message: FromDriver): void {
    switch (message.type) {
      case "fault":
        return this.#fail(new DriverGone(`the driver failed: ${message.message}`));
      case "broken": {
        const { queue, rule, what } = message;
        return this.#fail(new DeviceFault(rule, `On queue ${queue} the device ${what}`));
      }
      case "properties":
        if (!this.#granted) break;
        return this.#tell(message.properties);
    }
    if (this.#binding.hear(message) || this.#conversation.hear(message)) return;
    if (message.type === "report" && this.#lateReports-- > 0) return;
    this.#fail(new BusFault(`the driver sent "${message.type}" unasked`));
  }

  /** Something went wrong. During a start it fails; afterwards it is tried anew. */
  #fail(error: Error): void {
    this.#link.close();
    this.#conversation.end(error);
    if (this.#state !== "running") return;
    this.#become("recovering", error.message);
    this.#recovering = this.#recover(error);
  }

  /** Ends the device because what is beneath it is gone. */
  lose(reason: string): void {
    this.#conversation.end(new DriverGone(reason));
    this.#end(reason);
  }

  async #recover(error: Error): Promise<void> {
    const { notice } = this.#options;
    for (let cause = error;;) {
      if (!await this.#tearDown()) return await this.#end(cause.message);
      if (this.#ending) return;
      const wait = this.#restarts.take();
      if (wait === undefined) return await this.#end(cause.message);
      notice(`${this.address} ${this.driver}: starting anew: ${cause.message}`);
      await pause(wait, this.#ended.signal);
      if (this.#ending) return;
      try {
        this.#link.restart();
        this.#conversation = new Conversation();
        await this.#initialise();
        return;
      } catch (again) {
        cause = again as Error;
      }
    }
  }

  /**
   * Makes the device quiet, ends the driver's host, and takes the completions that had come. One after the other: what ends
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
    this.#granted = false;
    this.#lateReports = 0;
    try {
      await incarnation.disposeAsync();
      this.#lanes?.drain();
      return true;
    } catch (error) {
      this.#log((error as Error).message);
      return error instanceof BusFault;
    }
  }

  async describe(): Promise<DeviceDescription> {
    const { queues: reports, statistics, interrupts, heap } = this.#state === "running"
      ? await (this.#report ??= this.#inspect())
      : NOTHING_TO_REPORT;
    const { queues, ...binding } = this.#binding.describe();
    const { pid } = this;
    const now = performance.now();
    return {
      address: this.address,
      driver: this.driver,
      class: this.#options.source.manifest.class,
      isolation: this.isolation,
      ...(pid === undefined ? {} : { pid }),
      state: this.#state,
      restarts: this.restarts,
      ...binding,
      statistics,
      host: {
        starts: this.#starts,
        uptime: this.#host ? (now - this.#startedAt) / 1000 : 0,
        heap,
        ...(pid !== undefined && this.#host && {
          processor: (processorTime(pid) ?? 0) / 1000,
          memory: residentMemory(pid) ?? 0,
        }),
      },
      lanes: this.#lanes?.describe() ?? [],
      interruptCounts: interrupts,
      queues: queues.map((queue) => ({
        ...queue,
        ...reports.find(({ name }) => name === queue.name),
      })),
    };
  }

  async #inspect(): Promise<DriverReport> {
    try {
      this.#host!.send({ type: "inspect" });
      return await this.#conversation.expect(this.#patience.report, "report");
    } catch {
      this.#lateReports++;
      return NOTHING_TO_REPORT; // it is on its way out, anew, or slow
    } finally {
      this.#report = undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#report?.catch(() => {});
    if (this.#state === "running") await this.#options.leaving();
    if (this.#state === "running") await this.#closeClient();
    if (this.#state === "running") {
      try {
        this.#host!.send({ type: "stop" });
        await this.#conversation.expect(this.#patience.stop, "stopped");
      } catch (error) {
        // It comes down anyway; the reason is for people.
        this.#log((error as Error).message);
      }
    }
    await this.#end(undefined);
    await this.#recovering;
  }

  /** What a class does at the end is not the kernel's: it may fail, or never come to an end. */
  async #closeClient(): Promise<void> {
    try {
      if (this.#opened) await within(this.#patience.close, this.#opened.close());
    } catch (error) {
      this.#log((error as Error).message);
    }
  }

  #end(reason: string | undefined): Promise<void> {
    return this.#ending ??= (async () => {
      this.#become("ending", reason);
      const gone = new DriverGone(reason ?? "the device was stopped");
      this.#ended.abort(gone);
      this.#conversation.end(gone);
      if (reason !== undefined) this.#giveUp();
      await this.#tearDown();
      try {
        await this.#stack.disposeAsync();
      } catch (error) {
        this.#log((error as Error).message);
      }
      this.#become("gone");
      this.#settleGone(reason);
    })();
  }

  #giveUp(): void {
    try {
      this.#binding?.giveUp();
    } catch {
      // A device that is gone cannot be told either; the error that brought us here says what happened.
    }
  }

  #log(line: string): void {
    this.#options.log(`${this.address} ${this.driver}: ${line}`);
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
