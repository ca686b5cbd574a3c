import type { DeviceClass } from "../../../core/class/mod.ts";
import { kindAt } from "../../../core/linux/mod.ts";
import type { AnyPlugin } from "../../../mod.ts";
import type { DriverReport, DriverRow, RowName } from "../../../testing/mod.ts";
import type { Command, Context } from "../../command.ts";
import { EXIT, usageError } from "../../exit.ts";
import { junitFile, writeText } from "../../conform/junit_file.ts";
import type { UserFile } from "../../file.ts";
import { driverJson, printJson } from "../../json.ts";
import { importClasses, importMaker, load } from "../../modules.ts";
import { traceSink } from "../../kernel.ts";
import { numberOption } from "../../number_option.ts";
import { Progress } from "../../progress.ts";
import { printable } from "../../printable.ts";
import { suggest } from "../../suggest.ts";
import type { Testing } from "../../system.ts";

/** Tests a driver. */
export const conformDriver: Command = {
  name: "conform driver",
  summary: "Test the driver in a folder against the model of its device",
  usage: "<folder>",
  words: [1, 1],
  idle: "Each test has a machine of its own, for a moment; --trace tells what they do",
  traced: true,
  options: [
    { name: "only", value: "<rows>", summary: "what it is tested for, for example start,lies" },
    { name: "seed", value: "<number>", summary: "where what is random in a run begins (1)" },
    { name: "junit", value: "<file>", summary: "also write the results there, as JUnit's XML" },
  ],
  examples: [
    ["conform driver .", "start, plan, types, restart, hang, leak, and all lies of its device"],
    ["conform driver mine --only start,plan,types", "the first that one looks at"],
    ["conform driver mine --model models/slow.ts --class mine/class.ts", "modules of other places"],
    ["conform driver . --json", "each row for programs"],
  ],
  notes: [
    "The rows are start, plan, types, restart, queue reset, hang, back-pressure, leak and lies. A driver of PCI",
    "devices that are no VirtIO devices has start, plan, types, restart and leak.",
    "",
    "The model of the device is model.ts in the folder, or what --model names: its default export makes it, or it exports",
    "one class whose name ends in Model. What the device is to an application is class.ts in the folder, or what --class",
    "names, or one of our own classes; the device is used as the check of its class uses it. One that asks more at once than",
    "the queues have room for shows more.",
    "",
    "What several tests came to is told once; -v, --json and --junit tell of each.",
    "",
    "Row plan offers the driver its device with one thing changed, and devices that --seed puts together at random: the same seed",
    "makes the same devices.",
    "",
    "Driver, model and class RUN IN THIS PROGRAM, WITH ITS RIGHTS, too; Deno must let it read them.",
    "--trace tells each test as a span, and all that its machine does.",
    "",
    "The exit status is 1 if the driver failed a row.",
  ],
  async run(context) {
    const { io, options, words, given, until } = context;
    const folder = words[0]!.replace(/(?<=.)\/+$/, "");
    const { testDriver, ROWS, rowText, failureTexts } = await until(io.system.loadTesting());
    const seed = numberOption(context, "seed", { usual: 1, least: 0, greatest: 2 ** 32 - 1 });
    const rows = rowsOf(given.only, ROWS);
    const [source] = await until(io.system.loadDrivers([folder]));
    const { manifest, entry } = source!;
    const [model = `${folder}/model.ts`, ...more] = options.models;
    if (more.length > 0) throw usageError("Cannot use --model 2 times: give it once");
    const plugin = (await load(context, `test ${folder}`, entry)).default as AnyPlugin | undefined;
    if (typeof plugin?.start !== "function") {
      throw usageError(
        `Cannot test ${folder}: ${manifest.entry} has no driver, as definePlugin makes one, as its default export`,
      );
    }
    const maker = await importMaker(context, `use the model ${model}`, model);
    const [one, other] = [maker(), maker()];
    if (one === other) {
      throw usageError(
        `Cannot use the model ${model}: each test takes a new one; let its default export be a function that makes it`,
      );
    }
    const known = await classOf(context, folder, manifest.class);
    using file = await junitFile(context);
    using progress = new Progress(context, `Testing ${manifest.name}:`, undefined);
    let done = 0;
    const trace = await traceSink(context);
    const report = await until(testDriver(plugin, maker, {
      folder,
      ...(trace && { trace }),
      ...(known && { class: known }),
      ...(rows && { rows }),
      tunables: options.tunables,
      seed,
      told: (row) => {
        progress.show(++done, `${done} done, ${nameOf(row)}`);
        context.detail(rowText(row));
      },
    }));
    progress.hide();
    const failed = report.rows.filter(({ result }) => result === "failed");
    const passed = failed.length === 0 && report.rows.some(({ result }) => result === "passed");
    if (file) await writeJunit(context, file, report, rowText);
    if (options.json) {
      printJson(context, "conform driver", {
        driver: driverJson(manifest),
        seed,
        passed,
        rows: report.rows.map(rowJson),
      });
      return passed ? EXIT.done : EXIT.failed;
    }
    for (const row of ROWS) {
      const line = summary(row, report.rows.filter((each) => each.row === row));
      if (line !== undefined) io.out(printable(line));
    }
    for (const text of failureTexts(failed)) io.out(printable(`\n${text}`));
    const { style } = context;
    io.out(
      passed
        ? `${manifest.name}: ${style.good("passed")}`
        : `\n${manifest.name}: ${
          style.bad("failed")
        }, ${failed.length} of ${report.rows.length} tests`,
    );
    return passed ? EXIT.done : EXIT.failed;
  },
};

