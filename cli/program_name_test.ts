import { assertEquals } from "@std/assert";
import { programName, shortName } from "./program_name.ts";

const MAIN = "file:///home/me/virtio/main.ts";
const REGISTRY = "https://jsr.io/@virtio/deno/0.1.0/main.ts";

/** What `deno install --global` writes starts the program so. */
function installed(name: string, main: string): string[] {
  const config = `/home/me/.deno/bin/.${name}/deno.json`;
  return ["deno", "run", "--allow-ffi", "--config", config, main, "ls"];
}

Deno.test("the program is called as the user started it #cli:program_name", () => {
  const name = (main: string, commandLine: readonly string[], standalone = false) =>
    programName({ main, commandLine, standalone });
  const source = "deno run --allow-ffi main.ts";
  const registry = "deno run --allow-ffi jsr:@virtio/deno/cli";
  assertEquals(name(MAIN, ["deno", "run", "--allow-ffi", "main.ts", "ls"]), source);
  assertEquals(name(MAIN, []), source);
  assertEquals(name(MAIN, ["deno", "run", "--config", "/x/deno.json", "main.ts"]), source);
  assertEquals(name(REGISTRY, ["deno", "run", "jsr:@virtio/deno/cli"]), registry);
  assertEquals(name(MAIN, installed("virtio", MAIN)), "virtio");
  assertEquals(name(REGISTRY, installed("v-2.1", REGISTRY)), "v-2.1");
  assertEquals(name("file:///deno-compile/main.ts", ["/opt/bin/virt", "ls"], true), "virt");
  assertEquals([shortName("v2"), shortName(source)], ["v2", "virtio"]);
});
