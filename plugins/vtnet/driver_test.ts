import { network } from "../../classes/network/mod.ts";
import { testedDriver } from "../../tests/support/driver.ts";
import vtnet from "./mod.ts";
import { NetModel } from "./model.ts";

const FRAMES = 30;
/** A type of frame that no network uses (IEEE 802, local experimental). */
const EXPERIMENTAL = [0x88, 0xb5];
/** How long an answer is waited for before the frame is sent again: networks lose some. */
const LOST_MS = 100;

/** A card whose wire ends in a mirror. */
function mirror(): NetModel {
  const model = new NetModel();
  model.peer = (frame) => {
    if (frame[12] === EXPERIMENTAL[0] && frame[13] === EXPERIMENTAL[1]) model.receive(frame);
  };
  return model;
}

Deno.test("vtnet: the driver passes all that drivers are tested for", async () => {
  await testedDriver(vtnet, mirror, {
    folder: import.meta.dirname!,
    class: network,
    async use({ client, signal }) {
      const heard = new Set<number>();
      const frames = client.frames();
      const listening = (async () => {
        for await (const { bytes } of frames) heard.add(bytes[14]!);
      })();
      try {
        for (let each = 0; each < FRAMES; each++) {
          const frame = new Uint8Array(60 + 40 * each).fill(each);
          frame.set([...client.mac, ...client.mac, ...EXPERIMENTAL]);
          while (!heard.has(each)) {
            signal.throwIfAborted();
            await client.send(frame);
            const lost = performance.now() + LOST_MS;
            while (!heard.has(each) && performance.now() < lost) {
              await new Promise((resolve) => setTimeout(resolve, 1));
            }
          }
        }
        // More than a queue has room for.
        await Promise.all(Array.from({ length: 600 }, () => client.send(new Uint8Array(60))));
      } finally {
        frames[Symbol.dispose]();
        await listening;
      }
    },
  });
});
