/**
 * What the program prints with `--json`, held against the schema that goes with it.
 *
 * @module
 */

import { assert } from "@std/assert";
import { Ajv } from "ajv";

/** The schema of all that is printed. */
export const OUTPUT: { readonly $defs: Readonly<Record<string, object>> } = JSON.parse(
  Deno.readTextFileSync(new URL("../../schemas/output.json", import.meta.url)),
);

const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true });
ajv.addSchema(OUTPUT, "output");

/** Makes sure that a document is as the schema says. Returns it. */
// deno-lint-ignore no-explicit-any -- whatever the caller knows of it
export function checkJson(text: string): any {
  const document = JSON.parse(text);
  const failed = Object.keys(document).join() === "schema,command,error";
  const name = failed ? "failure" : document.command;
  const check = ajv.getSchema(`output#/$defs/${encodeURIComponent(name)}`);
  assert(check, `${name} is not in schemas/output.json`);
  assert(check(document), `${name}: ${ajv.errorsText(check.errors)}\n${text.slice(0, 2000)}`);
  return document;
}
