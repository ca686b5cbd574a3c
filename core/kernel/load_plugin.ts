import { fileUrl, readText } from "../linux/file.ts";
import { parseManifest } from "../plugin/manifest.ts";
import type { PluginSource } from "./attachment.ts";

/**
 * Reads the `plugin.json` of a driver in a folder. None of its code runs.
 *
 * @param folder Path of the folder.
 * @throws ManifestError If it is wrong.
 * @throws OsError If it cannot be read.
 */
export function loadPlugin(folder: string): PluginSource {
  const file = `${folder.replace(/\/+$/, "")}/plugin.json`;
  const manifest = parseManifest(readText(file), file);
  return {
    manifest,
    entry: new URL(manifest.entry, `${fileUrl(folder).replace(/\/+$/, "")}/`).href,
  };
}
