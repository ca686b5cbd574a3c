import { assert, assertEquals, assertThrows } from "@std/assert";
import { simulatedDevices } from "../drivers.ts";
import type { Feed } from "../core/class/mod.ts";
import { openKernel } from "../mod.ts";
import "./support/libc.ts";

/** What is the same for all clients. */
interface Client {
  changes(signal?: AbortSignal): Feed<unknown>;
}

const CLASSES = ["block", "network", "console", "balloon", "scsi"] as const;

/** Reads to the end. */
async function end(feed: Feed<unknown>): Promise<void> {
  for await (const _ of feed);
}

Deno.test("changes() of each client ends with its signal, with its loop and with the device #core:changes", async () => {
  const kernel = await openKernel({ machine: "simulated", devices: simulatedDevices() });
  const last: Promise<void>[] = [];
  try {
    for (const name of CLASSES) {
      const client: Client = (await kernel.attachFirst(name)).client;
      const over = new AbortController();
      const aborted = end(client.changes(over.signal));
      last.push(end(client.changes()));
      over.abort();
      await aborted;
      await end(client.changes(over.signal));
      const left = client.changes();
      await left.return!();
      assertEquals((await left.next()).done, true);
      const { message } = assertThrows(() => client.changes(1 as never), TypeError);
      assert(/signal of \w+Client.changes: it is 1, wanted an AbortSignal/.test(message), message);
    }
  } finally {
    await kernel[Symbol.asyncDispose]();
  }
  await Promise.all(last);
});
