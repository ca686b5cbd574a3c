// A driver and its device at work, as a test uses them.

import type { ClientLane } from "../core/bus/client_lane.ts";
import type { DeviceClass, OpenDevice } from "../core/class/define.ts";
import { within } from "../core/class/within.ts";
import type { PluginSource } from "../core/kernel/plugin_source.ts";
import type { AttachedDevice } from "../core/kernel/device.ts";
import type { Isolation } from "../core/kernel/driver_host.ts";
import { Kernel } from "../core/kernel/kernel.ts";
import { PATIENCE, type Patience } from "../core/kernel/patience.ts";
import { InterruptLoop } from "../core/irq/interrupt_loop.ts";
import { hexDigits } from "../core/pci/address.ts";
import { openSimulated } from "../simulation/platform/simulated.ts";
import type { DeviceModel } from "../simulation/model.ts";
import type { FunctionModel } from "../simulation/function_model.ts";
import type { Tunables } from "../core/plugin/tunables.ts";
import type { AnyPlugin } from "../core/plugin/pci_plugin.ts";
import type { Trace } from "../core/trace/trace.ts";
import { Failure } from "./verdict.ts";

/** A device at work, as its user has it. */
export interface UsedDevice<Client, Model> {
  /** What an application holds of it; undefined if no class was given. */
  readonly client: Client;
  /** Its lanes, by their names in the driver's plan. */
  readonly lanes: ReadonlyMap<string, ClientLane>;
  /** The model behind it. */
  readonly model: Model;
  /** Aborted when it takes too long. */
  readonly signal: AbortSignal;
}

/** A device in software, of either kind. */
export type AnyModel = DeviceModel | FunctionModel;

/** What a driver is tried with. */
export interface Subject<Client, Model extends AnyModel> {
  /** The driver. */
  readonly source: PluginSource;
  /** What its device is to an application. */
  readonly class: DeviceClass<Client> | undefined;
  /** What an application does with it; the check of the class if left out. */
  readonly use: ((device: UsedDevice<Client, Model>) => Promise<unknown>) | undefined;
  /** How long that may take, in milliseconds. */
  readonly deadline: number;
  /** What a user chose for the driver. */
  readonly tunables: Tunables;
  /** Takes what happens, if that is wanted. */
  readonly trace?: Pick<Trace, "device">;
}

/** How a driver is tried once. */
export interface Setting<Model extends AnyModel> {
  readonly isolation: Isolation;
  readonly model: Model;
  /** The plugin itself, to run inline. */
  readonly plugin?: AnyPlugin;
  /** How often device and driver may be started anew. */
  readonly restarts?: number;
  /** Milliseconds that a request may take; for ever if left out. */
  readonly request?: number;
  /** Milliseconds that {@linkcode Subject.use} may take instead of what is usual. */
  readonly deadline?: number;
}

/** What came of a use of a device. */
export type Used =
  | { readonly kind: "served" }
  | { readonly kind: "failed"; readonly error: Error }
  | { readonly kind: "late" };

/** Nothing here is worth waiting for as long as elsewhere: the device is software in this program. */
const IMPATIENT: Patience = {
  ...PATIENCE,
  reset: 500,
  queueReset: 500,
  report: 1_000,
  close: 1_000,
  progress: 20,
  look: 50,
  beat: 100,
  life: 1_000,
};
/** A use may take so many more deadlines as long as anything moves, and in how many parts of one it is looked for. */
const SLOWNESS = 5, SLICES = 4;
/** Nothing moves where so many looks in a row saw nothing: one may fall behind a standstill of this very program. */
const LOOKS = 2;
/** Where nothing moves for so long, nothing will. */
const STILL_MS = 100;
/** What `use` still may do when it was told to stop. */
const END_MS = 5_000;

/** What a class opens where the test brought none. */
const NO_CLIENT: OpenDevice = {
  client: undefined,
  update() {},
  restarted() {},
  gone() {},
  close: () => Promise.resolve(),
};

/** One device and its driver, at work for one test. */
export class Trial<Client, Model extends AnyModel> implements AsyncDisposable {
  /** Lines that people should see in any case: why device and driver were started anew. */
  readonly notices: string[] = [];
  /** Other lines: what the driver printed, what failed without harm. */
  readonly log: string[] = [];
  /** What its driver did wrong, as the device sees it, or what the model threw. */
  readonly complaints: Error[] = [];
  /** Why the device is out of work, once it is. */
  gone: string | undefined;
  device!: AttachedDevice;
  lanes: ReadonlyMap<string, ClientLane> = new Map();
  readonly #subject: Subject<Client, Model>;
  readonly #setting: Setting<Model>;
  #kernel!: Kernel;
  /** Requests that stand in each lane for as long as the device is at work. */
  #standing = new Map<string, number>();
  /** Likewise, those that the device has. */
  #standingAtDevice = new Map<string, number>();

