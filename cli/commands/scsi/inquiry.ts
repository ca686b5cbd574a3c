import {
  asciiText,
  formatScsiAddress,
  parseIdentifiers,
  parseLimits,
  parseProvisioning,
  parseRotation,
  type ScsiAddress,
  VPD_NAMES,
  VpdPage,
} from "../../../classes/scsi/mod.ts";
import type { Command, Context } from "../../command.ts";
import { CliError, EXIT, usageError } from "../../exit.ts";
import { hexDump } from "../../hex_dump.ts";
import { printFacts } from "../../facts.ts";
import { printDeviceJson } from "../../json.ts";
import { DEVICE_OPTION, type DeviceInUse, useDevice } from "../../kernel.ts";
import { hex } from "../../lspci.ts";
import { readLun } from "../../lun.ts";

/** A line: what, and the fact. */
type Fact = readonly [name: string, fact: string | number | boolean];

/** Tells what a logical unit says of itself. */
export const inquiry: Command = {
  name: "scsi inquiry",
  summary: "Tell what a logical unit says of itself",
  usage: "[target:lun]",
  words: [0, 1],
  options: [
    DEVICE_OPTION,
    { name: "vpd", value: "<page>", summary: "a page of vital product data, in hexadecimal" },
  ],
  examples: [
    ["scsi inquiry --machine simulated", "what unit 0:0 is, and which pages it has"],
    ["scsi inquiry 1:0 --machine simulated", "the same of LUN 0 of target 1"],
    ["scsi inquiry 0:0 --vpd 83 --machine simulated", "its names"],
  ],
  notes: [
    "Understood are the pages 00, 80, 83, b0, b1 and b2; of others the bytes are shown.",
  ],
  async run(context) {
    const address = readLun(context.words[0] ?? "0:0");
    const { vpd } = context.given;
    const page = typeof vpd === "string" ? pageOf(vpd) : undefined;
    await using use = await useDevice(context, "scsi");
    await (page === undefined
      ? showInquiry(context, use, address)
      : showPage(context, use, address, page));
    return EXIT.done;
  },
};

function pageOf(text: string): number {
  if (/^(0x)?[0-9a-f]{1,2}$/i.test(text)) return parseInt(text, 16);
  throw usageError(
    `Unknown page ${JSON.stringify(text)} for --vpd: wanted two hexadecimal digits, like 83`,
  );
}

async function showInquiry(
  context: Context,
  use: DeviceInUse<"scsi">,
  address: ScsiAddress,
): Promise<void> {
  const { client } = use.device;
  const said = await context.until(client.inquiry(address));
  const pages = [...await context.until(client.vpd(address, VpdPage.supported)) ?? []];
  if (context.options.json) {
    return printDeviceJson(context, "scsi inquiry", use, { ...address, inquiry: said, pages });
  }
  print(context, [
    ["unit", formatScsiAddress(address)],
    ["type", `${said.typeName} (${said.type})`],
    ["vendor", said.vendor],
    ["product", said.product],
    ["revision", said.revision],
    ["standard", said.version],
    ["removable", said.removable],
    ["protection", said.protect],
    ...pages.map((page): Fact => [`page ${hex(page, 2)}`, VPD_NAMES[page] ?? "unknown"]),
  ]);
}

async function showPage(
  context: Context,
  use: DeviceInUse<"scsi">,
  address: ScsiAddress,
  page: number,
): Promise<void> {
  const { client } = use.device;
  const body = await context.until(client.vpd(address, page));
  if (!body) {
    throw new CliError(
      EXIT.notFound,
      `Cannot read page ${hex(page, 2)} of unit ${formatScsiAddress(address)}: it has none; ` +
        "scsi inquiry without --vpd lists those that it has",
    );
  }
  const facts = factsOf(page, body);
  if (context.options.json) {
    return printDeviceJson(context, "scsi inquiry", use, {
      ...address,
      page,
      bytes: body.toHex(),
      facts: Object.fromEntries(facts),
    });
  }
  print(context, [["page", `${hex(page, 2)} ${VPD_NAMES[page] ?? ""}`.trim()], ...facts]);
  for (const line of hexDump(body)) context.io.out(line);
}

/** What a page says, as far as it is understood. */
function factsOf(page: number, body: Uint8Array): Fact[] {
  switch (page) {
    case VpdPage.supported:
      return [...body].map((each) => [hex(each, 2), VPD_NAMES[each] ?? "unknown"]);
    case VpdPage.serial:
      return [["serial", asciiText(body, 0, body.length)]];
    case VpdPage.identification:
      return parseIdentifiers(body).map(({ kind, name }) => [kind, name]);
    case VpdPage.limits:
      return Object.entries(parseLimits(body));
    case VpdPage.characteristics: {
      const rotation = parseRotation(body);
      return rotation === undefined ? [] : [["rotations a minute", rotation]];
    }
    case VpdPage.provisioning:
      return Object.entries(parseProvisioning(body));
    default:
      return [];
  }
}

function print(context: Context, facts: readonly Fact[]): void {
  const text = (fact: Fact[1]) => typeof fact === "boolean" ? fact ? "yes" : "no" : String(fact);
  printFacts(context, facts.map(([name, fact]) => [name, text(fact)] as const));
}
