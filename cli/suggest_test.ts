import { assertEquals } from "@std/assert";
import { suggest } from "./suggest.ts";

Deno.test("suggest names what is near, and nothing that is far", () => {
  const names = ["ls", "show", "check", "drivers"];
  assertEquals(suggest("shwo", names), ' Did you mean "show"?');
  assertEquals(suggest("driver", names), ' Did you mean "drivers"?');
  assertEquals(suggest("l", names), ' Did you mean "ls"?');
  assertEquals(suggest("LS", names), ' Did you mean "ls"?');
  assertEquals(suggest("format", names), "");
  assertEquals(suggest("x", []), "");
});
