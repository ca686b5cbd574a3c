// One request to a device model, as a driver would put it.

import type { DeviceModel } from "./model.ts";
import { type Piece, PieceRequest } from "./piece_request.ts";

/** How to put a question to a model. */
export interface AskOptions {
  /** Number of the queue; 0 if absent. */
  readonly queue?: number;
  /** Cuts all buffers into pieces of so many bytes; whole if absent. */
  readonly pieceBytes?: number;
}

/** A model's answer. */
export interface Answer {
  /** How many bytes it says it has written. */
  readonly written: number;
  /** All the room that it had; what it left alone is 0xff. */
  readonly bytes: Uint8Array;
}

/**
 * Puts one request to a model, without a machine and without a driver: for unit tests of models.
 *
 * @param bytes What the request has to read.
 * @param room How many bytes it has to write into.
 * @returns The answer; undefined if the model has not answered yet.
 */
export function ask(
  model: DeviceModel,
  bytes: Uint8Array,
  room: number,
  options: AskOptions = {},
): Answer | undefined {
  const readable = new Uint8Array(new SharedArrayBuffer(bytes.length));
  readable.set(bytes);
  const writable = new Uint8Array(new SharedArrayBuffer(room)).fill(0xff);
  const most = options.pieceBytes ?? Infinity;
  let written: number | undefined;
  const pieces = [cut(readable, most), cut(writable, most)] as const;
  const request = new PieceRequest(pieces.flat(), pieces[0].length, (count) => {
    written = count;
  });
  const now = model.handle(options.queue ?? 0, request);
  if (now !== undefined) request.complete(now);
  return written === undefined ? undefined : { written, bytes: writable };
}

function cut(bytes: Piece, most: number): Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes.length; at += most) pieces.push(bytes.subarray(at, at + most));
  return pieces;
}
