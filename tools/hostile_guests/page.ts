import { lie, LIES } from "../../simulation/hostile.ts";
import { COLUMNS, type Columns, type Seen } from "./seen.ts";

/** Where it stands. */
export const PAGE = new URL("../../docs/hostile-guests.md", import.meta.url);

/** docs/hostile-guests.md, of what was seen. */
export function page(columns: Columns): string {
  const shown = COLUMNS.flatMap((name) => columns[name] ?? []);
  return [
    "# What guests make of devices that lie",
    "",
    "Made by `deno task guests`; not to be edited. Each row is a disk of ours that breaks one rule (`simulation/lies`), served by vfio-user",
    "to a guest, with the program's own line where it said something. PASS: it works with the device. REFUSED: it gives the",
    "device up and goes on. WEDGED: it waits or is busy until the time is over. CRASH: it ends. -: the device did not come so far.",
    "Linux is hot-plugged, then writes and reads 128 KiB past its cache; firmware starts a program from the disk.",
    "",
    ...shown.map(({ program, seen }) =>
      `- ${program}: ${counts(LIES.flatMap((id) => seen[id] ?? []))}`
    ),
    "",
    `| lie | the device | ${shown.map(({ program }) => program).join(" | ")} |`,
    `| --- | --- | ${shown.map(() => "---").join(" | ")} |`,
    ...LIES.map((id) =>
      `| ${id} | ${lie(id).does} | ${shown.map(({ seen }) => cell(seen[id])).join(" | ")} |`
    ),
    "",
  ].join("\n");
}

/** How often each outcome was seen, and when. */
function counts(seen: readonly Seen[]): string {
  const outcomes = ["PASS", "REFUSED", "WEDGED", "CRASH"]
    .map((outcome) => `${seen.filter((each) => each.outcome === outcome).length} ${outcome}`);
  const days = seen.map(({ on }) => on).sort();
  const [first, last] = [days[0], days.at(-1)];
  return `${outcomes.join(", ")} (${first === last ? first : `${first} to ${last}`})`;
}

function cell(seen: Seen | undefined): string {
  if (!seen) return "not tried";
  const { outcome, said } = seen;
  return said === ""
    ? outcome
    : `${outcome}<br>\`${said.replaceAll("|", "\\|").replaceAll("`", "'")}\``;
}
