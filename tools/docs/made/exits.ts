import { MEANING } from "../../../cli/exit.ts";
import { slug, table } from "../markdown.ts";

const PAGE = new URL("../../../docs/troubleshooting.md", import.meta.url);

/**
 * The exit statuses: what each means, with a link to what to do.
 *
 * @throws {Error} If the page has no section about one.
 */
export function exits(): string {
  const headings = [...Deno.readTextFileSync(PAGE).matchAll(/^## (.+)$/gm)].map(([, text]) =>
    text!
  );
  return table(
    ["status", "meaning", "what to do"],
    MEANING.map(([status, meaning]) => {
      const heading = headings.find((each) => each.match(/\d+/g)?.includes(String(status)));
      if (heading === undefined && status !== 0) {
        throw new Error(`docs/troubleshooting.md has no section about the exit status ${status}`);
      }
      return [String(status), meaning, heading ? `[${heading}](#${slug(heading)})` : ""];
    }),
  );
}
