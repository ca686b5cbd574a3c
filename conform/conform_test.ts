import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { DiskModel } from "@virtio/blk/model";
import { InterruptLoop } from "../core/irq/interrupt_loop.ts";
import { readIdentity } from "../core/pci/identity.ts";
import { simulatedDevices } from "../drivers.ts";
import {
  type DeviceModel,
  fitted,
  IN_ORDER,
  type LieId,
  LIES,
  lying,
  RING_PACKED,
} from "../simulation/mod.ts";
import { openSimulated } from "../simulation/platform/simulated.ts";
import "../tests/support/libc.ts";
import type { Check, Rule } from "./check.ts";
import type { DeviceQueue } from "../core/virtqueue/device_queue.ts";
import { checkDevice, CHECKS, junit, junitSuite, type Result, type RunOptions } from "./mod.ts";

const QUICK = CHECKS.filter(({ long }) => !long);
import { runChecks } from "./run.ts";

/** Checks models, each in a machine of its own. */
async function checkModels(
  models: readonly DeviceModel[],
  { checks = QUICK, own, ...options }:
    & Partial<RunOptions>
    & { readonly checks?: readonly Rule[]; readonly own?: readonly Check[] } = {},
): Promise<(readonly Result[])[]> {
  await using loop = new InterruptLoop();
  loop.start();
  await using machine = openSimulated({ devices: models, loop, failed() {} });
  const all: (readonly Result[])[] = [];
  for (const fn of machine.functions) {
    const { type } = readIdentity(fn.config).virtio!;
    const manner = { type, write: true, ...options };
    all.push(own ? await runChecks(fn, own, manner) : await checkDevice(fn, checks, manner));
  }
  return all;
}

const bad = ({ verdict }: Result) => verdict === "violates" || verdict === "wedged";
const text = ({ check, verdict, why }: Result) => `${check.name}: ${verdict}: ${why}`;
const HONEST = QUICK.filter(({ misuse }) => !misuse);

Deno.test("checks: each has a name of its own, a section, and says what a device does", () => {
  assert(CHECKS.length >= 60, `${CHECKS.length}`);
  assertEquals(new Set(CHECKS.map(({ name }) => name)).size, CHECKS.length);
  for (const { name, section, does } of CHECKS) {
    assertMatch(name, /^[a-z]+\.[a-z0-9_]+$/);
    assertMatch(section, /^(PCI 3\.0, )?\d+(\.\d+)*$/);
    assert(does.length > 10 && !/\.$/.test(does), does);
  }
});

Deno.test("models: all six conform, and survive misuse #conform:models_conform", async () => {
  const all = await checkModels(simulatedDevices());
  assertEquals(all.length, 6);
  for (const results of all) {
    const others = results.filter(({ verdict }) =>
      verdict !== "conforms" && verdict !== "not applicable"
    );
    assertEquals(others.map(text), []);
    assert(results.filter(({ verdict }) => verdict === "conforms").length > 120);
  }
});

Deno.test("models: a disk with packed rings that uses in order conforms #conform:models_conform", async () => {
  const model = fitted(new DiskModel({ capacity: 1 << 20 }), { with: RING_PACKED | IN_ORDER });
  const [results] = await checkModels([model], { checks: HONEST });
  assertEquals(results!.filter(bad).map(text), []);
  const names = results!.filter(({ verdict }) => verdict === "conforms")
    .map(({ check }) => check.name);
  for (const name of ["packed.laps", "packed.notify_event", "rings.in_order"]) {
    assert(names.includes(name), name);
  }
});

