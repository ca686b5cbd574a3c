import { assertEquals, assertStringIncludes } from "@std/assert";
import { runFake, VTNET } from "../../fake_test.ts";
import { FakeCard } from "../../net/fake_test.ts";
import { isInterfaceName } from "../../../core/linux/tap.ts";

Deno.test("net bridge takes the names that Linux takes, and refuses others before it opens anything #cli:tap_names", async () => {
  for (const name of ["tap0", "tap%d", "abcdefghijklmno", "größe", "a.b", "...", "a-b_c@d"]) {
    assertEquals(isInterfaceName(name), true, name);
  }
  const wrong = ["abcdefghijklmnop", "ééééééé%", ".", "..", "a/b", "a:b", "%s", "%d%d", "a\tb"];
  for (const name of ["", "a b", "a\0b", ...wrong]) {
    assertEquals(isInterfaceName(name), false, name);
  }
  for (const name of wrong) {
    const { exit, err, calls } = await runFake(`net bridge --tap ${name}`, {
      drivers: [VTNET],
      refusal: "",
      card: new FakeCard(),
    });
    assertEquals([exit, calls], [2, []]);
    assertStringIncludes(err, "for --tap: wanted the name of an interface, 1 to 15 bytes");
  }
});
