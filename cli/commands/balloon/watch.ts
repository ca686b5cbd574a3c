import type { Command } from "../../command.ts";
import { endedByPerson, EXIT } from "../../exit.ts";
import { goneError } from "../../gone.ts";
import { SCHEMA } from "../../json.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";

/** Follows a balloon. */
export const balloonWatch: Command = {
  name: "balloon watch",
  summary: "Give memory to a hypervisor as it asks for it, and tell of each change, until ended",
  usage: "",
  words: [0, 0],
  standing: true,
  options: [DEVICE_OPTION],
  examples: [
    ["balloon watch --machine simulated", "the balloon of a machine made of device models"],
    ["balloon watch --device 00:04.0 --json", "a line of JSON for each change"],
  ],
  notes: [
    "At the end the balloon is emptied: all pages come back. Only pages of the driver's own arena are given.",
  ],
  async run(context) {
    const { io, signal, options } = context;
    await using used = await useDevice(context, "balloon");
    const { device } = used;
    let open = true;
    for await (const state of device.client.changes(signal)) {
      if (signal.aborted || !open) break;
      const { requested, target, actual } = state;
      const line = options.json
        ? JSON.stringify({
          schema: SCHEMA,
          command: "balloon watch",
          address: device.address,
          restarts: device.restarts,
          ...state,
        })
        : `hypervisor wants ${requested} pages, target ${target}, in balloon ${actual}`;
      open = io.write(new TextEncoder().encode(`${line}\n`));
    }
    if (endedByPerson(signal)) return EXIT.done;
    signal.throwIfAborted();
    if (open) throw await goneError(context, device);
    return EXIT.done;
  },
};
