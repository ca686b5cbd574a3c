/**
 * `conform device` from the command line, and what `docs/test-your-device.md` says of it.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { patience } from "./support/patience.ts";
import "./support/libc.ts";

const ROOT = new URL("../", import.meta.url);
const TEXT = Deno.readTextFileSync(new URL("docs/test-your-device.md", ROOT));
const LINES = [...TEXT.matchAll(/^deno run --allow-ffi main\.ts (conform device .*)$/gm)]
  .map(([, line]) => line!);

/** Runs the program, with its files in a folder. */
async function run(line: string, folder: string) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "--allow-ffi", new URL("main.ts", ROOT).pathname].concat(
      line.replaceAll("results.xml", `${folder}/results.xml`).split(" "),
    ),
    cwd: ROOT,
    stdin: "null",
    signal: patience(),
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: decode(stdout), err: decode(stderr) };
}

Deno.test("docs/test-your-device.md: its command lines run #conform:commands", async (t) => {
  assert(LINES.length >= 5, LINES.join("\n"));
  const folder = Deno.makeTempDirSync({ prefix: "virtio-conform-" });
  for (const line of LINES) {
    await t.step(line, async () => {
      const { code, out, err } = await run(line, folder);
      assertEquals(code, 0, out + err);
      if (line.includes("--json")) {
        const { command, devices: [device, ...others] } = JSON.parse(out);
        assertEquals([command, device.address, others.length], [
          "conform device",
          "0000:00:02.0",
          0,
        ]);
        assert(device.checks.length > 100);
        const keys = ["name", "section", "level", "does", "verdict", "why", "milliseconds"];
        assertEquals(Object.keys(device.checks[0]), keys);
      } else assertMatch(err, /0000:00:01\.0: \d+ conforms, 0 violates, 0 wedged, 0 cannot tell/);
      if (line.includes("--misuse")) assertStringIncludes(out, "misuse.loop");
      if (line.includes("--junit")) {
        const xml = Deno.readTextFileSync(`${folder}/results.xml`);
        assertEquals(xml.match(/<testsuite /g)?.length, 6);
        assertStringIncludes(xml, 'classname="rings"');
      }
    });
  }
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("conform device: what is wrong on the command line is one sentence #conform:commands", async () => {
  for (
    const [line, wanted] of [
      ["--only rings.wrop", /Unknown check "rings\.wrop".* Did you mean "rings\.wrap"/],
      ["--only misuse.loop", /without --misuse/],
      ["--seed 1.5", /--seed/],
      ["--patience none", /--patience/],
    ] as const
  ) {
    const { code, out, err } = await run(`conform device --machine simulated ${line}`, "/tmp");
    assertEquals([code, out], [2, ""], line);
    assertMatch(err, wanted);
    assertEquals(err.trim().split("\n").filter((line) => line.startsWith("error")).length, 1, err);
  }
});
