import {
  type CheckOptions,
  type CheckResult,
  type Finding,
  megabytesPerSecond,
  RequestError,
  round,
  Status,
} from "../../core/class/mod.ts";
import type { BlockClient } from "./client.ts";
import { makePattern, newNonce, sha256 } from "./pattern.ts";
import { BlockOperation, SECTOR } from "./protocol.ts";

/** What a check does with a disk. */
export type Disk = Pick<
  BlockClient,
  "capacity" | "blockSize" | "readOnly" | "id" | "read" | "write" | "flush"
>;

/** What came of a read behind the end of a disk. */
export type Behind = Pick<Finding, "passed" | "detail">;

const KIB = 1024, MIB = 1024 * KIB;
/** How much of the disk is used, if it is that large. */
const REGION_BYTES = 2 * MIB;
/** Reads that are made one after the other, to see how long one takes. */
const LATENCY_READS = 64;

/**
 * Checks a disk: identity, capacity, and a region in its middle in requests of many sizes, many at once. If it may
 * be written, a pattern is written there, flushed, read back, and left there, so that others can look for it.
 *
 * @param readBehind Reads the first block behind the end, past the client, which refuses that by itself.
 */
export async function checkBlock(
  client: Disk,
  options: CheckOptions,
  readBehind?: () => Promise<Behind>,
): Promise<CheckResult> {
  const { step = () => {} } = options;
  step("asking what it is");
  const { capacity, blockSize, readOnly } = client;
  const write = options.write && !readOnly && capacity > 0;
  const id = await client.id();
  const sound = capacity % SECTOR === 0 && blockSize % SECTOR === 0 && blockSize > 0 &&
    capacity >= blockSize;
  const findings: Finding[] = [{
    name: "capacity",
    passed: sound,
    detail: `${capacity} bytes in blocks of ${blockSize}`,
  }];
  const basics = { id, capacity, blockSize, readOnly, written: write };
  if (capacity === 0) {
    return { findings: [], figures: basics, summary: "nothing is on it: 0 bytes", nothing: true };
  }
  if (!sound) return { findings, figures: basics, summary: "its capacity makes no sense" };

  const region = middle(capacity, blockSize);
  step(write ? "writing a pattern and reading it back" : "reading twice");
  const work = write ? await writeAndRead(client, region) : await readTwice(client, region);
  step("reading at its end, and behind it");
  findings.push(...work.findings, await lastBlock(client), await refused(client));
  if (readBehind) findings.push({ name: "behind the end", ...await readBehind() });
  step("reading one block after the other");
  const latency = await medianLatency(client, region);
  const access = write ? "written and read" : readOnly ? "read, it is read-only" : "only read";
  return {
    findings,
    figures: { ...basics, ...work.figures, latencyMicroseconds: latency },
    summary: `${id === "" ? "no id" : JSON.stringify(id)}, ${capacity} bytes, ${access}: ` +
      `${work.summary}, ${latency} µs a read` +
      (work.sha256
        ? `; offset ${region.offset} length ${region.length} sha256 ${work.sha256}`
        : ""),
  };
}

interface Region {
  readonly offset: number;
  readonly length: number;
  readonly blockSize: number;
}

interface Work extends CheckResult {
  readonly sha256?: string;
}

/** Up to {@linkcode REGION_BYTES} from the middle of the disk on, where partition tables do not live. */
function middle(capacity: number, blockSize: number): Region {
  const blocks = Math.floor(capacity / blockSize);
  const start = Math.floor(blocks / 2);
  const most = Math.max(1, Math.floor(REGION_BYTES / blockSize));
  return {
    offset: start * blockSize,
    length: Math.min(blocks - start, most) * blockSize,
    blockSize,
  };
}

/**
 * Cuts a region: one large request, 1 MiB if there is room, and the rest in thirds of 64 KiB, 4 KiB and single
 * blocks.
 */
export function cut({ offset, length, blockSize }: Region): { offset: number; length: number }[] {
  const large = Math.ceil(length / blockSize / 2) * blockSize;
  const third = Math.ceil((length - large) / 3);
  const pieces = [{ offset, length: large }];
  for (let at = large; at < length;) {
    const place = Math.floor((at - large) / third);
    const wanted = Math.max([64 * KIB, 4 * KIB, 0][place] ?? 0, blockSize);
    const piece = Math.min(wanted, length - at);
    pieces.push({ offset: offset + at, length: piece });
    at += piece;
  }
  return pieces;
}

