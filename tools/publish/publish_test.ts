import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { checkVersions, PACKAGES, settings, warningsIn } from "./publish.ts";

const DYNAMIC = (file: string) =>
  `warning[unanalyzable-dynamic-import]: unable to analyze dynamic import
 --> /tmp/copy/${file}:12:9
   |
12 |   await import(name)
   |         ^ the unanalyzable dynamic import

`;

Deno.test("packages of several versions are not published", () => {
  checkVersions(PACKAGES);
  assertThrows(
    () => checkVersions([{ name: "@a/b", version: "1.0.0" }, { name: "@a/c", version: "1.0.1" }]),
    Error,
    "Packages must have one version, and these do not: @a/b 1.0.0, @a/c 1.0.1",
  );
});

Deno.test("what deno publish warns of is an error, but where it is meant so", () => {
  assertEquals(warningsIn("Check mod.ts\nPublishing @a/b ...\n"), []);
  const said = DYNAMIC("system.ts") + DYNAMIC("core/kernel/process_main.ts") +
    DYNAMIC("drivers.ts") +
    "Warning Aborting due to uncommitted changes\n";
  const warnings = warningsIn(said);
  assertEquals(warnings.length, 2);
  assertMatch(warnings[0]!, /drivers\.ts/);
  assertMatch(warnings[1]!, /uncommitted/);
});

Deno.test("each package says what JSR is to be told of it", () => {
  for (const each of PACKAGES) {
    assertMatch(settings(each), /settings: description "[^"]{20,250}"; runtimes Deno, Node\.js/);
  }
});
