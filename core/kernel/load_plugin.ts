import { readText } from "../linux/file.ts";
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
  const absolute = (folder.startsWith("/") ? folder : `${Deno.cwd()}/${folder}`).replace(
    /\/+$/,
    "",
  );
  // A folder's name may hold what means something else in a URL.
  const path = absolute.split("/").map(encodeURIComponent).join("/");
  return { manifest, entry: new URL(manifest.entry, `file://${path}/`).href };
}
