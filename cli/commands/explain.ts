import { formatMatch, virtioTypeName } from "../../machine/mod.ts";
import type { Node } from "../../mod.ts";
import type { Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { deviceJson, driverJson, machineJson, printJson } from "../json.ts";
import { wrapped } from "../layout.ts";
import { lspciLine } from "../lspci.ts";
import { findNode, openKernel } from "../kernel.ts";

/** Tells how a device came to its driver. */
export const explain: Command = {
  name: "explain",
  summary: "Tell why a device has the driver that it has, or none",
  usage: "<address>",
  words: [1, 1],
  idle: "It compares what a device and drivers say of themselves, and runs none",
  examples: [
    ["explain 00:03.0", "every rule that was tried, and what did not fit"],
    ["explain 00:03.0 --plugins ./mine", "why does my driver not get this device?"],
  ],
  notes: ["Of the rules that fit, the one with the most digits wins; of equal ones, the first."],
  async run(context) {
    await using kernel = await openKernel(context);
    const node = findNode(kernel, context.words[0]!);
    const names = context.io.names();
    if (context.options.json) {
      const rules = node.tried.map(({ manifest, match, result }) => ({
        driver: driverJson(manifest),
        match,
        fits: result === true,
        mismatch: result === true ? null : result,
      }));
      const machine = machineJson(kernel.machine);
      const device = deviceJson(node, names);
      printJson(context, "explain", { machine, device, rules, verdict: verdict(node) });
      return EXIT.done;
    }
    const { out } = context.io;
    out(lspciLine(node.function.address, node.identity, names, true));
    const { virtio } = node.identity;
    if (virtio) {
      out(
        `VirtIO ${virtioTypeName(virtio.type)} device (type ${virtio.type}), ${virtio.generation}`,
      );
    }
    for (const { manifest, match, result } of node.tried) {
      const why = result === true
        ? context.style.good("fits")
        : `${context.style.bad("no")}, ${result.field} is ${result.found}`;
      out(`  ${manifest.name}: ${formatMatch(match)}: ${why}`);
    }
    wrapped(verdict(node), context.columns).forEach((line) => out(line));
    return EXIT.done;
  },
};

/** One sentence on the outcome. */
function verdict({ manifest, tried, function: { refusal } }: Node): string {
  if (!manifest) return `No driver: none of ${tried.length} rules fits`;
  if (refusal !== undefined) return `${manifest.name} fits, but may not have it: ${refusal}`;
  return `${manifest.name} drives it`;
}
