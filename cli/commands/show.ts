import { count } from "../../core/class/mod.ts";
import {
  capabilities,
  type Capability,
  findStructures,
  type SharedMemoryRegion,
  sharedMemoryRegions,
  type Structure,
  type Structures,
  vendorCapabilities,
  virtioTypeName,
} from "../../machine/mod.ts";
import type { AnyDevice, DeviceDescription, Node } from "../../mod.ts";
import type { SeenDevice } from "../../watch/mod.ts";
import type { Command, Context } from "../command.ts";
import { wholeAddress } from "../address.ts";
import { formatSize } from "../block/size.ts";
import { errorJson } from "../error_json.ts";
import { CliError, EXIT, type ExitCode, exitCode, messageOf } from "../exit.ts";
import { deviceJson, machineJson, printJson } from "../json.ts";
import { attach, findNode, isDrivable, openKernel } from "../kernel.ts";
import { className, deviceName, hex } from "../lspci.ts";
import { printFacts } from "../facts.ts";
import { withPlace } from "../printable.ts";
import type { Kernel } from "../system.ts";
import { watchMachine } from "../watch/look.ts";

/** What was asked for, or why it cannot be had: a broken device is worth showing, too. */
type Found<T> = { readonly value: T } | { readonly fault: unknown };

/** A line: what, and the fact; none if there is no fact. */
type Fact = readonly [name: string, fact: string | undefined];

/** Shows one function. */
export const show: Command = {
  name: "show",
  summary: "Show all that is known of one device",
  usage: "<address>",
  words: [1, 1],
  options: [
    {
      name: "live",
      value: "<socket>",
      summary: "look at the machine of a running command that was given --control <socket>",
    },
  ],
  examples: [
    ["show 00:03.0", "numbers, names, capabilities, what drives it"],
    ["show 00:01.0 --machine simulated", "with status, features and queues"],
    ["show 00:01.0 --live /tmp/machine.sock", "how it is in another program, right now"],
  ],
  notes: [
    "On qemu and simulated machines the device is put to work for a moment, to learn its features and",
    "queues. On this machine (local) it is only looked at, never taken.",
  ],
  async run(context) {
    const { live } = context.given;
    if (typeof live === "string") return await showLive(context, live);
    await using kernel = await openKernel(context);
    const node = findNode(kernel, context.words[0]!);
    const listed = attempt(() => capabilities(node.function.config));
    const structures = attempt(() => findVirtio(node));
    const work = await describeIfHarmless(context, kernel, node);
    if (context.options.json) showJson(context, kernel, node, listed, structures, work);
    else {
      const facts = [
        ...identityFacts(context, node),
        ...capabilityFacts(listed, structures),
        ...driverFacts(node),
        ...workFacts(work),
      ];
      printFacts(context, facts);
    }
    return status(work);
  },
};

/** Shows a device as another program has it. */
async function showLive(context: Context, socket: string): Promise<ExitCode> {
  const [word] = context.words;
  using watched = await watchMachine(context, socket);
  const { machine, pid, uptime, devices } = await watched.look();
  // What is served has a name.
  const address = machine.kind === "served" ? word! : wholeAddress(word!);
  const device = devices.find((each) => each.address === address);
  if (!device) {
    const known = devices.map((each) => each.address).join(", ");
    throw new CliError(
      EXIT.notFound,
      `Cannot find ${address} in process ${pid}: ` +
        (known === "" ? "it has no device at work" : `at work it has ${known}`),
    );
  }
  if (context.options.json) {
    printJson(context, "show", {
      machine: machineJson(machine),
      program: { pid, uptime },
      work: { ...device, pid: device.pid ?? null },
    });
    return EXIT.done;
  }
  const { host, lanes, state, driver } = device;
  const facts: Fact[] = [
    ["address", address],
    ["our driver", driver],
    ["state", state],
    ...workFacts({ value: device }),
    ...lanes.map(({ name, slots, submitted, ended, inFlight }): Fact => [
      `lane ${name}`,
      `${slots} slots, ${submitted} submitted, ${ended} ended, ${inFlight} in flight`,
    ]),
    ["heap", host.heap === undefined ? undefined : formatSize(host.heap)],
    ["memory", host.memory === undefined ? undefined : formatSize(host.memory)],
    ["CPU", host.processor === undefined ? undefined : `${host.processor.toFixed(1)} s`],
    ["uptime", `${host.uptime.toFixed(1)} s`],
    ["restarts", String(device.restarts)],
  ];
  printFacts(context, facts);
  return EXIT.done;
}

/** Where a driver runs: `process 1234` or `inline`. */
export function where({ isolation, pid }: Pick<AnyDevice, "isolation" | "pid">): string {
  return pid === undefined ? isolation : `${isolation} ${pid}`;
}

/** Looking must not take a device of this machine away from another program. */
async function describeIfHarmless(
  context: Context,
  kernel: Kernel,
  node: Node,
): Promise<Found<DeviceDescription | undefined>> {
  if (kernel.machine.kind === "local" || !isDrivable(node)) return { value: undefined };
  try {
    await using device = await attach(context, kernel, node);
    return { value: await context.until(device.describe()) };
  } catch (fault) {
    context.signal.throwIfAborted();
    return { fault };
  }
}

/** What a device's capabilities say of it. */
interface VirtioFacts extends Structures {
  readonly sharedMemory: readonly SharedMemoryRegion[];
  /** Both in hexadecimal. */
  readonly vendor: readonly { readonly vendor: string; readonly data: string }[];
}

