import { assert } from "@std/assert";
import { RequestError, Status } from "@virtio/deno/class";
import { console as consoleClass } from "../../classes/console/mod.ts";
import { testedDriver } from "../../tests/support/driver.ts";
import consoleDriver from "./mod.ts";
import { ConsoleModel } from "./model.ts";

const BYTES = 6000;

for (const several of [true, false]) {
  const what = several ? "many ports" : "one port";
  Deno.test(`console: the driver passes all that drivers are tested for (${what})`, async () => {
    let round = 0;
    const model = () => new ConsoleModel(several ? { ports: { 0: { echo: true } } } : {});
    await testedDriver(consoleDriver, model, {
      folder: import.meta.dirname!,
      class: consoleClass,
      // Nothing tells the bytes of a stream from others, nor their order.
      mayGarble: ["D-45", "D-46", "D-47", "D-62", "D-66"],
      async use({ client, model, signal }) {
        const port = await client.find(0);
        if (!port) throw new RequestError("Cannot find port 0", Status.gone);
        await port.open();
        const sent = new Uint8Array(BYTES).fill(++round);
        // Where the write fails, the reader must not take the bytes of the next use.
        const over = new AbortController();
        const until = AbortSignal.any([signal, over.signal]);
        const read = async () => {
          for (let at = 0; at < BYTES;) {
            const bytes = await port.read(until);
            assert(bytes, "the port stays open");
            // What an earlier use was interrupted in may come first.
            assert(bytes.every((byte) => byte <= sent[0]!), "these are bytes that were sent");
            at += bytes.filter((byte) => byte === sent[0]).length;
          }
        };
        // What is on its way when a queue is reset is lost: no console asks for it again.
        const send = () => model.send(0, sent);
        if (!several) send();
        const again = several ? undefined : setInterval(send, 500);
        const both = [port.write(sent), read()];
        try {
          await Promise.all(both);
        } finally {
          clearInterval(again);
          over.abort();
          await Promise.allSettled(both);
        }
      },
    });
  });
}
