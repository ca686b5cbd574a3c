import { checkPlan, PlanError } from "../core/binding/plan.ts";
import { configView } from "../core/binding/virtio/config_view.ts";
import type { WirePlan } from "../core/bus/message.ts";
import { wirePlan } from "../core/kernel/wire_plan.ts";
import type { AnyPlugin, PciOffer } from "../core/plugin/pci_plugin.ts";
import type { Config, Decline, Offer } from "../core/plugin/plugin.ts";
import { Random } from "../conform/random.ts";
import { Failure } from "./verdict.ts";

/** Features of the device type are among so many (virtio 1.4, 2.2). */
const FEATURES = 128n;

/** Devices that a seed makes up. */
const MADE_UP = 64;

/** Devices that are put together at random: the same for the same seed. */
function* madeUp(own: Offer, length: number, seed: number): Generator<[string, Partial<Offer>]> {
  const random = new Random(seed);
  for (let nth = 1; nth <= MADE_UP; nth++) {
    let features = 0n;
    for (let bit = 0n; bit < FEATURES; bit++) {
      // Now and then one that the device does not have.
      const chance = own.features & 1n << bit ? 2 : 32;
      if (random.below(chance) === 0) features |= 1n << bit;
    }
    const queues = own.queues.map((size) => random.below(4) === 0 ? 1 << random.below(11) : size);
    const config = random.below(2) === 0
      ? own.config
      : configView(Array.from({ length }, () => random.below(256)));
    yield [`device ${nth} of seed ${seed}`, { features, queues, config }];
  }
}

/**
 * Asks a driver what it wants of odd devices: of each it says a plan that can be, or why not.
 *
 * @param offer What its own device offers.
 * @param seed Where what is random in them begins.
 * @returns How many devices it was offered.
 * @throws Failure At the first mistake.
 */
export function checkPlans(plugin: AnyPlugin, offer: Offer | PciOffer, seed: number): string {
  if (plugin.bus === "pci") {
    const own = offer as PciOffer;
    for (let vectors = 0; vectors <= own.vectors; vectors++) {
      const step = `it is offered its device with ${vectors} interrupts`;
      same(step, () => plugin.plan(Object.freeze({ ...own, vectors })));
    }
    return `${own.vectors + 1} offers`;
  }
  const own = offer as Offer;
  const bytes = Uint8Array.from({ length: own.config.length }, (_, i) => own.config.u8(i));
  const cases: [string, Partial<Offer>][] = [
    ["its device", {}],
    ["its device without a feature", { features: 0n }],
    ["its device with all features that there are", { features: (1n << FEATURES) - 1n }],
    ["a legacy device", { legacy: true }],
    ["a device without a queue", { queues: [] }],
    ["a device with queues of size 0", { queues: own.queues.map(() => 0) }],
    ["a device with one queue", { queues: own.queues.slice(0, 1) }],
    ["a device with queues of 2 entries", { queues: own.queues.map(() => 2) }],
    ["a device with 1024 queues", { queues: Array(1024).fill(256) }],
    ["a configuration of zeros", { config: filled(bytes.length, 0) }],
    ["a configuration of ones", { config: filled(bytes.length, 0xff) }],
    ["no configuration", { config: filled(0, 0) }],
    ["half a configuration", { config: configView([...bytes.subarray(0, bytes.length >> 1)]) }],
  ];
  for (let bit = 0n; bit < FEATURES; bit++) {
    const features = 1n << bit;
    if (own.features & features) {
      cases.push([`feature ${bit} alone`, { features }]);
      cases.push([`all but feature ${bit}`, { features: own.features & ~features }]);
    }
  }
  cases.push(...madeUp(own, bytes.length, seed));
  for (const [what, changes] of cases) {
    const changed = Object.freeze({ ...own, ...changes });
    const step = `it is offered ${what}`;
    const answer = same(step, () => plugin.plan(changed));
    if ("decline" in answer) {
      if (typeof answer.decline !== "string" || answer.decline === "") {
        throw new Failure(
          step,
          `it declines with ${String(answer.decline)}`,
          "a sentence that says why",
        );
      }
      if (what === "its device") {
        throw new Failure(step, `it declines: ${answer.decline}`, "a plan");
      }
      continue;
    }
    try {
      checkPlan(wirePlan(answer) as WirePlan, { ...changed, resizable: true, kind: "split" });
    } catch (error) {
      // A device with fewer queues than it should have is refused by the core.
      if (error instanceof PlanError && changes.queues === undefined) {
        throw new Failure(step, error.message, "a plan that fits the offer, or a reason why not");
      }
      if (!(error instanceof PlanError)) {
        throw new Failure(step, String(error), "a plan of the right types");
      }
    }
  }
  return `${cases.length} offers`;
}

/** A configuration of `length` equal bytes. */
function filled(length: number, byte: number): Config {
  return configView(Array(length).fill(byte));
}

/** Asks twice: a plan depends on the offer alone. */
function same<Plan extends object>(step: string, ask: () => Plan | Decline): Plan | Decline {
  const answers = [0, 1].map(() => {
    try {
      return ask();
    } catch (error) {
      throw new Failure(step, `plan() throws ${String(error)}`, "a plan, or a reason why not");
    }
  });
  const [first, second] = answers.map((answer) =>
    JSON.stringify(answer, (_, value) => typeof value === "bigint" ? `${value}n` : value)
  );
  if (first === second && first !== undefined) return answers[0]!;
  throw new Failure(
    step,
    `plan() answers ${first}, and then ${second}`,
    "the same answer each time",
  );
}