Deno.test("models: a disk conforms where the indexes begin anew, and one that fails there is found #conform:index_wrap", async () => {
  const checks = CHECKS.filter(({ name }) => name === "rings.index_wrap");
  const disk = () => new DiskModel({ capacity: 1 << 20 });
  let count = 0;
  const forgetful = Object.assign(disk(), {
    lies: [{
      does: "forgets the request at which the used index begins anew",
      queue: (queue: DeviceQueue): DeviceQueue => ({
        size: queue.size,
        take: (chain) => queue.take(chain),
        put: (head, written) => void (++count === 65536 || queue.put(head, written)),
        publish: () => queue.publish(),
        arm: () => queue.arm(),
      }),
    }],
  });
  const all = await checkModels([disk(), forgetful], { checks, patience: 5000 });
  const [[honest], [forgets]] = all as [[Result], [Result]];
  assertEquals([honest.verdict, honest.why], ["conforms", undefined]);
  assertEquals(forgets.verdict, "wedged");
  assertMatch(forgets.why!, /queue 0 came to \d+ of \d+ requests/);
});

Deno.test("checks: those that write do not run unless that is asked for", async () => {
  const writing = CHECKS.filter(({ writes }) => writes);
  assert(writing.length >= 3);
  const disk = new DiskModel({ capacity: 1 << 20 });
  const [results] = await checkModels([disk], { checks: writing, write: false });
  assertEquals(new Set(results!.map(({ verdict }) => verdict)), new Set(["not applicable"]));
  assertEquals(disk.allocated, 0);
});

/** For each lie of the catalogue a check that must catch it. */
const CAUGHT: Readonly<Partial<Record<LieId, string>>> = {
  "D-01": "discovery.capabilities",
  "D-02": "discovery.capabilities",
  "D-03": "discovery.structures",
  "D-05": "discovery.structures",
  "D-06": "discovery.structures",
  "D-07": "discovery.structures",
  "D-08": "discovery.structures",
  "D-09": "discovery.structures",
  "D-10": "discovery.structures",
  "D-11": "discovery.structures",
  "D-12": "discovery.structures",
  "D-13": "discovery.notify_offsets",
  "D-14": "discovery.structures",
  "D-16": "discovery.identity",
  "D-17": "discovery.msix",
  "D-18": "discovery.shared_memory",
  "D-19": "status.acknowledge",
  "D-20": "status.features_ok",
  // It reads as never reset, whatever is checked first.
  "D-21": "discovery.capabilities",
  "D-22": "status.healthy",
  "D-23": "features.version_1",
  // The first check after it was in use.
  "D-24": "discovery.revision",
  "D-25": "status.zero",
  "D-26": "features.steady",
  "D-27": "features.dependencies",
  "D-28": "features.reserved",
  "D-29": "features.select",
  "D-30": "queues.reset",
  "D-31": "queues.count",
  "D-32": "queues.count",
  "D-33": "queues.power_of_two",
  "D-35": "queues.smaller",
  "D-36": "queues.enable",
  "D-37": "configuration.generation",
  "D-38": "block.configuration",
  "D-39": "configuration.in_use",
  "D-40": "block.configuration",
  "D-41": "rings.ids",
  "D-42": "rings.ids",
  "D-43": "rings.index",
  "D-44": "rings.ids",
  "D-45": "rings.room",
  "D-46": "rings.written",
  "D-47": "rings.written",
  "D-48": "rings.index",
  "D-49": "rings.index",
  "D-50": "rings.ids",
  "D-51": "rings.ids",
  "D-52": "rings.owned",
  "D-53": "rings.owned",
  "D-54": "rings.late",
  "D-55": "rings.read_only",
  "D-58": "rings.notify_flag",
  "D-59": "rings.notify_event",
  "D-60": "packed.laps",
  "D-61": "packed.notify_event",
  "D-62": "rings.indirect_owned",
  "D-63": "rings.index",
  "D-64": "status.after_driver_ok",
  "D-65": "reset.silence",
  "D-67": "interrupts.once",
  "D-68": "interrupts.queue",
  "D-69": "interrupts.configuration",
  "D-70": "interrupts.queue_vector",
  "D-71": "interrupts.before",
  "D-72": "interrupts.isr_bits",
  "D-73": "rings.ids",
  "D-76": "rings.ids",
  "D-77": "rings.ids",
  "D-79": "reset.again",
};

