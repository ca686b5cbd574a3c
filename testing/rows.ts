// The tests of a driver, each a row of the report.

import { RequestError } from "../core/bus/request_error.ts";
import { PlanError } from "../core/binding/plan.ts";
import { DriverGone } from "../core/kernel/conversation.ts";
import type { Isolation } from "../core/kernel/driver_host.ts";
import { readText } from "../core/linux/file.ts";
import { kill, SIGKILL } from "../core/linux/process.ts";
import { DeviceFault } from "../core/pci/device_fault.ts";
import { PciFault } from "../core/pci/fault.ts";
import type { PluginSource } from "../core/kernel/plugin_source.ts";
import type { AnyPlugin } from "../core/plugin/pci_plugin.ts";
import { lie, type LieId, lying } from "../simulation/hostile.ts";
import type { Lie } from "../simulation/lie.ts";
import { used } from "../simulation/lies/relay.ts";
import { type DeviceModel, fitted, RING_PACKED, RING_RESET } from "../simulation/model.ts";
import type { QueueKind } from "../core/virtqueue/layout.ts";
import { checkPlans } from "./plans.ts";
import { type AnyModel, pause, type Setting, type Subject, Trial } from "./trial.ts";
import { Failure, NotApplicable } from "./verdict.ts";
import { WatchedPlugin } from "./watched.ts";

/** What all tests of one driver share. */
export interface Tests<Client, Model extends AnyModel> extends Subject<Client, Model> {
  /** Makes a new model. */
  readonly model: () => Model;
  /** The plugin itself; undefined if it can run in a process only. */
  readonly plugin: AnyPlugin | undefined;
  /** Where what is random in its tests begins. */
  readonly seed: number;
  /** Lies under which its clients may get other bytes than right ones: nothing tells them from right ones. */
  readonly mayGarble: readonly LieId[];
}

/** What is to be said of a test that was passed. */
type Remark = string | undefined;

/** How often a device is used before it is looked at what is left of it, and how often that is done. */
const ROUNDS = 5, TIMES = 6;
/** Milliseconds that a request may take where its device never answers, and where it lies in other ways. */
const UNANSWERED_MS = 300, LIED_TO_MS = 2500;
/** Lies that mean that. */
const SILENT: readonly LieId[] = ["D-43", "D-64", "D-65"];
/** A driver that does not live is found before: however busy the machine is. */
const LIFELESS_MS = 120_000;
/** What a driver's process may grow by in so many rounds: V8 collects when it likes. */
const MOST_GROWTH = 48 * 2 ** 20;

/** Tries a driver once, with an honest device or as `setting` says. */
async function open<Client, Model extends AnyModel>(
  tests: Tests<Client, Model>,
  isolation: Isolation,
  step: string,
  more: Partial<Setting<Model>> = {},
): Promise<Trial<Client, Model>> {
  const plugin = isolation === "inline" ? tests.plugin : undefined;
  const model = more.model ?? tests.model();
  try {
    return await Trial.open(tests, { isolation, ...(plugin && { plugin }), model, ...more });
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(step, String((error as Error).message), "it plans, and is ready");
  }
}

/** It starts, serves, and stops in order. */
export async function start<C, M extends AnyModel>(
  tests: Tests<C, M>,
  isolation: Isolation,
): Promise<Remark> {
  await using trial = await open(tests, isolation, "it is started");
  trial.mustBeWell("it is started");
  await trial.mustServe("it serves its client");
  trial.mustBeWell("it serves its client");
  const { statistics } = await trial.device.describe();
  trial.mustBeWell("it reports its statistics");
  await trial.stop();
  return Object.entries(statistics).map(([name, count]) => `${name} ${count}`).join(", ") ||
    undefined;
}

/** What it answers to offers, the odd ones among them. */
export async function plan<C, M extends AnyModel>(tests: Tests<C, M>): Promise<Remark> {
  const { plugin, watched } = watch(tests);
  // The offer that its own device makes.
  await (await open(tests, "inline", "it is started", { plugin }))[Symbol.asyncDispose]();
  return checkPlans(tests.plugin!, watched.offer!, tests.seed);
}

