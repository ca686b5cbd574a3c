import { stripVTControlCharacters } from "node:util";

/** What became of a program that met a device that lies. */
export type Outcome =
  /** It works with the device, or serves all its data. */
  | "PASS"
  /** It gives the device up, with an error or by taking no notice of it, and goes on. */
  | "REFUSED"
  /** It waits, or is busy, for ever. */
  | "WEDGED"
  /** It ends, or is of no use any more. */
  | "CRASH"
  /** The device never came so far. */
  | "-";

/** An outcome, and what the program said itself. */
export interface Verdict {
  readonly outcome: Outcome;
  /** Its own line; empty if it said nothing. */
  readonly said: string;
}

/** Nothing was seen. */
export const NOTHING: Verdict = { outcome: "-", said: "" };

/** Lines of Linux that tell of a crash, the most telling first. */
const CRASHES = [
  /kernel BUG at/,
  /\bBUG: /,
  /\bOops\b/,
  /general protection/,
  /UBSAN/,
  /Kernel panic/,
];
/** Lines of its log that are of no interest. */
const NOISE =
  /^\[[^\]]*\] (pci|pcieport|pci_bus|ACPI|random|clocksource|workqueue)\b|io scheduler|poll queues|enabling device|logical blocks/;

/** The line of a crash among those of a Linux, if there is one. */
export function crashLine(lines: readonly string[]): string | undefined {
  for (const crash of CRASHES) {
    const line = lines.find((each) => crash.test(each));
    if (line) return trimmed(line);
  }
  return undefined;
}

/** The line that tells most of what a Linux thinks of a device: the first about it. */
export function tellingLine(lines: readonly string[]): string {
  const telling = lines.filter((line) => /^\[/.test(line) && !NOISE.test(line));
  const found = telling.find((line) =>
    /virtio|vd[a-z]|blk_update|hung task|blocked for/i.test(line)
  );
  return trimmed(found ?? "");
}

/** Without the time and what steers a terminal, and cut. */
export function trimmed(line: string): string {
  const text = stripVTControlCharacters(line).replace(/^\[\s*[\d.]+\]\s*/, "")
    .replace(/[^\x20-\x7e]/g, "").trim();
  return text.length > 110 ? `${text.slice(0, 109)}…` : text;
}
