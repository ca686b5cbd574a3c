import {
  type CheckOptions,
  type CheckResult,
  type Finding,
  megabytesPerSecond,
} from "../../core/class/mod.ts";
import type { EntropyClient } from "./client.ts";

const READ_BYTES = 4096;
const BLOCK_BYTES = 16;

/**
 * Chi-square of 256 equally likely bytes has a mean of 255. Outside of these bounds lies about one good source in
 * 10^11; above is a source that prefers some bytes, below one that counts.
 */
const LEAST_CHI_SQUARE = 110, GREATEST_CHI_SQUARE = 436;

/** Reads twice from an entropy source. A check like this finds what is broken; it cannot prove randomness. */
export async function checkEntropy(
  client: Pick<EntropyClient, "read"> & Partial<Pick<EntropyClient, "health">>,
  { step }: CheckOptions,
): Promise<CheckResult> {
  step?.(
    `reading ${2 * READ_BYTES} random bytes`,
    () => `${client.health?.bytes ?? 0} came`,
  );
  const start = performance.now();
  const first = await client.read(READ_BYTES);
  const second = await client.read(READ_BYTES);
  const milliseconds = performance.now() - start;
  const bytes = first.length + second.length;
  const rate = megabytesPerSecond(bytes, milliseconds);
  return {
    findings: judge(first, second),
    figures: { bytes, requests: 2, milliseconds, megabytesPerSecond: rate },
    summary: `2 reads, ${bytes} bytes, ${rate} MB/s`,
  };
}

/** What two reads say about their source. */
export function judge(first: Uint8Array, second: Uint8Array): Finding[] {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  const chi = chiSquare(both);
  const repeated = repeatedBlocks(both);
  return [
    {
      name: "length",
      passed: first.length === READ_BYTES && second.length === READ_BYTES,
      detail: `asked for ${READ_BYTES} bytes twice, got ${first.length} and ${second.length}`,
    },
    {
      name: "alive",
      passed: [first, second].every((bytes) => bytes.some((byte) => byte !== bytes[0])),
      detail: "not all bytes of a read are the same",
    },
    {
      name: "fresh",
      passed: first.some((byte, index) => byte !== second[index]),
      detail: "two reads differ",
    },
    {
      name: "no repetition",
      passed: repeated === 0,
      detail: `${repeated} of ${Math.floor(both.length / BLOCK_BYTES)} blocks of ${BLOCK_BYTES} ` +
        "bytes came before",
    },
    {
      name: "distribution",
      passed: chi >= LEAST_CHI_SQUARE && chi <= GREATEST_CHI_SQUARE,
      detail: `chi-square of the bytes is ${chi.toFixed(0)}, ` +
        `plausible is ${LEAST_CHI_SQUARE} to ${GREATEST_CHI_SQUARE}`,
    },
  ];
}

/** How far the counts of the 256 bytes are from equal. */
function chiSquare(bytes: Uint8Array): number {
  const counts = new Uint32Array(256);
  for (const byte of bytes) counts[byte]!++;
  const expected = bytes.length / 256;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** Finds a driver that hands out the same buffer again, and one that fills only a part of it. */
function repeatedBlocks(bytes: Uint8Array): number {
  const seen = new Set<string>();
  let repeated = 0;
  for (let at = 0; at + BLOCK_BYTES <= bytes.length; at += BLOCK_BYTES) {
    const block = bytes.subarray(at, at + BLOCK_BYTES).join();
    if (seen.has(block)) repeated++;
    seen.add(block);
  }
  return repeated;
}
