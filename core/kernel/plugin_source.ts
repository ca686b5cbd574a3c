import type { Manifest } from "../plugin/manifest.ts";
import type { AnyPlugin } from "../plugin/pci_plugin.ts";

/** A driver that the kernel can start. */
export interface PluginSource {
  /** What its `plugin.json` says. */
  readonly manifest: Manifest;
  /** URL of its module, for a process of its own. */
  readonly entry: string;
  /** The plugin itself, if the application trusts it enough to run it inline. */
  readonly plugin?: AnyPlugin;
}

/** The URL of the folder that a driver's manifest stands in. */
export function folderOf({ entry, manifest }: PluginSource): string {
  if (!entry.startsWith("file:")) return entry;
  // The manifest names the entry from its own folder, without a way up.
  const depth = manifest.entry.split("/").filter((part) => part !== "." && part !== "").length;
  return new URL("../".repeat(depth - 1) || ".", entry).href;
}