/** A function that is VirtIO in name only is found out here; where only the header can be read, nothing is. */
function findVirtio({ identity, function: { config } }: Node): VirtioFacts | undefined {
  if (!identity.virtio || capabilities(config).length === 0) return undefined;
  // The sizes of BARs are not known before a function is taken; the core checks them then.
  const anySize = () => Infinity;
  return {
    ...findStructures(config, anySize),
    sharedMemory: sharedMemoryRegions(config, anySize),
    vendor: vendorCapabilities(config).map(({ vendor, data }) => ({
      vendor: hex(vendor, 4),
      data: data.toHex(),
    })),
  };
}

function attempt<T>(look: () => T): Found<T> {
  try {
    return { value: look() };
  } catch (fault) {
    return { fault };
  }
}

function text(found: Found<unknown>): string | undefined {
  return "fault" in found ? messageOf(found.fault) : undefined;
}

function status(work: Found<unknown>): ExitCode {
  return "fault" in work ? exitCode(work.fault) : EXIT.done;
}

function identityFacts(context: Context, { function: { address }, identity }: Node): Fact[] {
  const names = context.io.names();
  const { virtio } = identity;
  return [
    ["address", address],
    ["device", deviceName(identity, names)],
    ["class", className(identity, names)],
    ["interface", hex(identity.class & 0xff, 2)],
    ["subsystem", `${hex(identity.subsystemVendor, 4)}:${hex(identity.subsystem, 4)}`],
    ["revision", hex(identity.revision, 2)],
    [
      "virtio",
      virtio && `${virtioTypeName(virtio.type)} (type ${virtio.type}), ${virtio.generation}`,
    ],
  ];
}

function capabilityFacts(
  listed: Found<readonly Capability[]>,
  structures: Found<VirtioFacts | undefined>,
): Fact[] {
  const list = "value" in listed ? listed.value : [];
  return [
    ["capabilities", list.map(({ id, offset }) => `${hex(id, 2)}@${hex(offset, 2)}`).join(" ")],
    ["broken", text(listed) ?? text(structures)],
    ...structureFacts("value" in structures ? structures.value : undefined),
  ];
}

function structureFacts(structures: VirtioFacts | undefined): Fact[] {
  if (!structures) return [];
  const { common, notify, notifyMultiplier, isr, device, sharedMemory, vendor } = structures;
  const place = ({ bar, offset, length }: Structure) =>
    `${count(length, "byte")} at 0x${offset.toString(16)} of BAR ${bar}`;
  return [
    ["common", place(common)],
    ["notify", `${place(notify)}, ${notifyMultiplier} for each queue_notify_off`],
    ["isr", place(isr)],
    ["device", device && place(device)],
    ...sharedMemory.map((region): Fact => [`memory ${region.id}`, place(region)]),
    ...vendor.map(({ vendor, data }): Fact => [`vendor ${vendor}`, data]),
  ];
}

function driverFacts({ manifest, function: found }: Node): Fact[] {
  const { kernelDriver, iommuGroup, numaNode, unsafeDma, noRoom, refusal } = found;
  return [
    ["IOMMU group", iommuGroup?.toString()],
    ["NUMA node", numaNode?.toString()],
    ["UNSAFE DMA", unsafeDma],
    ["NO ROOM", noRoom],
    ["kernel driver", kernelDriver ?? "none"],
    ["our driver", manifest ? `${manifest.name} (${manifest.file})` : "none"],
    ["not taken", manifest && refusal],
  ];
}

function workFacts(work: Found<SeenDevice | undefined>): Fact[] {
  if ("fault" in work) return [["does not work", withPlace(messageOf(work.fault))]];
  if (!work.value) return [];
  const { isolation, pid, status, features, interrupts, queues, statistics } = work.value;
  return [
    ["runs", pid === undefined ? isolation : where({ isolation, pid })],
    ["status", status?.join(", ")],
    ["offers", features?.offered],
    ["accepted", features?.accepted],
    ...(features?.list ?? []).map(({ bit, name, because }): [string, string] => [
      `feature ${bit}`,
      because ? `${name}: ${because}` : name,
    ]),
    ["registers", work.value.transport],
    ["interrupts", interrupts],
    ...queues.map((
      { index, name, size, vector, published, completed, inFlight, ...more },
    ): Fact => [
      `queue ${index}`,
      [
        `${name}, ${size} entries`,
        vector === undefined ? "no vector" : `vector ${vector}`,
        `${published ?? 0} published`,
        `${completed ?? 0} completed`,
        `${inFlight ?? 0} in flight`,
        `${more.notifications ?? 0} notifications`,
        ...(more.broken ? [`broken: ${more.broken.what} [${more.broken.rule}]`] : []),
      ].join(", "),
    ]),
    ...Object.entries(statistics).map(([name, count]): Fact => [name, String(count)]),
  ];
}

/** What the device's own shape does not tell of it. */
function workJson(
  {
    address: _,
    driver: _driver,
    class: _class,
    isolation: _isolation,
    pid: _pid,
    restarts: _restarts,
    ...work
  }: DeviceDescription,
): object {
  return work;
}

function showJson(
  context: Context,
  kernel: Kernel,
  node: Node,
  listed: Found<readonly Capability[]>,
  structures: Found<VirtioFacts | undefined>,
  work: Found<DeviceDescription | undefined>,
): void {
  const list = "value" in listed ? listed.value : [];
  const description = "value" in work ? work.value : undefined;
  printJson(context, "show", {
    machine: machineJson(kernel.machine),
    device: deviceJson(node, context.io.names(), description),
    capabilities: list.map(({ id, offset }) => ({ id: hex(id, 2), offset })),
    capabilitiesFault: text(listed) ?? text(structures) ?? null,
    structures: ("value" in structures ? structures.value : undefined) ?? null,
    work: description ? workJson(description) : null,
    error: "fault" in work ? errorJson(work.fault) : null,
  });
}