  private constructor(subject: Subject<Client, Model>, setting: Setting<Model>) {
    this.#subject = subject;
    this.#setting = setting;
  }

  /**
   * Puts a driver to work on a model, alone on a machine.
   *
   * @throws What attaching the device throws.
   */
  static async open<Client, Model extends AnyModel>(
    subject: Subject<Client, Model>,
    setting: Setting<Model>,
  ): Promise<Trial<Client, Model>> {
    const trial = new Trial(subject, setting);
    await using stack = new AsyncDisposableStack();
    stack.use(trial);
    await trial.#attach();
    stack.move();
    return trial;
  }

  async #attach(): Promise<void> {
    const { source, class: given, tunables, trace } = this.#subject;
    const { isolation, model, plugin, restarts = 3, request } = this.#setting;
    const { manifest } = source;
    const loop = new InterruptLoop();
    const platform = openSimulated({
      devices: [model],
      loop,
      failed: (_, error) => {
        if (error.name !== "NeedsReset") this.complaints.push(error);
      },
    });
    const open: DeviceClass["open"] = (lanes, ...more) => {
      this.lanes = lanes;
      return given?.open(lanes, ...more) ?? NO_CLIENT;
    };
    this.#kernel = new Kernel({
      loop,
      platform,
      drivers: [plugin === undefined ? source : { ...source, plugin }],
      classes: { [manifest.class]: { open } },
      patience: { ...IMPATIENT, request: request ?? Infinity },
      trace,
      close: async () => {
        await platform[Symbol.asyncDispose]();
        await loop[Symbol.asyncDispose]();
      },
    }, {
      isolation,
      restarts,
      tunables,
      requestDeadline: request ?? 0,
      notice: (line) => this.notices.push(line),
      log: (line) => this.log.push(line),
    });
    const [node] = this.#kernel.nodes;
    if (node!.manifest === undefined) {
      throw new Failure(
        "it is matched with the model's device",
        `no rule of its plugin.json fits ${hexDigits(node!.identity.vendor, 4)}:${
          hexDigits(node!.identity.device, 4)
        }`,
        "a rule that does",
      );
    }
    this.device = await this.#kernel.attach(node!.function.address);
    this.device.gone.then((reason) => this.gone = reason);
    await pause();
    for (const [name, lane] of this.lanes) this.#standing.set(name, lane.inFlight);
    const { queues } = await this.device.describe();
    for (const { name, inFlight = 0 } of queues) this.#standingAtDevice.set(name, inFlight);
  }

  /** Uses the device as an application would, once. */
  async use(): Promise<Used> {
    const { use, deadline: usual } = this.#subject;
    const { model, deadline = usual } = this.#setting;
    const late = new AbortController();
    const { client } = this.device as AttachedDevice<string, Client>;
    const device = { client, lanes: this.lanes, model, signal: late.signal };
    const end = (async (): Promise<Used> => {
      try {
        await (use ? use(device) : this.#check());
        return { kind: "served" };
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown));
        return { kind: "failed", error };
      }
    })();
    this.#using = end;
    const used = await this.#patiently(deadline, end);
    if (used) return used;
    // What it holds back is told before all is taken from it.
    const held = await this.#heldBack();
    await pause(STILL_MS);
    const still = await this.#heldBack();
    // One that is only slow has gone on meanwhile.
    this.#held = held?.found === still?.found ? held : undefined;
    late.abort(new Error(`This took longer than ${deadline} ms`));
    return { kind: "late" };
  }

  /** Waits for the end of a use. As long as anything moves, or the device is started anew, it is the machine that is slow. */
  async #patiently(deadline: number, end: Promise<Used>): Promise<Used | undefined> {
    let used = await within(deadline, end);
    let [moved, still] = [await this.#moved(), 0];
    for (let i = 0; used === undefined && still < LOOKS && i < SLOWNESS * SLICES; i++) {
      used = await within(deadline / SLICES, end);
      const before = moved;
      moved = await this.#moved();
      still = moved === before ? still + 1 : 0;
    }
    return used;
  }

  /** Requests that have ended for clients and at the device so far; no number at a new start, or where no register can be read. */
  async #moved(): Promise<number> {
    const seen = await this.device.describe().catch(() => undefined);
    if (seen === undefined || seen.state === "recovering") return NaN;
    const ended = [...this.lanes.values()].reduce((sum, { ended }) => sum + ended, 0);
    return seen.queues.reduce((sum, { completed = 0 }) => sum + completed, ended);
  }

  /** Uses the device as its class checks devices. */
  async #check(): Promise<void> {
    const { check } = this.device;
    if (!check) {
      throw new TypeError(
        "Cannot use the device: there is neither `use`, nor a class that brings a check",
      );
    }
    const { findings } = await check({ write: true });
    const wrong = findings.find(({ passed }) => !passed);
    if (wrong) throw new Error(`${wrong.name}: ${wrong.detail}`);
  }

  #using: Promise<Used> | undefined;
  #held: Failure | undefined;

  /** The requests that its driver kept from the device, or did not end, when it was late; undefined if there are none. */
  get held(): Failure | undefined {
    return this.#held;
  }

  /** Requests that the driver holds though its device has answered all others. */
  async #heldBack(): Promise<Failure | undefined> {
    const open = [...this.lanes].flatMap(([name, { inFlight }]) => {
      const more = inFlight - (this.#standing.get(name) ?? 0);
      return more > 0 ? [`${more} of lane ${name}`] : [];
    });
    if (open.length === 0 || this.gone !== undefined) return undefined;
    const { queues } = await this.device.describe();
    // A driver of registers has no queues that the core knows of.
    if (queues.length === 0) return undefined;
    for (const { name, inFlight = Infinity } of queues) {
      if (inFlight > (this.#standingAtDevice.get(name) ?? 0)) return undefined;
    }
    const counts = queues.map(({ name, published, completed, inFlight }) =>
      `${name}: ${published} given, ${completed} back, ${inFlight} there`
    );
    const all = open.join(" and ");
    return new Failure(
      "its client waits",
      `${all} did not end, and the device has answered what it was given (${counts.join("; ")})`,
      "each request goes to the device, as soon as there is room, and is completed once",
    );
  }

  /**
   * Makes sure that all went well so far, on a device that did nothing wrong.
   *
   * @param step What the driver was doing.
   */
  mustBeWell(step: string): void {
    const [complaint] = this.complaints;
    if (complaint) {
      throw new Failure(
        step,
        `its device saw: ${complaint}`,
        "what the specification wants of drivers",
      );
    }
    const why = this.notices[0] ?? this.gone;
    if (why !== undefined) throw new Failure(step, why, "device and driver go on");
  }

  /**
   * Uses the device, which must serve.
   *
   * @param step What the driver is doing.
   */
  async mustServe(step: string): Promise<void> {
    const before = this.notices.length;
    this.mustHaveServed(await this.use(), step, before);
  }

  /**
   * Makes sure that a use of the device was a good one.
   *
   * @param before Notices that were there before.
   */
  mustHaveServed(used: Used, step: string, before = 0): void {
    if (used.kind === "served") return;
    const [complaint] = this.complaints;
    if (complaint) this.mustBeWell(step);
    const why = this.gone ?? this.notices[before];
    if (why !== undefined) throw new Failure(step, why, "device and driver go on");
    if (used.kind === "failed") {
      throw new Failure(step, `its client gets ${used.error}`, "its client is served");
    }
    if (this.#held) throw new Failure(step, this.#held.found, this.#held.wanted);
    const { deadline } = { ...this.#subject, ...this.#setting };
    throw new Failure(
      step,
      `its client was not served within ${deadline} ms`,
      "its client is served",
    );
  }

  /** Brings all down in order, and makes sure that the driver lets it, and that all was well since `forgiven` notices. */
  async stop(forgiven = 0): Promise<void> {
    const step = "it is stopped";
    this.notices.splice(0, forgiven);
    const before = this.log.length;
    await this[Symbol.asyncDispose]();
    const late = this.log.slice(before).find((line) =>
      line.includes("The driver did not send stopped")
    );
    if (late !== undefined) throw new Failure(step, late, "it stops when it is told to");
    this.mustBeWell(step);
    if (this.#using && !await within(END_MS, this.#using)) {
      throw new Failure(
        step,
        "what uses the device has not ended, though all its requests have",
        "`use` ends when its requests end, or its signal is aborted",
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kernel?.[Symbol.asyncDispose]();
  }
}

/** Lets happen what is about to. */
export function pause(milliseconds = 0): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
