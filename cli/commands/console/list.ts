import type { ConsolePort } from "../../../classes/console/mod.ts";
import type { Command } from "../../command.ts";
import { EXIT } from "../../exit.ts";
import { printDeviceJson } from "../../json.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";
import { printable } from "../../printable.ts";
import { ANNOUNCE_MS } from "./port.ts";

/** Lists the ports of a console device. */
export const consoleList: Command = {
  name: "console list",
  summary: "List the ports of a console device",
  usage: "",
  words: [0, 0],
  options: [DEVICE_OPTION],
  examples: [
    ["console list --machine simulated", "number, kind, other side, size and name of each"],
    ["console list --machine simulated --json", "the same for programs"],
  ],
  notes: [
    "A port is open on the other side if a program listens there. Ports can come and go at any time.",
  ],
  async run(context) {
    await using used = await useDevice(context, "console");
    const { device } = used;
    const ports = await context.until(device.client.announced(ANNOUNCE_MS));
    if (context.options.json) {
      printDeviceJson(context, "console list", used, {
        emergencyWrite: device.client.canEmergencyWrite,
        ports: ports.map(({ id, name, isConsole, connected, size }) => ({
          id,
          name: name === "" ? null : name,
          console: isConsole,
          connected,
          size: size ?? null,
        })),
      });
      return EXIT.done;
    }
    if (ports.length === 0) context.talk(`${device.address} has no ports now`);
    for (const port of ports) context.io.out(printable(line(port)));
    return EXIT.done;
  },
};

function line({ id, name, isConsole, connected, size }: ConsolePort): string {
  return [
    String(id).padStart(2),
    (isConsole ? "console" : "port").padEnd(7),
    (connected ? "open" : "closed").padEnd(6),
    (size ? `${size.columns}x${size.rows}` : "-").padEnd(7),
    name,
  ].join("  ").trimEnd();
}
