import type { PciNames } from "../../machine/mod.ts";
import type { Node } from "../../mod.ts";
import type { Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { deviceJson, machineJson, printJson } from "../json.ts";
import { table } from "../layout.ts";
import { hex, lspciLine, needsDomain, shortAddress, whatItIs } from "../lspci.ts";
import { printable } from "../printable.ts";
import { openKernel } from "../kernel.ts";

/** Lists the PCI functions. */
export const ls: Command = {
  name: "ls",
  summary: "List the PCI functions, and what drives each",
  usage: "",
  words: [0, 0],
  examples: [
    ["ls", "the functions of this machine"],
    ["ls --verbose", "as lspci -nn prints them, and all that is known of each"],
    ["ls --machine qemu", "those of a QEMU machine that is started for it"],
    ["ls --json", "the same for programs"],
  ],
  notes: [
    "A line for each: its address, its numbers, our driver for it, the kernel driver that holds it, its IOMMU group",
    "where there are such, and what it is. With --verbose it is the line of lspci -nn, and all that is known beneath it.",
    "",
    "A driver in brackets fits, but may not take the function; explain <address> says why.",
    "",
    "UNSAFE DMA: nothing keeps the device from reaching all memory of this machine.",
    "",
    "NO ROOM: a part of it cannot be reached; a driver that does not need it works all the same.",
  ],
  async run(context) {
    await using kernel = await openKernel(context);
    const { nodes, machine } = kernel;
    const names = context.io.names();
    if (context.options.json) {
      const devices = nodes.map((node) => deviceJson(node, names));
      printJson(context, "ls", { machine: machineJson(machine), devices });
      return EXIT.done;
    }
    if (nodes.length === 0) context.talk(`No PCI functions: ${machine.description}`);
    const withDomain = needsDomain(nodes.map((node) => node.function.address));
    const lines = context.options.verbose
      ? nodes.flatMap((node) => details(node, names, withDomain))
      : rows(nodes, names, withDomain, context.columns);
    for (const line of lines) context.io.out(printable(line));
    return EXIT.done;
  },
};

/** A line for each, beneath what stands in it. */
function rows(
  nodes: readonly Node[],
  names: PciNames,
  withDomain: boolean,
  columns: number | undefined,
): string[] {
  if (nodes.length === 0) return [];
  const hasGroups = nodes.some((node) => node.function.iommuGroup !== undefined);
  const heading = ["address", "numbers", "driver", "kernel", ...(hasGroups ? ["group"] : [])];
  const cells = nodes.map(({ function: found, identity, manifest }) => {
    const { kernelDriver, iommuGroup, unsafeDma, noRoom, refusal } = found;
    const driver = manifest?.name ?? "-";
    const marks = [
      ...(unsafeDma === undefined ? [] : ["UNSAFE DMA"]),
      ...(noRoom === undefined ? [] : ["NO ROOM"]),
    ];
    return [
      shortAddress(found.address, withDomain),
      `${hex(identity.vendor, 4)}:${hex(identity.device, 4)}`,
      manifest && refusal !== undefined ? `(${driver})` : driver,
      kernelDriver ?? "-",
      ...(hasGroups ? [String(iommuGroup ?? "-")] : []),
      [...marks, whatItIs(identity, names)].join(", "),
    ];
  });
  return table([[...heading, "device"], ...cells], columns);
}

/** All that is known of one. */
function details(
  { function: found, identity, manifest }: Node,
  names: PciNames,
  withDomain: boolean,
): string[] {
  const { address, kernelDriver, iommuGroup, unsafeDma, noRoom, refusal } = found;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ["kernel", kernelDriver ?? "-"],
    ["group", iommuGroup?.toString()],
    ["driver", manifest ? `${manifest.name} (${manifest.file})` : "-"],
    ["not taken", manifest && refusal],
    ["UNSAFE DMA", unsafeDma],
    ["NO ROOM", noRoom],
  ];
  return [
    lspciLine(address, identity, names, withDomain),
    ...facts.flatMap(([name, fact]) => fact === undefined ? [] : [`  ${name}: ${fact}`]),
  ];
}
