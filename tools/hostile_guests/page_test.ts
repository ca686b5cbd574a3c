import { assert, assertEquals } from "@std/assert";
import { LIES } from "../../simulation/hostile.ts";
import { PAGE, page } from "./page.ts";
import { readSeen } from "./seen.ts";

Deno.test("the page of guests is what its command makes of what was seen #core:hostile_guests", () => {
  assertEquals(Deno.readTextFileSync(PAGE), page(readSeen()));
});

Deno.test("what was seen of guests is about the catalogue's lies, and of a version that is named", () => {
  for (const { program, seen } of Object.values(readSeen())) {
    assert(program.length > 3, program);
    assertEquals(Object.keys(seen).filter((id) => !(LIES as readonly string[]).includes(id)), []);
  }
});
