import type { Binding, HandingDriver } from "../machine/mod.ts";
import { wholeAddress } from "./address.ts";
import type { CommandOption, Context } from "./command.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { printJson } from "./json.ts";

/** The options that bind and unbind share. */
export const BINDING_OPTIONS: readonly CommandOption[] = [
  { name: "dry-run", summary: "only say what would be done" },
  {
    name: "force",
    value: "<address,...>",
    summary: "take these, too, although the machine uses them",
  },
];

/** Hands the functions that the user named to a driver, or back to the kernel, and prints what became of each. */
export async function rebind(
  context: Context,
  command: "bind" | "unbind",
  driver: HandingDriver | undefined,
): Promise<ExitCode> {
  const { words, given, options, io } = context;
  const force = typeof given.force === "string" ? given.force.split(",") : [];
  const dryRun = given["dry-run"] === true;
  const bindings = await io.system.rebind({
    addresses: [...new Set(words.map(wholeAddress))],
    driver,
    force: force.map(wholeAddress),
    dryRun,
  });
  if (options.json) {
    printJson(context, command, {
      dryRun,
      devices: bindings.map(({ address, before, after, iommuGroup }) => ({
        address,
        before: before ?? null,
        after: after ?? null,
        iommuGroup: iommuGroup ?? null,
      })),
    });
    return EXIT.done;
  }
  for (const { address, before, after } of bindings) {
    const now = after ?? (dryRun ? "what the kernel chooses" : "no driver");
    io.out(`${address}: ${before ?? "no driver"} -> ${now}${dryRun ? " (not done)" : ""}`);
  }
  if (!dryRun) { for (const line of next(command, bindings)) context.talk(line); }
  return EXIT.done;
}

/** How to undo it, and what is good to know. */
function next(command: "bind" | "unbind", bindings: readonly Binding[]): string[] {
  const changed = bindings.filter(({ before, after }) => before !== after);
  const addresses = changed.map(({ address }) => address).join(" ");
  if (changed.length === 0) return [];
  if (command === "unbind") {
    const [{ before } = {}] = changed;
    return [`To undo: bind ${addresses} --driver ${before}`];
  }
  const [{ after } = {}] = changed;
  const groups = [...new Set(changed.map(({ iommuGroup }) => iommuGroup))];
  return [
    `To undo: unbind ${addresses}`,
    ...(after === "vfio-pci"
      ? groups.map((group) => `To let a user other than root in: chown <user> /dev/vfio/${group}`)
      : ["Nothing keeps what is driven this way from reaching all memory: --unsafe-dma is needed"]),
  ];
}
