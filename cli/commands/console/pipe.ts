import { delay } from "@std/async";
import type { ConsolePort } from "../../../classes/console/mod.ts";
import type { Command, Context } from "../../command.ts";
import { EXIT, usageError } from "../../exit.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";
import { openPort, takenAway } from "./port.ts";

/** How long an answer may take after the last byte was sent, in seconds, if the user does not say. */
const LINGER = 0.5;

/** Connects standard input and output to a port. */
export const consolePipe: Command = {
  name: "console pipe",
  summary: "Send the standard input to a port, and print what comes from it",
  usage: "<name or number>",
  words: [1, 1],
  standing: true,
  options: [DEVICE_OPTION, {
    name: "linger",
    value: "<seconds>",
    summary:
      `after the end of the input, how long the port must be silent before all ends (${LINGER})`,
  }],
  examples: [
    ["console pipe org.virtio.echo --machine simulated < file", "a port that sends it back"],
    ["console pipe org.qemu.guest_agent.0", "until the other side closes the port"],
  ],
  notes: [
    "It ends when the other side closes the port; or, after the end of the input, when all of it was taken and",
    "nothing more has come for a while. Then the port is closed.",
  ],
  async run(context) {
    const linger = lingerOf(context);
    await using used = await useDevice(context, "console");
    const port = await openPort(context, used.device.client);
    const over = new AbortController();
    const signal = AbortSignal.any([context.signal, over.signal]);
    const activity = { last: performance.now() };
    try {
      await context.until(Promise.race([
        printing(context, port, signal, activity),
        sending(context, port).then(() => silence(activity, linger, signal)),
      ]));
    } finally {
      over.abort();
    }
    if (port.isGone) throw takenAway(port);
    await context.until(port.close());
    return EXIT.done;
  },
};

function lingerOf({ given: { linger = String(LINGER) } }: Context): number {
  const seconds = Number(linger);
  if (linger !== "" && seconds >= 0 && seconds <= 3600) return seconds * 1000;
  throw usageError(`Cannot use --linger ${linger}: wanted seconds, 0 to 3600`);
}

/** Sends the input, no faster than the port takes it. */
async function sending(context: Context, port: ConsolePort): Promise<void> {
  const buffer = new Uint8Array(65536);
  for (;;) {
    const length = await context.io.input.read(buffer);
    if (length === null) return;
    await port.write(buffer.subarray(0, length));
  }
}

/** Prints what comes, until the other side closes the port, or our output is closed. */
async function printing(
  context: Context,
  port: ConsolePort,
  signal: AbortSignal,
  activity: { last: number },
): Promise<void> {
  for (let bytes = await port.read(signal); bytes; bytes = await port.read(signal)) {
    activity.last = performance.now();
    if (!context.io.write(bytes)) return;
  }
}

/** Waits until nothing has come for a while. */
async function silence(
  activity: { last: number },
  milliseconds: number,
  signal: AbortSignal,
): Promise<void> {
  activity.last = performance.now();
  for (;;) {
    const left = activity.last + milliseconds - performance.now();
    if (left <= 0 || signal.aborted) return;
    await delay(left);
  }
}
