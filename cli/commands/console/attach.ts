import type { ConsolePort } from "../../../classes/console/mod.ts";
import type { Command, Context } from "../../command.ts";
import { EXIT, usageError } from "../../exit.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";
import { openPort, takenAway } from "./port.ts";

/** Ctrl-]: what telnet and virsh leave by. */
const ESCAPE = 0x1d;

/** Makes this terminal that of a port. */
export const consoleAttach: Command = {
  name: "console attach",
  summary: "Make this terminal that of a port; Ctrl-] ends it",
  usage: "<name or number>",
  words: [1, 1],
  standing: true,
  options: [DEVICE_OPTION],
  examples: [
    ["console attach org.virtio.echo --machine simulated", "a port that sends back what you type"],
    ["console attach 0", "the console"],
  ],
  notes: [
    "All keys go to the port, Ctrl-C too; only Ctrl-] does not: it ends the command and leaves the port.",
    "What you type waits while the other side is closed. The size of this terminal is not told: that",
    "of a console is the device's to say.",
  ],
  async run(context) {
    const { input } = context.io;
    if (!input.terminal) {
      throw usageError(
        "Cannot attach what is no terminal: console pipe is for files, pipes and scripts",
      );
    }
    await using used = await useDevice(context, "console");
    const port = await openPort(context, used.device.client);
    context.talk(`Attached to port ${port.id}${port.name && ` (${port.name})`}. Ctrl-] ends it`);
    const over = new AbortController();
    const signal = AbortSignal.any([context.signal, over.signal]);
    input.raw(true);
    try {
      await Promise.race([typing(context, port), showing(context, port, signal)]);
    } finally {
      over.abort();
      input.raw(false);
    }
    // A line of its own for the shell.
    context.talk("\nDetached");
    await context.until(port.close());
    return EXIT.done;
  },
};

/** Sends what is typed, until the escape key or the end of the input. */
async function typing(context: Context, port: ConsolePort): Promise<void> {
  const keys = new Uint8Array(4096);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  for (;;) {
    const length = await context.until(Promise.race([context.io.input.read(keys), failed.promise]));
    if (length === null) return;
    const typed = keys.slice(0, length);
    const end = typed.indexOf(ESCAPE);
    // Not awaited: the escape key must work while the other side is closed.
    port.write(end < 0 ? typed : typed.subarray(0, end)).catch((error) => {
      if (end < 0) failed.reject(error);
    });
    if (end >= 0) return;
  }
}

/** Shows what comes, until the port goes away. */
async function showing(context: Context, port: ConsolePort, signal: AbortSignal): Promise<void> {
  for (;;) {
    const bytes = await port.read(signal);
    if (bytes) context.io.write(bytes);
    else if (port.isGone) throw takenAway(port);
    else context.talk("\r\nThe other side closed the port; waiting for it. Ctrl-] ends it\r");
  }
}
