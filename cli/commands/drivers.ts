import { formatMatch, tunableValues } from "../../machine/mod.ts";
import type { Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { manifestJson, printJson } from "../json.ts";
import { printable } from "../printable.ts";

/** Lists the drivers. */
export const drivers: Command = {
  name: "drivers",
  summary: "List the drivers, and the devices that each is for",
  usage: "",
  words: [0, 0],
  idle: "It reads what drivers say of themselves, and runs none",
  examples: [
    ["drivers", "our own drivers"],
    ["drivers --plugins ./mine", "those of the folder ./mine as well"],
  ],
  notes: [
    "Only the manifests are read; no driver runs. What this machine lacks of the walls around a driver is told, too.",
  ],
  async run(context) {
    const drivers = await context.io.system.loadDrivers(context.options.plugins);
    const manifests = drivers.map(({ manifest }) => manifest);
    const walls = await context.io.system.walls();
    if (context.options.json) {
      printJson(context, "drivers", {
        drivers: manifests.map(manifestJson),
        walls: walls.map(({ name, state, found }) => ({ name, state, found })),
      });
      return EXIT.done;
    }
    if (manifests.length === 0) context.talk("No drivers");
    for (
      const { name, version, description, file, match, limits, tunables, ...manifest } of manifests
    ) {
      const title = [name, version, `(${manifest.class})`, description].filter((part) => part);
      context.io.out(title.join(" "));
      for (const rule of match) context.io.out(`  for ${formatMatch(rule)}`);
      context.io.out(`  may use ${limits.memoryMiB} MiB for DMA, ${limits.heapMiB} MiB of heap`);
      for (const tunable of tunables) {
        context.io.out(
          `  --tune ${name}.${tunable.name}=${tunable.usual}  (${tunableValues(tunable)})`,
        );
      }
      context.io.out(`  from ${file}`);
    }
    for (const { name, state, found } of walls) {
      if (state !== "ok") context.talk(`${name}: ${printable(found)}`);
    }
    return EXIT.done;
  },
};
