import { fileUrl, readText } from "../linux/file.ts";
import { parseManifest } from "../plugin/check_manifest.ts";
import { ManifestError } from "../plugin/manifest.ts";
import { OsError } from "../linux/os_error.ts";
import type { PluginSource } from "./plugin_source.ts";

/**
 * Reads the `plugin.json` of a driver in a folder. None of its code runs.
 *
 * @param folder Path of the folder.
 * @throws ManifestError If it is wrong, or there is none.
 * @throws OsError If it cannot be read.
 */
export function loadPlugin(folder: string): PluginSource {
  const file = `${folder.replace(/\/+$/, "")}/plugin.json`;
  const manifest = parseManifest(readManifest(folder, file), file);
  return {
    manifest,
    entry: new URL(manifest.entry, `${fileUrl(folder).replace(/\/+$/, "")}/`).href,
  };
}

function readManifest(folder: string, file: string): string {
  try {
    return readText(file);
  } catch (error) {
    if (!(error instanceof OsError && error.code === "ENOENT")) throw error;
    throw new ManifestError(
      `Cannot find a driver in ${folder}: wanted the folder of a driver, which has a file plugin.json`,
    );
  }
}
