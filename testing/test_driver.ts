// Tests a driver against a model of its device, in both driver hosts.

import type { DeviceClass } from "../core/class/define.ts";
import type { Isolation } from "../core/kernel/driver_host.ts";
import { loadPlugin } from "../core/kernel/load_plugin.ts";
import { monotonicClock } from "../core/linux/clock.ts";
import { libc } from "../core/linux/libc.ts";
import { Trace, type TraceSink } from "../core/trace/trace.ts";
import type { AnyPlugin } from "../core/plugin/pci_plugin.ts";
import type { Tunables } from "../core/plugin/tunables.ts";
import { lie, type LieId, LIES } from "../simulation/hostile.ts";
import { RING_PACKED } from "../simulation/model.ts";
import type { QueueKind } from "../core/virtqueue/layout.ts";
import { type DriverReport, type DriverRow, type Mistake, type RowName, ROWS } from "./report.ts";
import * as rows from "./rows.ts";
import type { AnyModel, UsedDevice } from "./trial.ts";
import { Failure, NotApplicable } from "./verdict.ts";

/** How a driver is tested. */
export interface DriverTestOptions<Client, Model extends AnyModel> {
  /** The folder of the driver, which its `plugin.json` is in: a path. */
  readonly folder: string;
  /**
   * What its device is to an application; without one `use` has lanes only.
   */
  readonly class?: DeviceClass<Client>;
  /**
   * Uses the device as an application would, and checks what comes of it. It is called again and again, on devices that
   * are well and on such that are not: it ends when its requests end, or when `signal` is aborted, and throws what its
   * requests throw. Several requests at a time, and more than a queue has room for, show more. If left out, the check
   * that the class brings is run.
   */
  readonly use?: (device: UsedDevice<Client, Model>) => Promise<unknown>;
  /** How long a use may take, in milliseconds; 10 000 if left out. */
  readonly deadline?: number;
  /** What a user chose for it, as `openKernel` takes it: `{ "balloon.arena_mib": 4 }`. */
  readonly tunables?: Tunables;
  /** Where what is random in its tests begins: the same makes the same tests; 1 if left out. */
  readonly seed?: number;
  /** What it is tested for; everything if left out. */
  readonly rows?: readonly RowName[];
  /** Where it runs; in a process and inline if left out. */
  readonly isolations?: readonly Isolation[];
  /** The lies that its device tells; all of the catalogue if left out. */
  readonly lies?: readonly LieId[];
  /**
   * Lies under which clients may get other bytes than right ones, as nothing tells them from right ones: those about the
   * order of a stream, for example. D-38, D-39 and D-54 are always among them.
   */
  readonly mayGarble?: readonly LieId[];
  /** Models that lie in their own ways, by what they do: `"answers with nothing"`. */
  readonly liars?: Readonly<Record<string, () => Model>>;
  /** Called with each row as it is known. */
  readonly told?: (row: DriverRow) => void;
  /** Takes what happens: each test as a span, and in it all that is told of a machine. */
  readonly trace?: TraceSink;
}

// Opened once for the whole program, so not by a test.
libc();

/** Contents that no driver can tell from right ones: a configuration, and buffers that were given back. */
const GARBLE: readonly LieId[] = ["D-38", "D-39", "D-54"];
/** How many lies are told at once: most of their time is spent waiting. */
const AT_ONCE = 8;

/** The kinds of ring that a lie can be told with: both, if it is about rings. */
function kinds(id: LieId): readonly QueueKind[] {
  const { with: wants = 0n, without = 0n } = lie(id);
  if (wants & RING_PACKED) return ["packed"];
  if (without & RING_PACKED) return ["split"];
  return id === "D-33" || id >= "D-41" && id <= "D-63" ? ["split", "packed"] : ["split"];
}

/**
 * Tests a driver against a model of its device: it starts, serves and stops, in a process of its own and inline; it plans
 * for odd devices, comes back after a reset, has its queues reset, lives with a device that never answers, with queues
 * that have no room, with every lie of the catalogue; it makes no mistakes of types and loses nothing.
 *
 * It runs on a simulated machine of its own, and needs what the kernel needs (`--allow-ffi`).
 *
 * @example
 * ```ts ignore
 * import { mustPass, testDriver } from "@virtio/deno/testing";
 * import driver from "./mod.ts";
 * import { CounterModel } from "./model.ts";
 *
 * Deno.test("the driver", async () => {
 *   const report = await testDriver(driver, () => new CounterModel(), {
 *     folder: import.meta.dirname!,
 *     use: async ({ client }) => console.log(await client.count()),
 *   });
 *   mustPass(report);
 * });
 * ```
 *
 * @param plugin What the driver's module exports; undefined if it is to run in a process only.
 * @param model Makes a device, as good as new.
 * @returns What came of it. It does not throw where the driver fails; see {@linkcode mustPass}.
 * @throws {ManifestError} If the driver's `plugin.json` is wrong.
 */
