/**
 * QEMU's devices against the specification: what they violate, and nothing else. See docs/findings.md.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { checkDevice, CHECKS, type Rule } from "../conform/mod.ts";
import type { Kernel } from "../mod.ts";
import { eachQemuTest } from "./support/machine.ts";
import { FileDisk, openQemuKernel } from "./support/qemu.ts";
import "./support/libc.ts";

const MIB = 2 ** 20;

/** A device of each type. */
function openSix(disk: FileDisk, packed = ""): Promise<Kernel> {
  const device = (name: string, options = "") => [
    "-device",
    `virtio-${name}-pci${options}${packed}`,
  ];
  return openQemuKernel([
    ...device("rng"),
    ...device("balloon"),
    ...device("serial"),
    ...["-chardev", "null,id=port", "-device", "virtserialport,chardev=port,name=port"],
    ...["-netdev", "user,id=net,restrict=on"],
    ...device("net", ",netdev=net,romfile="),
    ...device("scsi", ",id=host"),
    ...["-blockdev", `driver=null-co,size=${16 * MIB},read-zeroes=on,node-name=unit`],
    ...["-device", "scsi-hd,bus=host.0,drive=unit"],
    ...disk.arguments,
  ]);
}

/** Checks devices. Returns what is not as it should be, by device type. */
async function findings(
  kernel: Kernel,
  checks: readonly Rule[],
  least: number,
  types: readonly number[] = [1, 2, 3, 4, 5, 8],
): Promise<Record<number, Record<string, string>>> {
  const found: Record<number, Record<string, string>> = {};
  for (const { function: fn, identity } of kernel.nodes) {
    const type = identity.virtio?.type;
    if (type === undefined || !types.includes(type)) continue;
    const results = await checkDevice(fn, checks, { type, write: true, patience: 3000 });
    const others = results.filter(({ verdict }) =>
      verdict !== "conforms" && verdict !== "not applicable"
    );
    found[type] = Object.fromEntries(others.map(({ check, verdict }) => [check.name, verdict]));
    const conforming = results.filter(({ verdict }) => verdict === "conforms").length;
    const said = others.map(({ check, why }) => `${check.name}: ${why}`).slice(0, 8).join("; ");
    assert(conforming >= least, `type ${type}: ${conforming} conform; ${said}`);
  }
  return found;
}

const ANY = { "features.unknown_refused": "violates" };
const MIXED = { ...ANY, "rings.mixed": "violates" };

eachQemuTest("six devices against the specification #conform:qemu", async () => {
  using disk = new FileDisk("disk", 16 * MIB, "");
  await using kernel = await openSix(disk);
  assertEquals(await findings(kernel, CHECKS.filter(({ misuse, long }) => !misuse && !long), 70), {
    1: MIXED,
    2: MIXED,
    3: ANY,
    4: ANY,
    5: ANY,
    8: {
      ...MIXED,
      "rings.framing": "violates",
      "rings.many_descriptors": "violates",
      "rings.indirect_cut": "violates",
    },
  });
});

eachQemuTest("six devices with packed rings #conform:qemu", async () => {
  using disk = new FileDisk("disk", 16 * MIB, ",packed=on");
  await using kernel = await openSix(disk, ",packed=on");
  const packed = CHECKS.filter(({ name }) => name.startsWith("packed."));
  assertEquals(await findings(kernel, packed, packed.length), {
    1: {},
    2: {},
    3: {},
    4: {},
    5: {},
    8: {},
  });
});

eachQemuTest("devices after misuse #conform:qemu_misuse", async () => {
  using disk = new FileDisk("disk", 16 * MIB, "");
  await using kernel = await openSix(disk);
  const misuse = CHECKS.filter(({ misuse }) => misuse);
  // Entropy source and balloon are held up by a huge buffer for longer than QEMU may take to answer: see
  // docs/findings.md.
  assertEquals(await findings(kernel, misuse, 40, [1, 2, 3, 8]), { 1: {}, 2: {}, 3: {}, 8: {} });
});
