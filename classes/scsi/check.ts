import {
  type CheckOptions,
  type CheckResult,
  count,
  type Finding,
  Status,
} from "../../core/class/mod.ts";
import { type Behind, checkBlock } from "../block/check.ts";
import { formatScsiAddress, type ScsiAddress } from "./address.ts";
import { readOrWrite } from "./cdb.ts";
import type { ScsiClient } from "./client.ts";
import { ScsiDisk } from "./disk.ts";
import type { ScsiUnit } from "./scan.ts";
import { senseText } from "./sense.ts";

/** What a check does with a SCSI adapter. */
export type ScsiAdapter = Pick<
  ScsiClient,
  "maxTarget" | "scan" | "inquiry" | "disk" | "manage" | "execute"
>;

/**
 * Checks a SCSI adapter: looks for its units, puts each disk to work as {@linkcode checkBlock} does, and asks for one
 * that is not there.
 */
export async function checkScsi(client: ScsiAdapter, options: CheckOptions): Promise<CheckResult> {
  const { step } = options;
  step?.("looking for its units");
  const units = await client.scan();
  const results = [];
  for (const unit of units) results.push(await checkUnit(client, unit, options));
  const findings = results.flatMap((result) => result.findings);
  step?.("asking for a unit that is not there");
  findings.push(await absent(client, units));
  const [first] = units;
  if (first) findings.push(await asked(client, first.address));
  const summaries = results.map(({ summary }) => summary);
  return {
    findings,
    figures: Object.assign({ units: units.length }, ...results.map(({ figures }) => figures)),
    summary: [count(units.length, "unit"), ...summaries].join("; "),
    nothing: units.length === 0,
  };
}

async function checkUnit(
  client: ScsiAdapter,
  { address, inquiry }: ScsiUnit,
  options: CheckOptions,
): Promise<CheckResult> {
  const where = formatScsiAddress(address);
  const what = [where, inquiry.vendor, inquiry.product].join(" ").trim();
  const nothing = { findings: [], figures: {} };
  if (!ScsiDisk.fits(inquiry)) return { ...nothing, summary: `${what}, ${inquiry.typeName}` };
  options.step?.(`opening unit ${where}`);
  const disk = await client.disk(address);
  if (disk.capacity === 0) return { ...nothing, summary: `${what}, without a medium` };
  const { findings, figures, summary } = await checkBlock(disk, {
    ...options,
    step: (what) => options.step?.(`unit ${where}: ${what}`),
  }, () => readBehind(client, address, disk));
  return {
    findings: findings.map((finding) => ({ ...finding, name: `unit ${where}: ${finding.name}` })),
    figures: Object.fromEntries(
      Object.entries(figures).map(([name, value]) => [`${where} ${name}`, value]),
    ),
    summary: `${what}, ${summary}`,
  };
}

/** Reads the first block behind the end by a command of its own: the disk's client would not send it. */
async function readBehind(
  client: ScsiAdapter,
  address: ScsiAddress,
  { capacity, blockSize }: Pick<ScsiDisk, "capacity" | "blockSize">,
): Promise<Behind> {
  const cdb = readOrWrite(false, capacity / blockSize, 1);
  const { sense, data } = await client.execute(address, cdb, {
    inBytes: blockSize,
    repeatable: true,
  });
  if (sense) return { passed: true, detail: `refused by the unit: ${senseText(sense)}` };
  return { passed: false, detail: `the unit gave ${data.length} bytes, and no reason` };
}

/** A unit that is not there must be told from one that is. */
async function absent(client: ScsiAdapter, units: readonly ScsiUnit[]): Promise<Finding> {
  const name = "a unit that is not there";
  const taken = new Set(units.map(({ address }) => formatScsiAddress(address)));
  const targets = Array.from({ length: client.maxTarget + 1 }, (_, i) => client.maxTarget - i);
  const target = targets.find((target) => !taken.has(`${target}:0`));
  if (target === undefined) return { name, passed: true, detail: "all targets have one" };
  try {
    const { vendor } = await client.inquiry({ target, lun: 0 });
    return { name, passed: false, detail: `target ${target} answers as ${vendor}` };
  } catch (error) {
    const passed = (error as { readonly status?: number }).status === Status.failed;
    return { name, passed, detail: (error as Error).message };
  }
}

/** Task management works, or the device says that it does not know this function. */
async function asked(client: ScsiAdapter, address: ScsiAddress): Promise<Finding> {
  const name = "task management";
  try {
    const busy = await client.manage("queryTaskSet", address);
    return { name, passed: !busy, detail: busy ? "a unit has a command of no program" : "idle" };
  } catch (error) {
    const passed = (error as { readonly status?: number }).status === Status.unsupported;
    return { name, passed, detail: (error as Error).message };
  }
}
