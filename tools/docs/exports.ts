const CONFIG = new URL("../../deno.json", import.meta.url);

/** The modules that the package exports, by path. */
export function exports(): string[] {
  const { exports } = JSON.parse(Deno.readTextFileSync(CONFIG)) as {
    readonly exports: Readonly<Record<string, string>>;
  };
  // The command line is a program: it exports nothing.
  return Object.entries(exports).filter(([name, path]) => name !== "./cli" && path.endsWith(".ts"))
    .map(([, path]) => path);
}
