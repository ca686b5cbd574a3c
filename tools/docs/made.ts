/**
 * What stands between `<!-- made: <part> -->` and `<!-- end -->` in a page is made from the code: classes, commands, lies, exit
 * statuses, schemas. This writes it anew in all pages; `tests/docs_test.ts` fails where one is old.
 *
 *     deno run -A tools/docs/made.ts
 *
 * @module
 */

import { classes } from "./made/classes.ts";
import { commands } from "./made/commands.ts";
import { exits } from "./made/exits.ts";
import { lies } from "./made/lies.ts";
import { schemas } from "./made/schemas.ts";

const ROOT = new URL("../../", import.meta.url);

/** All that can be made, by name: Markdown. */
const PARTS: Readonly<Record<string, () => string>> = { classes, commands, exits, lies, schemas };

/**
 * A page with its made parts as they should be now.
 *
 * @throws {SyntaxError} If a part has no such name.
 */
export async function made(text: string): Promise<string> {
  const whole = text.replace(
    /^(<!-- made: (\w+) -->\n)[^]*?^(<!-- end -->)$/gm,
    (_, begin: string, name: string, end: string) => {
      const make = PARTS[name];
      if (!make) {
        throw new SyntaxError(
          `Cannot make ${name}: there are ${Object.keys(PARTS).join(", ")}`,
        );
      }
      return `${begin}\n${make()}\n\n${end}`;
    },
  );
  return whole === text ? text : await formatted(whole);
}

/** As `deno fmt` has it. */
async function formatted(text: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "md", "-"],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error("deno fmt takes no such page");
  return new TextDecoder().decode(stdout);
}

/** Pages that have made parts, with their text. */
export function pagesWithParts(): [path: string, text: string][] {
  return [...Deno.readDirSync(new URL("docs", ROOT))].map(({ name }) => `docs/${name}`)
    .filter((path) => path.endsWith(".md")).sort()
    .map((path): [string, string] => [path, Deno.readTextFileSync(new URL(path, ROOT))])
    .filter(([, text]) => text.includes("<!-- made: "));
}

if (import.meta.main) {
  for (const [path, text] of pagesWithParts()) {
    const now = await made(text);
    if (now !== text) {
      console.log(path);
      Deno.writeTextFileSync(new URL(path, ROOT), now);
    }
  }
}
