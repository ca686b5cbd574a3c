import { SECTOR } from "../../../classes/block/mod.ts";
import { count, round } from "../../../core/class/mod.ts";
import { type Load, type LoadResult, runLoad } from "../../block/load.ts";
import { formatSize, parseSize } from "../../block/size.ts";
import type { Command, Context } from "../../command.ts";
import {
  checkBlocks,
  checkMayWrite,
  DISK_OPTIONS,
  type DiskInUse,
  useDisk,
  WRITE_OPTION,
} from "../../disk.ts";
import { CliError, EXIT, usageError } from "../../exit.ts";
import { goneAmong } from "../../gone.ts";
import { Progress } from "../../progress.ts";
import { printDeviceJson } from "../../json.ts";

/** What `--rw` may be, as fio has it. */
const KINDS: Readonly<Record<string, Pick<Load, "writes" | "random">>> = {
  randread: { writes: false, random: true },
  read: { writes: false, random: false },
  randwrite: { writes: true, random: true },
  write: { writes: true, random: false },
};
const MOST_DEPTH = 128;
const MOST_BLOCK = 32 << 20;

/** Measures a disk. */
export const blkBench: Command = {
  name: "blk bench",
  summary: "Measure requests and bytes a second, and how long a request takes",
  usage: "",
  words: [0, 0],
  options: [
    ...DISK_OPTIONS,
    { name: "rw", value: "<kind>", summary: `${Object.keys(KINDS).join(", ")} (randread)` },
    { name: "bs", value: "<bytes>", summary: "bytes of a request (4K)" },
    { name: "iodepth", value: "<number>", summary: `requests at a time, up to ${MOST_DEPTH} (32)` },
    { name: "runtime", value: "<seconds>", summary: "how long (3)" },
    WRITE_OPTION,
  ],
  examples: [
    ["blk bench --machine simulated --runtime 1", "4 KiB reads, 32 at a time"],
    [
      "blk bench --rw write --bs 64K --iodepth 8 --machine qemu --json",
      "for readers of fio's JSON",
    ],
  ],
  notes: [
    "Names of options and of the JSON are fio's. Writes OVERWRITE the disk; on this machine (local, vhost-user) they take --write.",
  ],
  async run(context) {
    const { rw = "randread" } = context.given;
    const kind = Object.hasOwn(KINDS, String(rw)) ? KINDS[String(rw)] : undefined;
    if (!kind) {
      throw usageError(
        `Unknown value ${JSON.stringify(rw)} for --rw: wanted one of ${
          Object.keys(KINDS).join(", ")
        }`,
      );
    }
    const load = { ...kind, ...sizes(context) };
    await using use = await useDisk(context);
    if (load.writes) checkMayWrite(context, use);
    checkBlocks(`Cannot use requests of ${load.blockSize} bytes`, use.disk, load.blockSize);
    if (use.disk.capacity < load.blockSize) {
      throw new CliError(EXIT.failed, `Cannot measure: the disk has ${use.disk.capacity} bytes`);
    }
    const progress = new Progress(context, "Measuring", load.milliseconds);
    const result = await runLoad(
      use.disk,
      load,
      context.signal,
      (passed, requests) => progress.show(passed, count(requests, "request")),
    ).finally(() => progress.hide());
    const gone = result.errors > 0 ? await goneAmong([use.device]) : undefined;
    if (gone) throw gone;
    print(context, use, String(rw), load, result);
    return result.errors > 0 ? EXIT.failed : EXIT.done;
  },
};

function sizes({ given }: Context): Pick<Load, "blockSize" | "depth" | "milliseconds"> {
  const blockSize = parseSize("bs", String(given.bs ?? "4K"));
  if (blockSize === 0 || blockSize % SECTOR !== 0 || blockSize > MOST_BLOCK) {
    throw usageError(`Cannot use requests of ${blockSize} bytes: wanted multiples of ${SECTOR}`);
  }
  const depth = Number(given.iodepth ?? 32);
  if (!Number.isInteger(depth) || depth < 1 || depth > MOST_DEPTH) {
    throw usageError(`Unknown value for --iodepth: wanted a number from 1 to ${MOST_DEPTH}`);
  }
  const seconds = Number(given.runtime ?? 3);
  if (!(seconds > 0 && seconds <= 3600)) {
    throw usageError("Unknown value for --runtime: wanted seconds, up to 3600");
  }
  return { blockSize, depth, milliseconds: seconds * 1000 };
}

function print(
  context: Context,
  use: DiskInUse,
  rw: string,
  load: Load,
  result: LoadResult,
): void {
  const { requests, errors, milliseconds, latencies } = result;
  const bytes = requests * load.blockSize;
  const iops = requests / milliseconds * 1000;
  const rate = bytes / milliseconds * 1000;
  if (context.options.json) {
    const none = { io_bytes: 0, bw: 0, iops: 0, runtime: 0, total_ios: 0 };
    const some = {
      io_bytes: bytes,
      bw_bytes: Math.round(rate),
      bw: Math.round(rate / 1024),
      iops,
      runtime: Math.round(milliseconds),
      total_ios: requests,
      clat_ns: latencies,
    };
    const job = {
      jobname: "blk bench",
      error: errors,
      "job options": { rw, bs: String(load.blockSize), iodepth: String(load.depth) },
      read: load.writes ? none : some,
      write: load.writes ? some : none,
    };
    return printDeviceJson(context, "blk bench", use, { jobs: [job] });
  }
  const microseconds = [50, 99, 99.9].map((percent) =>
    `${percent} % ${round(latencies.percentile(percent) / 1000)}`
  );
  context.io.out(
    `${rw}: ${Math.round(iops)} requests/s, ${formatSize(rate)}/s; latency in µs: ` +
      microseconds.join(", ") + (errors > 0 ? `; ${count(errors, "request")} FAILED` : ""),
  );
}
