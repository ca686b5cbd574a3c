import type { FunctionFacts, OpenFunction, PciFunction } from "../core/pci/function.ts";
import { type Check, Finding, type Rule, type Verdict } from "./check.ts";
import { exerciseOf } from "./exercise.ts";
import { observe } from "./observe.ts";
import { Random } from "./random.ts";
import { Rig } from "./rig.ts";
import { CheckTrace } from "./trace.ts";
import type { TraceSink } from "../core/trace/trace.ts";

/** What came of one check. */
export interface Result {
  /** The check. */
  readonly check: Rule;
  /** What it found. */
  readonly verdict: Verdict;
  /** Why, unless it conforms: a sentence without a full stop. */
  readonly why?: string;
  /** Milliseconds that it took. */
  readonly milliseconds: number;
}

/** How a device is checked. */
export interface RunOptions {
  /** Device type (5). */
  readonly type: number;
  /** Milliseconds that the device may take for anything: 1000 if left out. */
  readonly patience?: number;
  /** Where random numbers begin; 1 if left out. */
  readonly seed?: number;
  /** Whether checks may run that write what a device keeps; false if left out. */
  readonly write?: boolean;
  /** Told of each result as it comes. */
  readonly tell?: (result: Result) => void;
  /** Ends the run between two checks. */
  readonly signal?: AbortSignal;
  /** Takes what happens: each check as a span, its accesses to registers, its doorbells. Its end is told with that of the run. */
  readonly trace?: TraceSink;
}

/** No check may take longer than so many times what the device may take for one thing. */
const MOST_WAITS = 20;

/**
 * Checks a device. It is taken for that, reset before each check and given back at the end: no driver may have it.
 *
 * @returns One result for each check, in their order.
 * @throws If it cannot be taken.
 */
export async function runChecks(
  fn: FunctionFacts,
  checks: readonly Check[],
  { type, patience = 1000, seed = 1, write = false, tell, signal, trace: sink }: RunOptions,
): Promise<readonly Result[]> {
  using device = taken(fn);
  using trace = sink && new CheckTrace(sink, fn.address);
  const rig = new Rig({ device, type, patience, ...(trace && { see: trace.see }) });
  const results: Result[] = [];
  const resets: Resets = { missed: 0 };
  for (const [i, check] of checks.entries()) {
    signal?.throwIfAborted();
    // Each check has numbers of its own: they do not depend on which others run.
    rig.random = new Random(seed + hash(check.name));
    const { name, section } = check;
    trace?.tell({ kind: "check", by: "core", step: "begin", name, section });
    const begin = performance.now();
    const finding = check.writes && !write
      ? { verdict: "not applicable", why: "it writes, which was not asked for" } as const
      : await tryCheck(rig, check, resets);
    const milliseconds = Math.round(performance.now() - begin);
    const { verdict, why } = finding;
    const result = { check, verdict, ...(why !== undefined && { why }), milliseconds };
    results.push(result);
    const end = { verdict, ...(why !== undefined && { why }) };
    trace?.tell({ kind: "check", by: "core", step: "end", name, section, ...end });
    tell?.(result);
    if (finding.gone) {
      for (const rest of checks.slice(i + 1)) {
        const left = {
          check: rest,
          milliseconds: 0,
          verdict: "cannot tell",
          why: "the machine ended before",
        } as const;
        results.push(left);
        tell?.(left);
      }
      break;
    }
  }
  await freshen(rig).catch(() => {});
  return results;
}

/** Takes a function of a machine, if that lends functions at all. */
function taken(fn: FunctionFacts): OpenFunction {
  const { open } = fn as Partial<PciFunction>;
  if (!open) throw new TypeError(`Cannot check ${fn.address}: it cannot be taken from its machine`);
  return (fn as PciFunction).open();
}

interface Outcome {
  readonly verdict: Verdict;
  readonly why?: string;
  /** Whether the machine is no more. */
  readonly gone?: boolean;
}

/** How often a device did not come back from a reset: past some times, that is not tried any more. */
interface Resets {
  missed: number;
}

const MOST_MISSED = 3;

async function tryCheck(rig: Rig, check: Check, resets: Resets): Promise<Outcome> {
  if (check.type !== undefined && check.type !== rig.type) {
    return { verdict: "not applicable", why: "it is for another type of device" };
  }
  if (resets.missed >= MOST_MISSED) {
    return { verdict: "cannot tell", why: "it did not come back from a reset before" };
  }
  try {
    await freshen(rig);
  } catch (error) {
    if (isGone(error)) return outcomeOf(error);
    const { verdict, why } = outcomeOf(error);
    // What the configuration space says can be looked at without a device that works; and whose registers cannot be
    // found, those checks tell of.
    if (verdict !== "wedged") {
      if (!check.name.startsWith("discovery.")) {
        return { verdict: "cannot tell", ...(why && { why }) };
      }
    } else {
      resets.missed++;
      if (resets.missed > 1) return { verdict: "cannot tell", why: `before it could begin ${why}` };
      return { verdict, why: `before it could begin ${why}` };
    }
  }
  try {
    await limited(rig, check);
    if (!check.misuse) return { verdict: "conforms" };
    return await stillServes(rig);
  } catch (error) {
    return outcomeOf(error);
  }
}

/** Runs it, but not for ever. */
async function limited(rig: Rig, check: Check): Promise<void> {
  const limit = MOST_WAITS * rig.patience;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Finding("wedged", `the check was not done within ${limit} ms`)),
    limit,
  );
  try {
    await Promise.race([check.run(rig), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resets the device; where that is not enough, the function. */
async function freshen(rig: Rig): Promise<void> {
  try {
    await rig.reset();
  } catch (error) {
    const { device } = rig;
    if (!device.reset) throw error;
    device.reset();
    device.restore?.();
    await rig.reset();
  }
}

/** After misuse a device may say that it needs a reset, and then it works (2.1.1). */
async function stillServes(rig: Rig): Promise<Outcome> {
  try {
    await freshen(rig);
  } catch (error) {
    if (isGone(error)) return outcomeOf(error);
    return { verdict: "wedged", why: `after that ${messageOf(error)}` };
  }
  if (!exerciseOf(rig)) {
    return { verdict: "cannot tell", why: "no request is known to try it with" };
  }
  try {
    const wrong = Object.values(await observe(rig, { rounds: 2, batch: 1 }))[0];
    return wrong === undefined
      ? { verdict: "conforms" }
      : { verdict: "violates", why: `after that ${wrong}` };
  } catch (error) {
    if (isGone(error)) return outcomeOf(error);
    const { verdict, why } = outcomeOf(error);
    if (verdict === "conforms" || why === undefined) throw error;
    return { verdict, why: `after that and a reset ${why}` };
  }
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof Finding) return { verdict: error.verdict, why: error.message };
  const { name } = error as Error;
  if (name === "DeviceFault" || name === "PciFault") {
    return { verdict: "cannot tell", why: `its registers cannot be used: ${messageOf(error)}` };
  }
  // The machine itself: nothing more can be asked of it.
  if (isGone(error)) {
    return { verdict: "wedged", why: `the machine ended: ${messageOf(error)}`, gone: true };
  }
  throw error;
}

/** Whether the machine that the device is in has ended. */
function isGone(error: unknown): boolean {
  return error instanceof Error && error.name === "QemuGone";
}

/** The first line: a machine that ended tells of all that it said. */
function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}

/** A number for a name. */
function hash(name: string): number {
  let sum = 0;
  for (let i = 0; i < name.length; i++) sum = Math.imul(sum, 31) + name.charCodeAt(i) | 0;
  return sum;
}
