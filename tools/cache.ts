/**
 * What tools make once and keep outside the tree.
 *
 * @module
 */

/** The folder that it is kept in; it may not be there yet. */
export function cacheFolder(): string {
  const { XDG_CACHE_HOME, HOME = "/tmp" } = Deno.env.toObject();
  return `${XDG_CACHE_HOME || `${HOME}/.cache`}/virtio-deno`;
}

/**
 * A folder of the cache, built if it is not there yet. It is there whole or not at all.
 *
 * @param name Its name; has to differ whenever what is in it would.
 * @param build Fills an empty folder that gets the name afterwards.
 * @returns Its path.
 */
export async function kept(
  name: string,
  build: (folder: string) => Promise<void>,
): Promise<string> {
  const cache = cacheFolder();
  const path = `${cache}/${name}`;
  if (exists(path)) return path;
  await Deno.mkdir(cache, { recursive: true });
  const folder = await Deno.makeTempDir({ dir: cache, prefix: "building-" });
  try {
    await build(folder);
    // Another test run may have been faster.
    if (!exists(path)) await Deno.rename(folder, path);
  } finally {
    if (exists(folder)) await Deno.remove(folder, { recursive: true });
  }
  return path;
}

/** Whether there is something at a path. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
