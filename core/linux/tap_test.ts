import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { testWith } from "../../tests/support/needs.ts";
import { openTap } from "./tap.ts";
import { patience } from "../../tests/support/patience.ts";

Deno.test("openTap() refuses names that no interface can have, before it asks the system", () => {
  for (const name of ["", "sixteen-bytes-00", "a b", "a/b", "é".repeat(8), "a\0b"]) {
    assertThrows(() => openTap(name), RangeError, "Cannot name a network interface");
  }
});

/** Why no network of our own can be made; undefined if it can. */
const obstacle = why();

function why(): string | undefined {
  try {
    const { success } = new Deno.Command("unshare", {
      args: ["--net", "ip", "tuntap", "add", "probe", "mode", "tap"],
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return success ? undefined : "no tap can be made in a network namespace";
  } catch {
    return "there is no unshare(1) or ip(8)";
  }
}

/** Runs a program in a network of its own, and returns what it prints. */
async function inNamespace(program: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("unshare", {
    signal: patience(),
    args: ["--net", Deno.execPath(), "eval", program],
    env: { NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

const IMPORTS = `
  import { close, read } from "${import.meta.resolve("./fd.ts")}";
  import { bringUp, openTap, writeFrame } from "${import.meta.resolve("./tap.ts")}";
  import { poll, POLLIN } from "${import.meta.resolve("./poll.ts")}";
  const show = (name) => JSON.parse(new TextDecoder().decode(new Deno.Command("ip", {
    args: ["-json", "link", "show", name] }).outputSync().stdout) || "[]")[0];
`;

testWith(
  obstacle,
  "openTap() makes an interface that is up, passes frames, and goes away with its descriptor",
  async () => {
    const printed = await inNamespace(`${IMPORTS}
      const { name, fd } = openTap("card%d");
      console.log(name, writeFrame(fd, new Uint8Array(60)));
      bringUp(name, 1400);
      const { flags, mtu } = show(name);
      console.log(flags.includes("UP"), flags.includes("LOWER_UP"), mtu);
      // What the system says first on a new network: it solicits a router.
      const frame = new Uint8Array(2000);
      poll(Int32Array.of(fd, POLLIN), 1, 10000);
      console.log(read(fd, frame) > 14, frame[12].toString(16), frame[13].toString(16));
      console.log(writeFrame(fd, frame.subarray(0, 60)));
      try { openTap(name) } catch (error) { console.log(error.message) }
      try { bringUp(name, 1e9) } catch (error) { console.log(error.message) }
      close(fd);
      console.log(show(name));
      try { bringUp(name, 1400) } catch (error) { console.log(error.message) }
    `);
    const lines = printed.trim().split("\n");
    assertEquals(lines.slice(0, 4), [
      "card0 false",
      "true true 1400",
      "true 86 dd",
      "true",
    ]);
    assertMatch(lines[4]!, /^Cannot attach to the tap card0: EBUSY/);
    assertMatch(lines[5]!, /^Cannot bring card0 up with an MTU of 1000000000: EINVAL/);
    assertEquals(lines[6], "undefined");
    assertMatch(lines[7]!, /^Cannot bring card0 up with an MTU of 1400: ENODEV/);
  },
);
