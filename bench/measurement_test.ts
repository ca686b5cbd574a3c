import { assertEquals, assertRejects } from "@std/assert";
import { figure, measurement } from "./canned_test.ts";
import { NoMeasurement, readMeasurement, writeMeasurement } from "./measurement.ts";

const good = measurement([figure("ours", [1, 2, 3])], { missing: [{ suite: "net", why: "no" }] });

/** Does something with a file of this text. */
async function withFile(text: string, use: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, text);
    await use(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("a measurement is read as it was written #bench:json", () =>
  withFile("", async (path) => {
    await writeMeasurement(path, good);
    assertEquals(await readMeasurement(path), good);
  }));

const BAD: Readonly<Record<string, [text: string, why: string]>> = {
  "no JSON": ["C is faster", "it is no JSON"],
  "JSON of something else": ["[1, 2]", 'it has no "schema"'],
  "an older one": [JSON.stringify({ ...good, schema: 1 }), 'its "schema" is 1, wanted 2'],
  "no machine": [JSON.stringify({ ...good, machine: null }), "machine is missing"],
  "versions that are none": [
    JSON.stringify({ ...good, machine: { ...good.machine, programs: { deno: 2 } } }),
    "machine.programs is missing",
  ],
  "no samples": [
    JSON.stringify({ ...good, figures: [figure("ours", [])] }),
    "figures[0].samples is missing",
  ],
  "a sample that is nothing": [
    JSON.stringify({ ...good, figures: [figure("ours", [0])] }),
    "figures[0].samples is missing",
  ],
};

for (const [name, [text, why]] of Object.entries(BAD)) {
  Deno.test(`no measurement: ${name} #bench:bad_input`, () =>
    withFile(text, async (path) => {
      await assertRejects(() => readMeasurement(path), NoMeasurement, why);
    }));
}

Deno.test("no measurement: no file", async () => {
  await assertRejects(() => readMeasurement("/nowhere"), NoMeasurement, "there is no such file");
});
