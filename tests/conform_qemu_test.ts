/**
 * QEMU's devices against the specification: what they violate, and nothing else. See docs/findings.md.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { CHECKS, type Result, runChecks } from "../conform/mod.ts";
import type { Kernel } from "../mod.ts";
import { eachQemuTest, qemuTest } from "./support/machine.ts";
import { openQemuKernel } from "./support/qemu.ts";
import "./support/libc.ts";

const MIB = 2 ** 20;

/** A device of each type. */
function openSix(packed = ""): Promise<Kernel> {
  const device = (
    name: string,
    options = "",
  ) => ["-device", `virtio-${name}-pci${options}${packed}`];
  return openQemuKernel([
    ...device("rng"),
    ...device("balloon"),
    ...device("serial"),
    ...["-chardev", "null,id=port", "-device", "virtserialport,chardev=port,name=port"],
    ...["-netdev", "user,id=net,restrict=on"],
    ...device("net", ",netdev=net,romfile="),
    ...device("scsi", ",id=host"),
    ...["disk", "unit"].flatMap((name) => [
      "-blockdev",
      `driver=null-co,size=${16 * MIB},read-zeroes=on,node-name=${name}`,
    ]),
    ...["-device", "scsi-hd,bus=host.0,drive=unit"],
    ...device("blk", ",drive=disk"),
  ]);
}

/** Checks all of them. Returns what is not as it should be, by device type. */
async function findings(
  kernel: Kernel,
  { misuse = false, types = [1, 2, 3, 4, 5, 8] }: {
    readonly misuse?: boolean;
    readonly types?: readonly number[];
  } = {},
): Promise<Record<number, Record<string, string>>> {
  const found: Record<number, Record<string, string>> = {};
  for (const { function: fn, identity } of kernel.nodes) {
    const type = identity.virtio?.type;
    if (type === undefined || !types.includes(type)) continue;
    const checks = CHECKS.filter((check) => (check.misuse ?? false) === misuse);
    const results = await runChecks(fn, { checks, type, write: true, patience: 2000 });
    const usual = ({ verdict }: Result) => verdict === "conforms" || verdict === "not applicable";
    assert(results.filter(({ verdict }) => verdict === "conforms").length > (misuse ? 30 : 70));
    found[type] = Object.fromEntries(
      results.filter((result) => !usual(result)).map(({ check, verdict }) => [check.name, verdict]),
    );
  }
  return found;
}

eachQemuTest("its six devices against the specification #conform:qemu", async () => {
  await using kernel = await openSix();
  console.log(JSON.stringify(await findings(kernel), null, 1));
});

eachQemuTest("its six devices with packed rings #conform:qemu", async () => {
  await using kernel = await openSix(",packed=on");
  console.log(JSON.stringify(await findings(kernel), null, 1));
});

eachQemuTest("its devices after misuse #conform:qemu_misuse", async () => {
  await using kernel = await openSix();
  console.log(
    JSON.stringify(await findings(kernel, { misuse: true, types: [1, 2, 3, 5, 8] }), null, 1),
  );
});
