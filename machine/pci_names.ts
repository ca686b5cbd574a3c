import { exists, readText } from "../core/linux/file.ts";
import { parseNames, type PciNames, preferNames } from "./names.ts";
import { BUILT_IN_NAMES } from "./names_built_in.ts";

/** Where distributions keep the file: Debian and its children, then Fedora and its. */
const PATHS = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"] as const;

let cached: PciNames | undefined;

/** The names that this machine's `pci.ids` has, else the built-in ones. The file is read once, at first use. */
export function pciNames(paths: readonly string[] = PATHS): PciNames {
  if (cached && paths === PATHS) return cached;
  const names = load(paths);
  if (paths === PATHS) cached = names;
  return names;
}

function load(paths: readonly string[]): PciNames {
  for (const path of paths) {
    try {
      if (exists(path)) return preferNames(parseNames(readText(path)), BUILT_IN_NAMES);
    } catch {
      // Names are a courtesy: a file that cannot be read is as good as none.
    }
  }
  return BUILT_IN_NAMES;
}
