/**
 * The complement of the ones' complement sum of bytes (RFC 1071), as a 16-bit number in network order.
 *
 * @param start First byte.
 * @param end The byte behind the last.
 * @param sum What else is part of the sum, for example that of a pseudo header.
 */
export function internetChecksum(
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
  sum = 0,
): number {
  let at = start;
  for (; at + 1 < end; at += 2) sum += bytes[at]! << 8 | bytes[at + 1]!;
  if (at < end) sum += bytes[at]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/**
 * Completes a frame that holds the sum of the pseudo header only (virtio 1.4, 5.1.9.2).
 *
 * @param start First byte that the sum is of.
 * @param offset Where it goes, from there.
 */
export function fillChecksum(frame: Uint8Array, start: number, offset: number): void {
  const sum = internetChecksum(frame, start) || 0xffff; // all zero would mean that there is none
  frame[start + offset] = sum >>> 8;
  frame[start + offset + 1] = sum & 0xff;
}
