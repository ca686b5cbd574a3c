/**
 * Draws the pictures of docs/how-it-works.md, of what a run of a simulated machine shows.
 *
 *     deno run -A tools/docs/pictures.ts
 *
 * @module
 */

import { lane } from "./pictures/lane.ts";
import { life } from "./pictures/life.ts";
import { processes } from "./pictures/processes.ts";
import { ring } from "./pictures/ring.ts";
import { run } from "./pictures/run.ts";

const FOLDER = new URL("../../docs/pictures/", import.meta.url);

/** The pictures, by the names of their files. */
export async function pictures(): Promise<Readonly<Record<string, string>>> {
  const seen = await run("process");
  return {
    "lane.svg": lane(seen.events),
    "life.svg": life(seen.events),
    "processes.svg": processes(seen.processes),
    "ring.svg": ring(seen.events),
  };
}

if (import.meta.main) {
  Deno.mkdirSync(FOLDER, { recursive: true });
  for (const [name, text] of Object.entries(await pictures())) {
    Deno.writeTextFileSync(new URL(name, FOLDER), text);
  }
}
