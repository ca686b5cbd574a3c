import { capabilities, type Capability } from "../../core/pci/capabilities.ts";
import type { Command, Context } from "../command.ts";
import { EXIT } from "../exit.ts";
import { machineJson, nodeJson, printJson } from "../json.ts";
import { className, deviceName, hex } from "../lspci.ts";
import { printable } from "../printable.ts";
import { findNode, isDrivable, openSession, type Session } from "../session.ts";
import type { Device, Node } from "../system.ts";

/** Shows one function. */
export const show: Command = {
  name: "show",
  summary: "Show all that is known of one device",
  usage: "<address>",
  words: [1, 1],
  examples: [
    ["show 00:03.0", "numbers, names, capabilities, who drives it"],
    ["show 00:01.0 --machine simulated", "with features and queues"],
  ],
  notes: [
    "On qemu and simulated machines the device is put to work for a moment, to learn its features and",
    "queues. On this machine (host) it is only looked at, never taken.",
  ],
  async run(context) {
    await using session = await openSession(context);
    const node = findNode(session, context.words[0]!);
    const device = await attachIfHarmless(context, session, node);
    const names = context.io.names();
    const found = listCapabilities(node);
    if (context.options.json) {
      printJson(context, "show", {
        machine: machineJson(session.platform),
        device: nodeJson(node, names),
        capabilities: found.list.map(({ id, offset }) => ({ id: hex(id, 2), offset })),
        capabilitiesFault: found.fault ?? null,
        work: device
          ? {
            driver: device.driver,
            isolation: device.isolation,
            pid: device.pid ?? null,
            features: device.features,
            queues: device.queues,
            report: device.describe(),
          }
          : null,
      });
      return EXIT.done;
    }
    const { identity, manifest } = node;
    const { kernelDriver, refusal } = node.function;
    const facts: [string, string | undefined][] = [
      ["address", node.function.address],
      ["device", deviceName(identity, names)],
      ["class", className(identity, names)],
      ["interface", hex(identity.class & 0xff, 2)],
      ["subsystem", `${hex(identity.subsystemVendor, 4)}:${hex(identity.subsystem, 4)}`],
      ["revision", hex(identity.revision, 2)],
      [
        "virtio",
        identity.virtio &&
        `${identity.virtio.name} (type ${identity.virtio.type}), ${identity.virtio.generation}`,
      ],
      [
        "capabilities",
        found.list.map(({ id, offset }) => `${hex(id, 2)}@${hex(offset, 2)}`).join(" "),
      ],
      ["broken", found.fault],
      ["kernel driver", kernelDriver ?? "none"],
      ["our driver", manifest ? `${manifest.name} (${manifest.file})` : "none"],
      ["not taken", manifest && refusal],
      ["runs", device && where(device)],
      ["features", device?.features.join(", ")],
      [
        "queues",
        device?.queues.map(({ name, index, size }) => `${index} ${name}: ${size}`).join(", "),
      ],
    ];
    for (const [name, fact] of facts) {
      if (fact) context.io.out(`${name.padEnd(14)} ${printable(fact)}`);
    }
    return EXIT.done;
  },
};

/** Where a driver runs: `process 1234` or `inline`. */
export function where({ isolation, pid }: Device): string {
  return pid === undefined ? isolation : `${isolation} ${pid}`;
}

/** Looking must not take a device of this machine away from anybody. */
async function attachIfHarmless(
  context: Context,
  session: Session,
  node: Node,
): Promise<Device | undefined> {
  if (session.platform.kind === "host" || !isDrivable(node)) return undefined;
  return await context.until(session.kernel.attach(node.function.address));
}

/** A device whose list of capabilities is broken is worth showing, too. */
function listCapabilities(node: Node): { list: readonly Capability[]; fault?: string } {
  try {
    return { list: capabilities(node.function.config) };
  } catch (error) {
    return { list: [], fault: (error as Error).message };
  }
}
