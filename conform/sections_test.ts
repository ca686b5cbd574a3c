import { assert, assertEquals } from "@std/assert";
import { sections } from "../tools/sections.ts";
import { CHECKS } from "./mod.ts";
import table from "./sections.json" with { type: "json" };

const TITLES: Readonly<Record<string, string>> = table;
/** What the chapters of the device types are called (5), by type. */
const CHAPTERS: Readonly<Record<number, string>> = {
  1: "5.1",
  2: "5.2",
  3: "5.3",
  4: "5.4",
  5: "5.5",
  8: "5.6",
};

Deno.test("each check cites a section of VirtIO 1.4 that there is #conform:sections", () => {
  const cited = CHECKS.map(({ section }) => section).filter((section) => !/^PCI/.test(section));
  assertEquals(cited.filter((section) => !(section in TITLES)), []);
  assertEquals(Object.keys(TITLES).filter((section) => !cited.includes(section)), []);
});

Deno.test("checks of a device type cite its own chapter or those for all, and cite drivers' duties nowhere but where a device has its own from them #conform:sections", () => {
  for (const { name, section, type } of CHECKS) {
    if (!/^5\./.test(section)) continue;
    assert(type !== undefined, `${name} is for all types, and cites ${section}`);
    assert(
      section.startsWith(CHAPTERS[type]!),
      `${name} is about type ${type}, and cites ${section}`,
    );
  }
  const drivers = CHECKS.filter(({ section }) =>
    TITLES[section]?.startsWith("Driver Requirements")
  );
  assertEquals(drivers.map(({ name }) => name), [
    // A device has to bear what the driver is told to do.
    "status.after_driver_ok",
    "configuration.widths",
    "queues.smaller",
    "reset.again",
    "block.half_a_sector",
  ]);
});

Deno.test("sections are numbered as LaTeX numbers them, with those of normative statements", () => {
  const text = String.raw`
    \chapter{First}\section{One}\label{sec:One}
    \chapter{Second}
    \section{\field{Device Status} Field}
    \drivernormative{\subsection}{Status \& more}{label}
    \devicenormative{\subsection}{Status}{label}
    \section{Other}\subsection{Inner}\paragraph{Deep}`;
  assertEquals([...sections(text)], [
    ["1", "First"],
    ["1.1", "One"],
    ["2", "Second"],
    ["2.1", "Device Status Field"],
    ["2.1.1", "Driver Requirements: Status & more"],
    ["2.1.2", "Device Requirements: Status"],
    ["2.2", "Other"],
    ["2.2.1", "Inner"],
    ["2.2.1.0.1", "Deep"],
  ]);
});
