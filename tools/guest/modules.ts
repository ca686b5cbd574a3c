/**
 * Kernel modules with all that they need.
 *
 * @module
 */

/** Lines of `modules.dep`: each names a module and what it needs. */
export function dependencies(text: string): Map<string, readonly string[]> {
  const lines = text.split("\n").filter((line) => line.includes(":"));
  return new Map(lines.map((line) => {
    const [module, needs] = line.split(":") as [string, string];
    return [nameOf(module), [module, ...needs.split(" ").filter((need) => need !== "")]];
  }));
}

/**
 * The files of these modules and of those that they need.
 *
 * @param names As `modprobe` takes them.
 */
export function closure(
  names: readonly string[],
  all: ReadonlyMap<string, readonly string[]>,
): Set<string> {
  return new Set(names.flatMap((name) => {
    const files = all.get(nameOf(name));
    if (!files) throw new Error(`Cannot find the kernel module ${name}: the kernel has none`);
    return files;
  }));
}

/** A module's name: in the names of files a dash may stand for an underscore. */
export function nameOf(path: string): string {
  return path.replace(/^.*\/|\.ko$/g, "").replaceAll("-", "_");
}