/** All that it gives to queues, lanes and core is of the right kind, and its own. */
export async function types<C, M extends AnyModel>(tests: Tests<C, M>): Promise<Remark> {
  const { plugin, watched } = watch(tests);
  const judge = () => {
    const [mistake] = watched.mistakes;
    if (mistake) throw new Failure(mistake.step, mistake.found, mistake.wanted);
  };
  let trial;
  try {
    trial = await open(tests, "inline", "it is started", { plugin });
  } catch (error) {
    judge();
    throw error;
  }
  await using _ = trial;
  const used = await trial.use();
  judge();
  if (used.kind !== "served") throw new NotApplicable("its client was not served; see start");
  await trial.device.describe();
  await trial.stop();
  judge();
  return undefined;
}

/** The device wants a reset while it is used; in a process, the driver is killed as well. */
export async function restart<C, M extends AnyModel>(
  tests: Tests<C, M>,
  isolation: Isolation,
): Promise<Remark> {
  const step = "device and driver are started anew";
  const virtio = isVirtio(tests);
  const model = virtio ? liar(tests.model(), "D-77") : tests.model();
  if (!virtio && isolation === "inline") {
    throw new NotApplicable("nothing but its end in a process starts it anew");
  }
  await using trial = await open(tests, isolation, "it is started", { model });
  for (let round = 0; virtio && round < 2 * ROUNDS && trial.notices.length === 0; round++) {
    await again(trial, step);
  }
  const byDevice = trial.notices.length > 0;
  if (isolation === "process") {
    const before = trial.notices.length;
    const use = trial.use();
    kill(trial.device.pid!, SIGKILL);
    await use;
    await again(trial, "it is killed and started anew");
    if (trial.notices.length === before) throw new NotApplicable("it was not killed in time");
  }
  if (trial.notices.length === 0) {
    throw new NotApplicable("its device got fewer than 5 requests of one queue");
  }
  for (const line of trial.notices) {
    if (!isOfDevice(line) && !line.includes("by signal 9")) {
      throw new Failure(step, line, "it is started anew because of its device only");
    }
  }
  await trial.mustServe("it serves its client after a new start");
  await trial.stop(trial.notices.length);
  return byDevice || !virtio
    ? undefined
    : "killed only: its device got fewer than 5 requests of one queue";
}

/** Uses a device that is started anew meanwhile: what must not be done twice ends with an error that says so. */
async function again<C, M extends AnyModel>(trial: Trial<C, M>, step: string): Promise<void> {
  const used = await trial.use();
  if (trial.gone !== undefined) throw new Failure(step, trial.gone, "it comes back");
  if (used.kind === "served" || trial.notices.length > 0 && used.kind === "failed") return;
  trial.mustHaveServed(used, step);
}

/** A queue is broken once, and reset alone. */
export async function queueReset<C, M extends AnyModel>(tests: Tests<C, M>): Promise<Remark> {
  const step = "one of its queues is reset";
  const { plugin, watched } = watch(tests);
  const model = liar(tests.model(), breaksOnce());
  await using trial = await open(tests, "inline", "it is started", { plugin, model });
  if (!watched.takesBack) {
    throw new NotApplicable("it has no queueReset(): device and driver are started anew instead");
  }
  const resets = () => trial.log.some((line) => line.includes("resetting the queue"));
  for (let round = 0; round < 2 * ROUNDS && !resets(); round++) await again(trial, step);
  if (!resets()) throw new NotApplicable("its device got fewer than 3 requests of one queue");
  const anew = trial.notices[0];
  await trial.mustServe("it serves its client after a queue was reset");
  await trial.stop(trial.notices.length);
  return anew && `it wants a new start instead: ${anew}`;
}

/** A device that breaks a rule of a queue once: it uses a descriptor that does not exist. */
function breaksOnce(): Lie {
  let told = false;
  return {
    id: "D-41",
    does: "uses a descriptor that does not exist, once",
    with: RING_RESET,
    queue: used((queue, head, written, nth) => {
      if (told || nth < 3) return queue.put(head, written);
      told = true;
      queue.put(queue.size, written);
    }),
  };
}

