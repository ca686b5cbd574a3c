/**
 * Runs the tests, several programs at a time: tests mostly wait. What it prints ends with Deno's own kind of summary.
 *
 *     deno run -A tools/test.ts [--quick | --without-guest] [--jobs <n>] [file or folder...]
 *
 * A folder of the source is one program, and so is each file of `tests/`. Each program has an end, however it hangs, and
 * what it printed is shown as a whole: all of it where it failed, and otherwise why it skipped what it skipped.
 *
 * @module
 */

import { parseArgs } from "@std/cli";
import { cacheFolder } from "./cache.ts";

const ROOT = new URL("../", import.meta.url);
/** Folders with tests beside the source. */
const PARTS = [
  "bench",
  "classes",
  "cli",
  "conform",
  "core",
  "machine",
  "nbd",
  "plugins",
  "serve",
  "simulation",
  "testing",
  "watch",
  "tools",
];

/** What measures this machine, or holds something of it that there is once: it runs by itself, at the end. */
const ALONE = [
  // They count what the processors do.
  "tests/no_allocation_test.ts",
  "tests/quiet_device_test.ts",
  "tests/wake_ups_test.ts",
  // It puts files where others look for what was left behind.
  "serve",
  // It has this machine's processors to itself, and takes as long as all others.
  "tests/guest_test.ts",
];
/** The test of a booted guest. */
const GUEST = "tests/guest_test.ts";

/** What `--quick` leaves out: tests of whole programs, of QEMU, and of all that can go wrong. */
const SLOW =
  /^(tests\/|tools\/guest|serve\/|conform\/)|_qemu|core\/platform\/(qemu|vfio)|^cli\/|driver_test\.ts$/;
/** What the hostile rings of `--quick` make up; by themselves they make up ten times as much. */
const QUICK_ENTRIES = 20_000;
/** Whole-system tests that it runs all the same. */
const QUICK = ["tests/layers_test.ts", "tests/driver_api_test.ts", "tests/features_test.ts"];

/** Minutes that one program may take, and the guest. */
const MINUTES = 15, GUEST_MINUTES = 60;

/** One program of tests. */
interface Unit {
  /** A file of `tests/`, or a folder. */
  readonly name: string;
  readonly files: readonly string[];
  /** How long it took when it ran last on this machine, in seconds; a guess if it has not. */
  readonly seconds: number;
}

/** What came of it. */
interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly ignored: number;
  readonly output: string;
  readonly ok: boolean;
  readonly seconds: number;
}

/** All test files under a folder. */
function* testFiles(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))) {
    if (isDirectory) yield* testFiles(`${folder}/${name}`);
    else if (name.endsWith("_test.ts")) yield `${folder}/${name}`;
  }
}

/**
 * Folders that are one program each; of the others, each folder in them is one. What is small is one where all is to be over
 * soon, since each program has to load what it tests.
 */
const WHOLE = ["machine", "nbd", "serve", "simulation", "testing", "watch"];
const WHOLE_IF_QUICK = ["classes", "plugins", "tools"];

/** The program that a file belongs to. */
function unitOf(file: string): string {
  const path = file.split("/");
  if (path[0] === "tests" || file.endsWith("driver_test.ts")) return file;
  const whole = flags.quick ? [...WHOLE, ...WHOLE_IF_QUICK] : WHOLE;
  return whole.includes(path[0]!) ? path[0]! : path.slice(0, 2).join("/");
}

function units(wanted: (file: string) => boolean): Unit[] {
  const files = new Map<string, string[]>();
  for (const file of [...PARTS, "tests"].flatMap((part) => [...testFiles(part)].sort())) {
    if (!wanted(file)) continue;
    const name = unitOf(file);
    files.set(name, [...files.get(name) ?? [], file]);
  }
  return [...files].map(([name, files]) => ({
    name,
    files,
    seconds: remembered[name] ?? guess(name, files),
  }));
}

/** Whole-system tests wait most. */
function guess(name: string, files: readonly string[]): number {
  const bytes = files.reduce((sum, file) => sum + Deno.statSync(new URL(file, ROOT)).size, 0);
  return bytes / (name.startsWith("tests/") ? 250 : 2500);
}

/** Runs one program of tests to its end, or to that of its time. */
async function run(unit: Unit, all: AbortSignal): Promise<Outcome> {
  const minutes = unit.name === GUEST ? GUEST_MINUTES : MINUTES;
  const start = performance.now();
  const late = AbortSignal.timeout(minutes * 60_000);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["test", "-A", "--no-check", "--sanitize-ops", "--sanitize-resources"],
      ...unit.files,
    ],
    cwd: ROOT,
    stdin: "null",
    env: { NO_COLOR: "1", ...(flags.quick && { VIRTIO_FUZZ: String(QUICK_ENTRIES) }) },
    signal: AbortSignal.any([all, late]),
  }).output();
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  const [summary] = output.match(/^(ok|FAILED) \| \d+ passed.*/gm)?.slice(-1) ?? [];
  const count = (what: string) =>
    Number(new RegExp(`(\\d+) ${what}`).exec(summary ?? "")?.[1] ?? 0);
  const end = late.aborted ? `\n${unit.name} did not end within ${minutes} minutes\n` : "";
  return {
    passed: count("passed"),
    // One that has no summary did not come to its end.
    failed: summary === undefined || late.aborted ? Math.max(1, count("failed")) : count("failed"),
    ignored: count("ignored"),
    output: output + end,
    ok: success,
    seconds: (performance.now() - start) / 1000,
  };
}

