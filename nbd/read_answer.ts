import {
  Chunk,
  CHUNK_BYTES,
  DONE,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from "./protocol.ts";

/** Bytes before the data of a read's answer. */
export function headBytes(structured: boolean): number {
  return structured ? CHUNK_BYTES + 8 : SIMPLE_REPLY_BYTES;
}

/**
 * Puts what stands before the data of a read's answer.
 *
 * @param cookieHigh The client's own name of the request, with `cookieLow` in two halves.
 */
export function putHead(
  view: DataView<ArrayBuffer>,
  at: number,
  structured: boolean,
  cookieHigh: number,
  cookieLow: number,
  offset: number,
  length: number,
): void {
  view.setUint32(at + 8, cookieHigh);
  view.setUint32(at + 12, cookieLow);
  if (!structured) {
    view.setUint32(at, SIMPLE_REPLY_MAGIC);
    view.setUint32(at + 4, 0);
    return;
  }
  view.setUint32(at, STRUCTURED_REPLY_MAGIC);
  view.setUint16(at + 4, DONE);
  view.setUint16(at + 6, Chunk.OFFSET_DATA);
  view.setUint32(at + 16, 8 + length);
  view.setUint32(at + 20, Math.floor(offset / 2 ** 32));
  view.setUint32(at + 24, offset % 2 ** 32);
}