/** The device never answers: the driver goes on living, and lets itself be ended. */
export async function hang<C, M extends AnyModel>(
  tests: Tests<C, M>,
  isolation: Isolation,
): Promise<Remark> {
  const step = "its device never answers";
  const model = liar(tests.model(), "D-64");
  const more = { model, restarts: 0, deadline: UNANSWERED_MS };
  await using trial = await open(tests, isolation, "it is started", more);
  const used = await trial.use();
  if (used.kind === "served") throw new NotApplicable("its client needs no answer of the device");
  // One that lives tells what it has; one that does not is found by its watchdog, in its own time.
  const end = performance.now() + LIFELESS_MS;
  const lives = async () =>
    (await trial.device.describe()).queues.some(({ inFlight }) => inFlight !== undefined);
  while (trial.gone === undefined && !await lives()) {
    if (performance.now() > end) {
      throw new Failure(step, "it does not tell what it has", "it goes on answering the core");
    }
    await pause(10);
  }
  if (trial.gone !== undefined) {
    throw new Failure(step, trial.gone, "it waits without being in the way");
  }
  await trial.stop();
  return undefined;
}

/** Queues with next to no room. */
export async function backPressure<C, M extends AnyModel>(
  tests: Tests<C, M>,
): Promise<Remark> {
  let refusal = "";
  for (const size of [2, 4, 8, 16, 32]) {
    const model = liar(tests.model(), {
      id: "small",
      does: `has queues of ${size} entries at most`,
      queueSize: (_, largest) => Math.min(largest, size),
    });
    let trial;
    try {
      trial = await Trial.open(tests, { isolation: "inline", plugin: tests.plugin!, model });
    } catch (error) {
      if (!isRefusal(error)) {
        throw new Failure(
          `it is started with queues of ${size} entries`,
          String(error),
          "a plan, or a reason why not",
        );
      }
      refusal = (error as Error).message;
      continue;
    }
    await using _ = trial;
    const step = `its queues have ${size} entries`;
    for (let round = 0; round < 3; round++) await trial.mustServe(step);
    trial.mustBeWell(step);
    await trial.stop();
    return step;
  }
  throw new NotApplicable(refusal);
}

/** Nothing adds up: neither requests nor, in a process, memory. */
export async function leak<C, M extends AnyModel>(
  tests: Tests<C, M>,
  isolation: Isolation,
): Promise<Remark> {
  const step = "it serves its client again and again";
  await using trial = await open(tests, isolation, "it is started");
  await trial.mustServe(step);
  await trial.mustServe(step);
  const before = await held(trial);
  let [last, after] = [before, before];
  let growing = [...before.requests.keys()];
  // What is kept ready for later comes to an end; what is lost does not.
  for (let time = 0; time < TIMES && (time === 0 || growing.length > 0); time++) {
    for (let round = 0; round < ROUNDS; round++) await trial.mustServe(step);
    [last, after] = [after, await held(trial)];
    growing = growing.filter((what) =>
      after.requests.get(what)! - last.requests.get(what)! >= ROUNDS
    );
  }
  for (const what of growing) {
    const [first, now] = [before, after].map(({ requests }) => requests.get(what));
    throw new Failure(
      step,
      `${what} had ${first} requests, and ${TIMES * ROUNDS} uses later ${now}`,
      "all that ends comes back",
    );
  }
  const growth = after.memory - before.memory;
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  if (growth > MOST_GROWTH) {
    throw new Failure(
      step,
      `its process has grown by ${mib(growth)}`,
      `less than ${mib(MOST_GROWTH)}`,
    );
  }
  await trial.stop();
  return isolation === "process"
    ? `its process has grown by ${mib(Math.max(0, growth))}`
    : undefined;
}

/** What a driver holds at one moment. */
interface Held {
  /** Requests, by queue or lane. */
  readonly requests: ReadonlyMap<string, number>;
  /** Bytes of its process. */
  readonly memory: number;
}

async function held<C, M extends AnyModel>(trial: Trial<C, M>): Promise<Held> {
  const { queues, pid } = await trial.device.describe();
  return {
    requests: new Map([
      ...[...trial.lanes].map(([name, { inFlight }]) => [`lane ${name}`, inFlight] as const),
      ...queues.map(({ name, inFlight = 0 }) => [`queue ${name}`, inFlight] as const),
    ]),
    memory: pid === undefined ? 0 : residentBytes(pid),
  };
}

