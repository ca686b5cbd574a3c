/** The most bytes of a string, in either direction ("Conventions"). */
export const MOST_TEXT = 4096;

/** The bytes of a string for a client: cut behind a character if it is too long, and without NUL. */
export function textBytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(MOST_TEXT);
  const { written } = new TextEncoder().encodeInto(text.replaceAll("\0", " "), bytes);
  return bytes.subarray(0, written);
}

/** The string in these bytes; undefined if they are none: too long, not UTF-8, or with a NUL. */
export function textOf(bytes: Uint8Array): string | undefined {
  if (bytes.length > MOST_TEXT || bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
