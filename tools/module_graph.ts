/**
 * The import graph of modules, as `deno info` tells it.
 *
 * @module
 */

/** What of the answer of `deno info --json` is looked at. */
interface Info {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly {
      readonly code?: { readonly specifier: string };
      readonly type?: { readonly specifier: string };
    }[];
  }[];
}

/**
 * What each module imports, of all that an entry leads to; by URLs.
 *
 * @param entry URL or path of a module.
 * @param cwd Where its configuration is.
 * @param signal Ends it early.
 * @throws {Error} If there is no such module, or not all that it imports.
 */
export async function moduleGraph(
  entry: string,
  cwd: URL,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    cwd,
    env: { NO_COLOR: "1" },
    ...(signal && { signal }),
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const { modules }: Info = JSON.parse(new TextDecoder().decode(stdout));
  return new Map(modules.map(({ specifier, dependencies = [] }) => [
    specifier,
    dependencies.flatMap(({ code, type }) => (code ?? type)?.specifier ?? []),
  ]));
}
