// A driver's plan as it crosses the bus.

import type { WirePlan } from "../bus/message.ts";
import type { PciPlan } from "../plugin/pci_plugin.ts";
import type { Plan } from "../plugin/plugin.ts";
import { featureText } from "../virtio/features.ts";

/** A plan of a driver of either kind. */
export type AnyPlan = Plan<string, string, string> | PciPlan<string, string>;

/** Writes a plan for the core, which does not trust it. */
export function wirePlan(plan: AnyPlan): WirePlan {
  return {
    features: featureText("features" in plan && plan.features || 0n),
    queues: Object.entries("queues" in plan ? plan.queues : {}).map(
      ([name, { index, size, buffers = 1 }]) => ({ name, index, size, buffers }),
    ),
    lanes: Object.entries(plan.lanes).map(([name, lane]) => ({ name, ...lane })),
    buffers: Object.entries(plan.buffers ?? {}).map(([name, bytes]) => ({ name, bytes })),
    ...properties(plan),
    physical: "physical" in plan && plan.physical === true,
  };
}

/** A driver of a PCI device may know them only when it has started; that of a VirtIO device reads them in the offer. */
function properties(plan: AnyPlan): Pick<WirePlan, "properties"> {
  if (plan.properties) return { properties: plan.properties };
  return "queues" in plan ? { properties: {} } : {};
}
