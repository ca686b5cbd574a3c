import { usageError } from "../exit.ts";

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/**
 * A number of bytes as a person writes it: `4096`, `4K`, `64M`.
 *
 * @param name The option that it is the value of.
 * @throws {CliError} With status 2, if it is none.
 */
export function parseSize(name: string, text: string): number {
  const [, digits, unit = ""] = /^(\d+)([KMGT]?)(?:iB|i?b)?$/i.exec(text) ?? [];
  const bytes = Number(digits) * (UNITS[unit.toUpperCase()] ?? NaN);
  if (Number.isSafeInteger(bytes)) return bytes;
  throw usageError(
    `Unknown value ${JSON.stringify(text)} for --${name}: wanted bytes, like 4096, 4K or 64M`,
  );
}

/** A number of bytes for people: `64 MiB`. By hand: that of `@std/fmt` has no KiB but kiB, and makes 1020 of 1023. */
export function formatSize(bytes: number): string {
  const names = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < names.length - 1) {
    bytes /= 1024;
    unit++;
  }
  const number = Number(bytes.toPrecision(4));
  return unit === 0 && number === 1 ? "1 byte" : `${number} ${names[unit]}`;
}

/** A number of bytes, and in larger units where there are any: `67108864 bytes (64 MiB)`, `512 bytes`. */
export function sizeInFull(bytes: number): string {
  return bytes < 1024 ? formatSize(bytes) : `${bytes} bytes (${formatSize(bytes)})`;
}