/** What a process has in memory of its own: proc_pid_statm(5), in pages. */
function residentBytes(pid: number): number {
  const [, resident, shared] = readText(`/proc/${pid}/statm`).split(" ").map(Number);
  return (resident! - shared!) * 4096;
}

/** The device tells a lie: it gets an error that names the rule, or is served; the driver goes on. */
export async function lies<C, M extends AnyModel>(
  tests: Tests<C, M>,
  isolation: Isolation,
  id: LieId,
  kind: QueueKind,
): Promise<Remark> {
  const step = `its device ${lie(id).does} (${id}, ${kind} ring)`;
  const model = liar(tests.model(), id) as DeviceModel & M;
  if (kind === "packed") fitted(model, { with: (model.with ?? 0n) | RING_PACKED });
  const request = SILENT.includes(id) ? UNANSWERED_MS : LIED_TO_MS;
  return await hostile(tests, isolation, step, model, tests.mayGarble.includes(id), request);
}

/** The device lies in its own way: it gets an error, or is served; the driver goes on. */
export async function hostile<C, M extends AnyModel>(
  tests: Tests<C, M>,
  isolation: Isolation,
  step: string,
  model: M,
  mayGarble: boolean,
  request = LIED_TO_MS,
): Promise<Remark> {
  const { plugin, watched } = watch(tests);
  let trial;
  try {
    trial = await Trial.open(tests, {
      isolation,
      ...(isolation === "inline" && { plugin }),
      model,
      restarts: 0,
      request,
      deadline: request + 500,
    });
  } catch (error) {
    if (isolation === "inline" && watched.offer === undefined && isRefusal(error)) {
      return `refused before the driver was asked: ${(error as Error).message}`;
    }
    if (isRefusal(error)) return `refused: ${(error as Error).message}`;
    throw new Failure(step, String((error as Error).message), "an error that names the rule");
  }
  await using _ = trial;
  const used = await trial.use();
  if (used.kind === "failed") await settled(trial);
  if (trial.gone !== undefined) {
    // A driver of registers has no other way to say that its device broke a rule than to throw.
    const says = !isVirtio(tests) && /the driver failed: Error: /.test(trial.gone);
    if (isOfDevice(trial.gone) || says) return `given up: ${trial.gone.split("\n")[0]}`;
    throw new Failure(step, trial.gone, "the driver goes on, whatever its device does");
  }
  if (
    used.kind === "failed" && !(used.error instanceof RequestError) && !mayGarble
  ) {
    throw new Failure(
      step,
      `its client gets ${used.error}`,
      "a request that ends with an error, or what was asked for",
    );
  }
  if (used.kind === "late" && trial.held) {
    throw new Failure(step, trial.held.found, trial.held.wanted);
  }
  const early = trial.gone;
  await trial[Symbol.asyncDispose]();
  if (early === undefined) return used.kind === "failed" ? used.error.message : used.kind;
}

/** Whether a driver drives VirtIO devices: others tell no lies of the catalogue. */
export function isVirtio({ source }: { readonly source: PluginSource }): boolean {
  return source.manifest.pci === undefined;
}

/** Makes a model of a VirtIO device lie. */
function liar<M extends AnyModel>(model: M, what: LieId | Lie): M {
  lying(model as DeviceModel, what);
  return model;
}

/** A driver that is watched while it runs inline. */
function watch<C, M extends AnyModel>(
  tests: Tests<C, M>,
): { readonly plugin: AnyPlugin; readonly watched: WatchedPlugin } {
  const watched = new WatchedPlugin(tests.plugin!);
  return { plugin: watched.plugin, watched };
}

/** Waits until a device that is being given up is: its requests end a little before. */
async function settled<C, M extends AnyModel>(trial: Trial<C, M>): Promise<void> {
  for (let i = 0; i < 50 && trial.gone === undefined; i++) await pause(2);
}

/** Refused in order, by the core or by the driver. */
function isRefusal(error: unknown): boolean {
  if (error instanceof DriverGone) return error.message.startsWith("The driver declines: ");
  return error instanceof DeviceFault || error instanceof PciFault || error instanceof PlanError;
}

/** Whether a line says that the device broke a rule. */
function isOfDevice(reason: string): boolean {
  return /\[D-\d+\]$/.test(reason);
}