async function writeAndRead(client: Disk, region: Region): Promise<Work> {
  const nonce = newNonce();
  const pattern = makePattern(nonce, region.offset, region.length);
  const pieces = cut(region);
  const writing = performance.now();
  await Promise.all(pieces.map(({ offset, length }) => {
    const start = offset - region.offset;
    return client.write(offset, pattern.subarray(start, start + length));
  }));
  await client.flush();
  const reading = performance.now();
  const parts = await readPieces(client, region, pieces);
  const done = performance.now();
  const whole = await client.read(region.offset, region.length);
  const hash = await sha256(pattern);
  const writeRate = megabytesPerSecond(region.length, reading - writing);
  const readRate = megabytesPerSecond(region.length, done - reading);
  const requests = 2 * pieces.length + 2;
  return {
    findings: [
      same("read back in pieces", region, parts, pattern),
      same("read back in one request", region, whole, pattern),
    ],
    figures: {
      offset: region.offset,
      length: region.length,
      sha256: hash,
      nonce,
      requests,
      writeMegabytesPerSecond: writeRate,
      readMegabytesPerSecond: readRate,
    },
    summary: `${requests} requests, ${writeRate} MB/s written, ${readRate} MB/s read`,
    sha256: hash,
  };
}

async function readTwice(client: Disk, region: Region): Promise<Work> {
  const pieces = cut(region);
  const start = performance.now();
  const parts = await readPieces(client, region, pieces);
  const readRate = megabytesPerSecond(region.length, performance.now() - start);
  const whole = await client.read(region.offset, region.length);
  const requests = pieces.length + 1;
  return {
    findings: [same("one request reads what many read", region, whole, parts)],
    figures: {
      offset: region.offset,
      length: region.length,
      requests,
      readMegabytesPerSecond: readRate,
    },
    summary: `${requests} requests, ${readRate} MB/s read`,
  };
}

/** Reads all pieces of a region at once. */
async function readPieces(
  client: Disk,
  region: Region,
  pieces: readonly { readonly offset: number; readonly length: number }[],
): Promise<Uint8Array> {
  const all = new Uint8Array(region.length);
  await Promise.all(pieces.map(async ({ offset, length }) => {
    all.set(await client.read(offset, length), offset - region.offset);
  }));
  return all;
}

function same(name: string, region: Region, found: Uint8Array, wanted: Uint8Array): Finding {
  const at = wanted.findIndex((byte, index) => byte !== found[index]);
  const passed = at < 0 && found.length === wanted.length;
  return {
    name,
    passed,
    detail: passed
      ? `${wanted.length} bytes at ${region.offset} are the same`
      : at < 0
      ? `got ${found.length} bytes, wanted ${wanted.length}`
      : `the first wrong byte is at ${region.offset + at}: ${found[at]}, not ${wanted[at]}`,
  };
}

async function lastBlock(client: Disk): Promise<Finding> {
  const { capacity, blockSize } = client;
  const last = Math.floor(capacity / blockSize) - 1;
  const { length } = await client.read(last * blockSize, blockSize);
  return { name: "last block", passed: length === blockSize, detail: `${length} bytes` };
}

/** The client must not even pass on what cannot be. */
async function refused(client: Disk): Promise<Finding> {
  const name = "behind the end, asked of the client";
  try {
    await client.read(client.capacity, client.blockSize);
    return { name, passed: false, detail: `a read at ${client.capacity} succeeded` };
  } catch (error) {
    return { name, passed: true, detail: `refused by the client: ${(error as Error).message}` };
  }
}

/** Reads the first block behind the end of a block device in a slot, about which its client has no opinion. */
export async function readBehind(
  { slots, capacity, blockSize }: Pick<BlockClient, "slots" | "capacity" | "blockSize">,
): Promise<Behind> {
  const slot = slots.take();
  if (slot < 0) return { passed: false, detail: "no slot is free" };
  const status = await new Promise<number>((resolve) => {
    const length = Math.min(blockSize, slots.bytes);
    slots.submit(slot, BlockOperation.read, capacity / SECTOR, length, (_, status) => {
      slots.release(slot);
      resolve(status);
    });
    slots.publish();
  });
  switch (status) {
    case Status.ok:
      return { passed: false, detail: `the device gave a block at ${capacity}` };
    case Status.refused:
      return { passed: true, detail: "refused by the driver; the device is not asked" };
    case Status.failed:
      return { passed: true, detail: "refused by the device" };
    default:
      throw new RequestError(`Cannot ask for a block at ${capacity}`, status);
  }
}

/** The time that one request of one block takes, in microseconds. */
async function medianLatency(client: Disk, { offset, blockSize }: Region): Promise<number> {
  const times: number[] = [];
  for (let count = 0; count < LATENCY_READS; count++) {
    const start = performance.now();
    await client.read(offset, blockSize);
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  return round(times[LATENCY_READS / 2]! * 1000);
}
