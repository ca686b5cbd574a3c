/**
 * What the packages export is documented, symbol by symbol and member by member.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { documented, exportsOf, lint } from "../tools/documented.ts";
import { PACKAGES } from "../tools/publish/publish.ts";

for (const { folder, name } of PACKAGES) {
  Deno.test(`${name}: all that it exports says what it is #core:documented`, async () => {
    const { total, missing } = await documented(exportsOf(folder));
    assert(total > 5, `${total} symbols`);
    assertEquals(missing, []);
  });
}

const SAMPLE = `
export interface Shape {
  sides: number;
  /** Its area. */
  area(): number;
}
/** A box. */
export class Box {
  constructor(length: number) {}
  open(): void {}
  private secret(): void {}
}
/** What may happen. */
export type News = { readonly type: "opened"; readonly by: string } | { readonly type: "shut" };
export { documented as counted } from "${new URL("../tools/documented.ts", import.meta.url)}";
`;

Deno.test("documented() finds modules, symbols and members that say nothing", async () => {
  const file = Deno.makeTempFileSync({ prefix: "virtio-documented-", suffix: ".ts" });
  try {
    Deno.writeTextFileSync(file, SAMPLE);
    const { missing } = await documented([file]);
    const names = missing.map((each) => each.replace(/^\S*:\d+ /, ""));
    assertEquals(names.sort(), [
      "(the module)",
      "Box.constructor",
      "Box.open",
      "News.by",
      "Shape",
      "Shape.sides",
    ]);
    assert((await lint([file])).includes("missing-jsdoc"), "deno doc --lint says nothing");
  } finally {
    Deno.removeSync(file);
  }
});