/** Those that no check tells, and why. */
const UNTOLD: Readonly<Partial<Record<LieId, string>>> = {
  "D-04": "a device may have capabilities of unknown kinds, and more than one of each",
  "D-15": "what stands in a BAR is the firmware's",
  "D-34": "queues of 32768 entries are the greatest that there may be",
  "D-56":
    "a used element may stand for all requests before it: a batch in reverse looks like one of those",
  "D-66": "a device may be slow, and answer in any order",
};

for (const id of LIES) {
  Deno.test(`lies: ${id} is ${CAUGHT[id] ? `caught by ${CAUGHT[id]}` : `not told: ${UNTOLD[id]}`} #conform:lies_caught`, async () => {
    const honest = fitted(new DiskModel({ capacity: 1 << 20, serial: "LIAR" }), {
      with: RING_PACKED | IN_ORDER,
    });
    const [results] = await checkModels([lying(honest, id)], { checks: HONEST, patience: 60 });
    const caught = results!.filter(bad).map(({ check }) => check.name);
    const wanted = CAUGHT[id];
    if (wanted !== undefined) assert(caught.includes(wanted), `${id}: ${caught.join(", ")}`);
    else assert(UNTOLD[id] !== undefined, `${id} is in neither table; it is caught by ${caught}`);
  });
}

Deno.test("run: a check that does not come to an end is wedged, and the next one runs #conform:never_hangs", async () => {
  const named = (name: string, run: Check["run"]): Check => ({
    name,
    section: "1",
    does: "comes to an end",
    run,
  });
  const own = [
    named("own.never", () => new Promise(() => {})),
    named("own.at_once", () => {}),
  ];
  const [results] = await checkModels([new DiskModel({ capacity: 512 })], { own, patience: 5 });
  assertEquals(results!.map(({ verdict }) => verdict), ["wedged", "conforms"]);
});

Deno.test("run: of a device that never resets no more than a few checks wait for it #conform:never_hangs", async () => {
  const model = lying(new DiskModel({ capacity: 1 << 20 }), "D-24");
  const [results] = await checkModels([model], { checks: HONEST, patience: 40 });
  const late = results!.filter(({ why }) => why?.startsWith("before it could begin"));
  assertEquals(late.length, 3, late.map(text).join("\n"));
  assertEquals(results!.length, HONEST.length);
});

Deno.test("run: the same seed makes the same run, another one another #conform:models_conform", async () => {
  const run = async (seed: number) => {
    const seen: number[] = [];
    const check: Check = {
      name: "own.random",
      section: "1",
      does: "takes random numbers",
      run: (rig) => void seen.push(rig.random.below(2 ** 32), rig.random.below(2 ** 32)),
    };
    await checkModels([new DiskModel({ capacity: 512 })], { own: [check], seed });
    return seen;
  };
  assertEquals(await run(7), await run(7));
  assert((await run(7))[0] !== (await run(8))[0]);
});

Deno.test("junit: failures, errors, skipped and passed checks #conform:junit", () => {
  const check: Check = { name: "a.b", section: "2.1", does: 'says "<no>" & more', run: () => {} };
  const result = (verdict: Result["verdict"], why?: string): Result => ({
    check,
    verdict,
    milliseconds: 1500,
    ...(why !== undefined && { why }),
  });
  const xml = junit([junitSuite("0000:00:01.0", [
    result("conforms"),
    result("violates", "it <is> \x00 wrong"),
    result("wedged", "late"),
    result("cannot tell", "dark"),
    result("not applicable", "other"),
  ])]);
  assertStringIncludes(xml, 'tests="5" failures="1" errors="1" skipped="2"');
  assertStringIncludes(xml, '<failure message="violates: it &lt;is>  wrong"/>');
  assertStringIncludes(xml, "says &quot;&lt;no>&quot; &amp; more");
  assertStringIncludes(xml, 'time="1.500"');
  assertEquals(xml.match(/<testcase /g)?.length, 5);
  assertEquals(xml.match(/<(error|failure|skipped) /g)?.length, 4);
});
