/**
 * What the packages export: documented symbol by symbol and member by member, and of types that are right for programs that are less
 * strict than this one.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { documented, exportsOf, lint } from "../tools/documented.ts";
import { PACKAGES } from "../tools/publish/publish.ts";
import { openRegistry } from "../tools/publish/registry.ts";
import { PATIENCE } from "./support/patience.ts";

for (const { folder, name } of PACKAGES) {
  Deno.test(`${name}: all that it exports says what it is #core:documented`, async () => {
    const { total, missing } = await documented(exportsOf(folder));
    assert(total > 5, `${total} symbols`);
    assertEquals(missing, []);
  });
}

Deno.test("each package has what JSR's score asks for and can be seen here #core:jsr_score", () => {
  for (const { folder, name, description } of PACKAGES) {
    const readme = Deno.readTextFileSync(new URL(`../${folder}/README.md`, import.meta.url));
    assert(/^```(ts|sh)$/m.test(readme), `${name} has a README without an example`);
    assert(description.length > 20, `${name} says nothing of itself`);
    assert(exportsOf(folder).length > 0, `${name} exports nothing`);
  }
});

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

Deno.test("all exports: their types are right with no stricter settings than Deno's own #core:types", async () => {
  const home = Deno.makeTempDirSync({ prefix: "virtio-types-" });
  await using registry = await openRegistry();
  try {
    // A package is checked by what it declares, a folder, as authors link one, by each line.
    const links = [decodeURIComponent(new URL("../", import.meta.url).pathname)];
    Deno.writeTextFileSync(`${home}/deno.json`, JSON.stringify({ links }));
    const own = JSON.parse(Deno.readTextFileSync(new URL("../deno.json", import.meta.url)));
    const names = Object.keys(own.exports).filter((name) =>
      // Programs are nothing that others import.
      own.exports[name].endsWith(".ts") && !["./cli", "./create"].includes(name)
    );
    const imports = names.map((name) =>
      `import "jsr:${own.name}@^${own.version}${name.slice(1)}";`
    );
    Deno.writeTextFileSync(`${home}/main.ts`, imports.join("\n"));
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "main.ts"],
      cwd: home,
      env: { NO_COLOR: "1", JSR_URL: registry.url, DENO_DIR: `${home}/deno` },
      stdout: "null",
      // Every line of the project: a busy machine needs minutes for it.
      signal: AbortSignal.timeout(3 * PATIENCE),
    }).output();
    assert(success, new TextDecoder().decode(stderr));
  } finally {
    Deno.removeSync(home, { recursive: true });
  }
});