export async function testDriver<Client, Model extends AnyModel>(
  plugin: AnyPlugin | undefined,
  model: () => Model,
  options: DriverTestOptions<Client, Model>,
): Promise<DriverReport> {
  const source = loadPlugin(options.folder);
  const tests: rows.Tests<Client, Model> = {
    source,
    plugin,
    model,
    class: options.class,
    use: options.use,
    deadline: options.deadline ?? 10_000,
    tunables: options.tunables ?? {},
    seed: options.seed ?? 1,
    mayGarble: [...GARBLE, ...options.mayGarble ?? []],
  };
  const { rows: wanted = ROWS, isolations = ["process", "inline"], lies = LIES } = options;
  using trace = options.trace && new Trace(options.trace, monotonicClock());
  const found: DriverRow[] = [];
  /** One that hangs would hang this program. */
  let hangs = false;
  const run = async (
    row: RowName,
    isolation: Isolation,
    test: (tests: rows.Tests<Client, Model>) => Promise<string | undefined>,
    detail?: string,
  ) => {
    if (!wanted.includes(row) || !isolations.includes(isolation)) return;
    const obstacle = isolation === "inline" && plugin === undefined
      ? "the plugin itself was not given"
      : isolation === "inline" && hangs
      ? "it hangs, and would hang this program"
      : undefined;
    const name = [row, detail, isolation].filter((each) => each !== undefined).join(", ");
    const span = trace?.device(name, source.manifest.name);
    span?.tell({ kind: "check", by: "core", step: "begin", name });
    const result = await outcome(
      obstacle,
      () =>
        test({
          ...tests,
          ...(trace && { trace: { device: (_, driver) => trace.device(name, driver) } }),
        }),
    );
    const { result: verdict, reason, mistake } = result;
    const why = mistake?.found ?? reason;
    span?.tell({
      ...{ kind: "check", by: "core", step: "end", name, verdict },
      ...(why !== undefined && { why }),
    });
    if (result.mistake?.found.includes("it hangs")) hangs = true;
    const told: DriverRow = { row, isolation, ...(detail && { detail }), ...result };
    found.push(told);
    options.told?.(told);
  };
  // In a process first: there it can hang as it likes.
  for (const isolation of ["process", "inline"] as const) {
    await run("start", isolation, (tests) => rows.start(tests, isolation));
    await run("restart", isolation, (tests) => rows.restart(tests, isolation));
    await run("leak", isolation, (tests) => rows.leak(tests, isolation));
    if (!rows.isVirtio(tests)) continue;
    await run("hang", isolation, (tests) => rows.hang(tests, isolation));
  }
  await run("plan", "inline", (tests) => rows.plan(tests));
  await run("types", "inline", (tests) => rows.types(tests));
  if (rows.isVirtio(tests)) {
    await run("queue reset", "inline", (tests) => rows.queueReset(tests));
    await run("back-pressure", "inline", (tests) => rows.backPressure(tests));
    const told = lies.flatMap((id) => kinds(id).map((kind) => [id, kind] as const));
    for (let i = 0; i < told.length; i += AT_ONCE) {
      await Promise.all(
        told.slice(i, i + AT_ONCE).map(([id, kind]) =>
          run(
            "lies",
            "inline",
            (tests) => rows.lies(tests, "inline", id, kind),
            `${id}, ${kind} ring`,
          )
        ),
      );
    }
  }
  for (const [does, model] of Object.entries(options.liars ?? {})) {
    const step = `its device ${does}`;
    await run(
      "lies",
      "inline",
      (tests) => rows.hostile(tests, "inline", step, model(), false),
      does,
    );
  }
  const place = ({ row }: DriverRow) => ROWS.indexOf(row);
  return { driver: source.manifest.name, rows: found.sort((a, b) => place(a) - place(b)) };
}

async function outcome(
  obstacle: string | undefined,
  test: () => Promise<string | undefined>,
): Promise<Pick<DriverRow, "result" | "mistake" | "reason" | "milliseconds">> {
  const start = performance.now();
  const passed = () => Math.round(performance.now() - start);
  if (obstacle !== undefined) return { result: "notApplicable", reason: obstacle, milliseconds: 0 };
  try {
    const reason = await test();
    return { result: "passed", ...(reason && { reason }), milliseconds: passed() };
  } catch (error) {
    if (error instanceof NotApplicable) {
      return { result: "notApplicable", reason: error.message, milliseconds: passed() };
    }
    return { result: "failed", mistake: mistakeOf(error), milliseconds: passed() };
  }
}

function mistakeOf(error: unknown): Mistake {
  if (error instanceof Failure) {
    const { step, found, wanted } = error;
    return { step, found, wanted };
  }
  const { message, stack } = error as Error;
  return { step: "it is tested", found: stack ?? message ?? String(error), wanted: "no error" };
}
