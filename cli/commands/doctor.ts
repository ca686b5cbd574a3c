import type { Diagnosis } from "../../machine/mod.ts";
import type { Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { printJson } from "../json.ts";
import { wrapped } from "../layout.ts";
import { printable } from "../printable.ts";

/** The version of Deno that all of this was tried with. */
const DENO = [2, 9] as const;

/** Columns of the word that stands beside each line. */
const BESIDE = 9;

/** Looks at the machine. */
export const doctor: Command = {
  name: "doctor",
  summary: "Look whether devices of this machine can be driven, and say what to do if not",
  usage: "",
  words: [0, 0],
  idle: "It looks at what this machine has, and touches no device",
  examples: [
    ["doctor", "IOMMU, VFIO, permissions, memory; each with its fix"],
    ["doctor --json", "the same for programs"],
  ],
  notes: [
    "Changes nothing. The exit status is 1 if something is missing; what only some uses need does not count.",
  ],
  async run(context) {
    const { io, options, style, columns } = context;
    const all = [deno(io.denoVersion), ...await io.system.diagnose()];
    const well = all.every(({ state }) => state !== "missing");
    if (options.json) {
      printJson(context, "doctor", {
        well,
        checks: all.map((each) => ({ ...each, fix: each.fix ?? null })),
      });
    } else {
      const paint = { ok: style.good, missing: style.bad, optional: style.faint };
      for (const { name, state, found, fix } of all) {
        const lines = [`${name}: ${printable(found)}`, ...fix === undefined ? [] : [`fix: ${fix}`]]
          .flatMap((line) => wrapped(line, columns && columns - BESIDE, 2));
        lines.forEach((line, i) =>
          io.out(
            i === 0 ? `${paint[state](state.padEnd(BESIDE))}${line}` : " ".repeat(BESIDE) + line,
          )
        );
      }
    }
    return well ? EXIT.done : EXIT.failed;
  },
};

function deno(version: string): Diagnosis {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const enough = major > DENO[0] || major === DENO[0] && minor >= DENO[1];
  return enough ? { name: "Deno", state: "ok", found: version } : {
    name: "Deno",
    state: "missing",
    found: version,
    fix: `deno upgrade ${DENO.join(".")}.6`,
  };
}
