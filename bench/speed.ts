/**
 * Writes docs/speed.md, and its pictures, from a measurement.
 *
 *     deno task speed [measurement.json]
 *
 * @module
 */

import { NoMeasurement, readMeasurement } from "./measurement.ts";
import { report } from "./report.ts";
import { SUITES } from "./suites.ts";

const DOCS = new URL("../docs/", import.meta.url).pathname;
const FOLDER = "speed";

try {
  const path = Deno.args[0] ?? `${DOCS}${FOLDER}/measurement.json`;
  const { page, pictures } = report(await readMeasurement(path), SUITES, FOLDER);
  await Deno.mkdir(`${DOCS}${FOLDER}`, { recursive: true });
  for (const { name } of Deno.readDirSync(`${DOCS}${FOLDER}`)) {
    if (name.endsWith(".svg")) Deno.removeSync(`${DOCS}${FOLDER}/${name}`);
  }
  for (const [name, svg] of pictures) Deno.writeTextFileSync(`${DOCS}${FOLDER}/${name}`, svg);
  Deno.writeTextFileSync(`${DOCS}speed.md`, page);
} catch (error) {
  if (!(error instanceof NoMeasurement)) throw error;
  console.error(error.message);
  Deno.exitCode = 2;
}
