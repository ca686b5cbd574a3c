import { assertEquals, assertThrows } from "@std/assert";
import { ask } from "./ask.ts";
import type { DeviceModel, Request } from "./model.ts";
import { PieceRequest } from "./piece_request.ts";

function model(handle: (request: Request) => number | undefined): DeviceModel {
  return { id: 4, queues: [4], handle: (_queue, request) => handle(request) };
}

Deno.test("a request is read and written across its pieces", () => {
  const question = Uint8Array.of(1, 2, 3, 4, 5, 6, 7);
  for (const pieceBytes of [1, 2, 3, 7, 100]) {
    const echo = model((request) => {
      const head = new Uint8Array(2);
      assertEquals(request.read(head), 2);
      const rest = new Uint8Array(10);
      assertEquals(request.read(rest), 5);
      assertEquals(request.readable, 0);
      assertEquals(request.write(rest.subarray(0, 5)), 5);
      assertEquals([request.written, request.writable], [5, 2]);
      assertEquals(request.write(rest), 2);
      return request.written;
    });
    const answer = ask(echo, question, 7, { pieceBytes });
    assertEquals(answer, { written: 7, bytes: Uint8Array.of(3, 4, 5, 6, 7, 3, 4) });
  }
});

Deno.test("a request shows its pieces where they are", () => {
  const lengths: number[] = [];
  const fill = model((request) => {
    for (let piece; (piece = request.nextWritable(3)).length > 0;) {
      lengths.push(piece.length);
      piece.fill(9);
    }
    return request.written;
  });
  assertEquals(ask(fill, new Uint8Array(), 8, { pieceBytes: 4 })?.written, 8);
  assertEquals(lengths, [3, 1, 3, 1]);
});

Deno.test("a request is answered once, with no more than it has room for", () => {
  const room = [new Uint8Array(new SharedArrayBuffer(4))];
  const answers: number[] = [];
  const request = new PieceRequest(room, 0, (written) => answers.push(written));
  assertThrows(() => request.complete(5), RangeError, "room for 4");
  request.complete(4);
  assertThrows(() => request.complete(4), Error, "answered already");
  assertEquals(answers, [4]);
});

Deno.test("a model may answer later", () => {
  assertEquals(ask(model(() => undefined), new Uint8Array(), 1), undefined);
});

Deno.test("a request whose buffers may not be used any more has none left: a model's loop ends", () => {
  let isThere = true;
  const piece = () => new Uint8Array(new SharedArrayBuffer(4));
  const request = new PieceRequest([piece(), piece(), piece()], 2, () => {}, () => isThere);
  assertEquals([request.readable, request.writable], [8, 4]);
  request.nextReadable();
  isThere = false;
  assertEquals([request.readable, request.writable], [0, 0]);
  assertEquals(request.nextReadable().length, 0);
});
