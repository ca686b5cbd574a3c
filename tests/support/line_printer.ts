/**
 * A program that serves a printer by vhost-user: a console that appends what it is told to a file at once, and says so a
 * little later. One that is killed has printed some of what it has not answered.
 *
 *     line_printer.ts <socket> <file>
 *
 * @module
 */

import { serveVhostUser } from "../../serve/mod.ts";
import type { DeviceModel, Request } from "../../simulation/mod.ts";

const [socket, file] = Deno.args as [string, string];
const TRANSMIT = 1;
const ANSWER_MS = 2;
const F_SIZE = 1n;

const paper = Deno.openSync(file, { append: true, create: true });

function print(request: Request): void {
  const bytes = new Uint8Array(request.readable);
  request.read(bytes);
  paper.writeSync(bytes);
  setTimeout(() => request.complete(0), ANSWER_MS);
}

const printer: DeviceModel = {
  id: 3,
  queues: [64, 64],
  features: F_SIZE,
  config: Uint8Array.of(80, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  handle(queue, request) {
    if (queue === TRANSMIT) print(request);
    return undefined;
  },
};

await serveVhostUser(printer, socket).ended;