/** The rows that the user wants; undefined for all. */
function rowsOf(only: string | true | undefined, all: readonly RowName[]): RowName[] | undefined {
  if (typeof only !== "string") return undefined;
  return only.split(",").map((name) => {
    const row = all.find((each) => each === name);
    if (row !== undefined) return row;
    throw usageError(
      `Unknown row ${JSON.stringify(name)} for --only.${suggest(name, all)} There are ${
        all.join(", ")
      }`,
    );
  });
}

/** What the driver's device is to an application. */
async function classOf(context: Context, folder: string, name: string): Promise<DeviceClass> {
  const beside = `${folder}/class.ts`;
  const { classes } = context.options;
  const paths = classes.length === 0 && kindAt(beside) !== undefined ? [beside] : classes;
  const options = { ...context.options, classes: paths, plugins: [folder] };
  const own: Readonly<Record<string, DeviceClass>> = await context.io.system.loadClasses();
  const found = (await importClasses({ ...context, options }))[name] ??
    (Object.hasOwn(own, name) ? own[name] : undefined);
  if (found) return found;
  throw usageError(
    `Cannot test ${folder}: the class ${name} is not known; export it from ${beside}, or name its module by --class`,
  );
}

/** What came of the tests of one row, as a line; undefined if there were none. */
function summary(row: RowName, tests: readonly DriverRow[]): string | undefined {
  if (tests.length === 0) return undefined;
  const count = (result: DriverRow["result"]) =>
    tests.filter((each) => each.result === result).length;
  const [passed, failed] = [count("passed"), count("failed")];
  const seconds = tests.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000;
  const end = failed > 0 ? "failed" : passed > 0 ? "passed" : "does not apply";
  const why = end === "does not apply" ? `: ${tests[0]!.reason}` : "";
  const of = tests.length > 1 && passed > 0 || failed > 0 ? `, ${passed} of ${tests.length}` : "";
  return `${row.padEnd(13)}  ${end}${why}${of} (${seconds.toFixed(1)} s)`;
}

function nameOf({ row, detail, isolation }: DriverRow): string {
  return [row, detail, isolation].filter((each) => each !== undefined).join(", ");
}

/** A row, for JSON. What is not there is null, so that every key is always there. */
function rowJson(row: DriverRow): object {
  const { detail = null, mistake = null, reason = null } = row;
  return { ...row, detail, mistake, reason };
}

async function writeJunit(
  context: Context,
  file: UserFile,
  { driver, rows }: DriverReport,
  rowText: Testing["rowText"],
): Promise<void> {
  const { junit } = await context.io.system.loadConform();
  const name = `conform driver ${driver}`;
  const cases = rows.map((row) => ({
    group: name,
    name: nameOf(row),
    milliseconds: row.milliseconds,
    ...(row.result === "failed" && { end: { as: "failure" as const, why: rowText(row) } }),
    ...(row.result === "notApplicable" &&
      { end: { as: "skipped" as const, why: row.reason ?? "does not apply" } }),
  }));
  await writeText(file, junit([{ name, cases }]));
}