/** Tells what came of a program: a line, or all that it said. */
function tell({ name }: Unit, { passed, failed, ignored, output, ok, seconds }: Outcome): void {
  const counts = [
    `${passed} passed`,
    failed && `${failed} failed`,
    ignored && `${ignored} ignored`,
  ];
  const line = counts.filter(Boolean).join(", ");
  if (!ok) console.log(`${"-".repeat(20)} ${name}\n${output}\n${"-".repeat(20)}`);
  console.log(`${ok ? "ok    " : "FAILED"} ${seconds.toFixed(1).padStart(6)} s  ${name}: ${line}`);
  if (!ok) return;
  for (const line of new Set(output.match(/^skipped: .*|^.* \.\.\. ignored.*/gm))) {
    console.log(`  ${line}`.replace(/^ {2}(?=skipped: )/, ""));
  }
}

const flags = parseArgs(Deno.args, {
  boolean: ["quick", "without-guest"],
  string: ["jobs"],
});
const chosen = flags._.map(String).map((path) => path.replace(/^\.\/|\/$/g, ""));
const processors = navigator.hardwareConcurrency;
const jobs = Number(flags.jobs ?? Deno.env.get("DENO_JOBS") ?? processors + 1);
if (!Number.isInteger(jobs) || jobs < 1) {
  throw new RangeError(`Cannot run ${jobs} programs at a time`);
}

const wanted = (file: string) => {
  if (chosen.length > 0) return chosen.some((each) => file === each || file.startsWith(`${each}/`));
  if (flags.quick) return !SLOW.test(file) || QUICK.includes(file);
  return !(flags["without-guest"] && file === GUEST);
};
/** Where it is remembered how many seconds each program took, by its name: of use, no more. */
const memory = `${cacheFolder()}/test-seconds${flags.quick ? "-quick" : ""}.json`;
const remembered = (() => {
  try {
    return { ...JSON.parse(Deno.readTextFileSync(memory)) } as Record<string, number>;
  } catch {
    return {};
  }
})();
const all = units(wanted);
if (all.length === 0) throw new RangeError(`There are no tests in ${chosen.join(", ")}`);
const isAlone = ({ name }: Unit) => ALONE.includes(name);
// Longest first leaves least to wait for.
const together = all.filter((unit) => !isAlone(unit)).sort((a, b) => b.seconds - a.seconds);
const alone = ALONE.flatMap((name) => all.filter((unit) => unit.name === name));

const start = performance.now();
const end = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => end.abort());
}
/** Looks at the types meanwhile; if they are wrong, nothing goes on. */
async function checkTypes(): Promise<boolean> {
  // Deno remembers what it has checked by what it was asked to check: all of it as `deno task check` does.
  const checked = chosen.length > 0 ? all.flatMap(({ files }) => files) : ["."];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["check", "--quiet", ...checked],
    cwd: ROOT,
    stdin: "null",
    env: { NO_COLOR: "1" },
    signal: end.signal,
  }).output();
  if (!success && !end.signal.aborted) {
    end.abort();
    console.log(new TextDecoder().decode(stderr));
  }
  return success;
}
const checked = checkTypes();

const outcomes: Outcome[] = [];
async function work(queue: Unit[]): Promise<void> {
  for (let unit = queue.shift(); unit && !end.signal.aborted; unit = queue.shift()) {
    const outcome = await run(unit, end.signal);
    tell(unit, outcome);
    outcomes.push(outcome);
    if (outcome.ok) remembered[unit.name] = Math.round(outcome.seconds);
  }
}
await Promise.all(Array.from({ length: jobs }, () => work(together)));
await work(alone);

Deno.mkdirSync(cacheFolder(), { recursive: true });
Deno.writeTextFileSync(memory, JSON.stringify(remembered));
const sum = (what: "passed" | "failed" | "ignored") =>
  outcomes.reduce((sum, outcome) => sum + outcome[what], 0);
const ok = await checked && outcomes.every(({ ok }) => ok) && !end.signal.aborted;
const seconds = Math.round((performance.now() - start) / 1000);
console.log(
  `\n${ok ? "ok" : "FAILED"} | ${sum("passed")} passed | ${sum("failed")} failed | ` +
    `${sum("ignored")} ignored (${seconds}s)`,
);
Deno.exit(ok ? 0 : 1);
