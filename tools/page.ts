/**
 * Writes `watch/trace/page_asset.ts`: the page that shows a trace, as one text, from its sources in `watch/page`. Needs the
 * npm registry, or what was fetched from it before.
 *
 * @module
 */

const ROOT = new URL("../", import.meta.url);
/** What is written. */
export const ASSET: URL = new URL("watch/trace/page_asset.ts", ROOT);

/** The text of the module, made anew. */
export async function makePage(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "browser", "--minify", "watch/page/main.tsx"],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  // What would end the script is no part of any program, only of texts in it.
  const script = new TextDecoder().decode(stdout).trim().replaceAll("</", "<\\/");
  const style = (await Deno.readTextFile(new URL("watch/page/style.css", ROOT)))
    .replace(/\s+/g, " ");
  const asset = { style, script };
  return [
    "// Made by `deno task page` from `watch/page`: do not edit.",
    "// deno-fmt-ignore-file",
    "",
    "/** The page that shows a trace: style and program, as text. */",
    "export const PAGE: { readonly style: string; readonly script: string } =",
    `  ${JSON.stringify(asset)};`,
    "",
  ].join("\n");
}

if (import.meta.main) await Deno.writeTextFile(ASSET, await makePage());
