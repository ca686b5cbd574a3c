/** Every 512 bytes of a pattern tell by themselves which program wrote them, when, and where they belong. */
const UNIT_BYTES = 512;

/** 16 hexadecimal digits that no check had before. */
export function newNonce(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Bytes to write to a disk: each unit starts with a line of text that names the nonce and the disk offset, so
 * that a user finds it in the backing file, and goes on with noise that depends on both.
 */
export function makePattern(
  nonce: string,
  offset: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  const encoder = new TextEncoder();
  const seed = parseInt(nonce.slice(0, 8), 16);
  for (let at = 0; at < length; at += UNIT_BYTES) {
    const unit = bytes.subarray(at, at + UNIT_BYTES);
    const text = encoder.encode(`virtio for Deno check ${nonce} at ${offset + at}\n`);
    // xorshift32, which must not start at zero; the unit's number goes in multiplied, to spread neighbours.
    let state = (seed ^ Math.imul((offset + at) / UNIT_BYTES + 1, 0x9e3779b1)) | 1;
    for (let index = 0; index < unit.length; index++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      unit[index] = text[index] ?? state;
    }
  }
  return bytes;
}

/** SHA-256 in lower-case hexadecimal digits, as sha256sum prints it. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
