import type { Binding, BindingOptions } from "./binding.ts";
import { PciBinding } from "./pci/binding.ts";
import { VirtioBinding } from "./virtio/binding.ts";

/**
 * Takes a function, as its driver's manifest wants it driven.
 *
 * @throws DeviceFault If it cannot be driven so.
 * @throws PlanError If it has not what the manifest wants.
 */
export function openBinding(options: BindingOptions): Binding {
  return options.manifest.pci ? new PciBinding(options) : new VirtioBinding(options);
}
