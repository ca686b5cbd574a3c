import type { Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { machineJson, nodeJson, printJson } from "../json.ts";
import { lspciLine, needsDomain } from "../lspci.ts";
import { openKernel } from "../kernel.ts";

/** Lists the PCI functions. */
export const ls: Command = {
  name: "ls",
  summary: "List the PCI functions, and what drives each",
  usage: "",
  words: [0, 0],
  examples: [
    ["ls", "the functions of this machine, as lspci -nn prints them"],
    ["ls --machine qemu", "those of a QEMU machine that is started for it"],
    ["ls --json", "the same for programs"],
  ],
  notes: [
    "After the line of lspci: the kernel driver that holds the function, its IOMMU group, our driver for it.",
    "A driver in brackets fits, but may not take the function; explain <address> says why.",
    "UNSAFE DMA: nothing keeps the device from reaching all memory of this machine.",
    "NO ROOM: this part of it cannot be reached; a driver that does not need it works all the same.",
  ],
  async run(context) {
    await using kernel = await openKernel(context);
    const { nodes, machine } = kernel;
    const names = context.io.names();
    if (context.options.json) {
      const devices = nodes.map((node) => nodeJson(node, names));
      printJson(context, "ls", { machine: machineJson(machine), devices });
      return EXIT.done;
    }
    if (nodes.length === 0) context.talk(`No PCI functions: ${machine.description}`);
    const withDomain = needsDomain(nodes.map((node) => node.function.address));
    const hasGroups = nodes.some((node) => node.function.iommuGroup !== undefined);
    const rows = nodes.map((node) => {
      const { address, kernelDriver, iommuGroup, unsafeDma, noRoom, refusal } = node.function;
      const driver = node.manifest?.name ?? "-";
      return [
        lspciLine(address, node.identity, names, withDomain),
        `kernel: ${kernelDriver ?? "-"}`,
        ...(hasGroups ? [`group: ${iommuGroup ?? "-"}`] : []),
        `driver: ${node.manifest && refusal !== undefined ? `(${driver})` : driver}`,
        ...(unsafeDma === undefined ? [] : ["UNSAFE DMA"]),
        ...(noRoom === undefined ? [] : [`NO ROOM: ${noRoom}`]),
      ];
    });
    const longest = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
    for (const row of rows) {
      const cells = row.map((cell, column) => cell.padEnd(longest(column)));
      context.io.out(cells.join("  ").trimEnd());
    }
    return EXIT.done;
  },
};
