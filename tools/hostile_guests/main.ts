/**
 * What guests make of devices that lie: writes docs/hostile-guests.md. `deno task guests` asks all, and takes about half
 * an hour; `deno task guests linux seabios` asks some guests, and `deno task guests D-01 D-41` about some lies, and then
 * only prints what it finds.
 *
 * @module
 */

import { lie, type LieId, LIES } from "../../simulation/hostile.ts";
import { unpacked } from "../unpacked.ts";
import { type Firmware, meetFirmware, OVMF, SEABIOS } from "./firmware.ts";
import { LinuxGuests } from "./linux.ts";
import { NOTHING, type Verdict } from "./verdict.ts";

const PAGE = new URL("../../docs/hostile-guests.md", import.meta.url);

const qemu = unpacked("newer-qemu");
if (qemu === undefined) {
  console.error("There is no newer QEMU than the system's: deno task prepare fetches one");
  Deno.exit(1);
}
const FIRMWARES: Readonly<Record<string, Firmware>> = { seabios: SEABIOS, ovmf: OVMF };
const GUESTS = ["linux", ...Object.keys(FIRMWARES)];
const unknown = Deno.args.filter((each) => ![...LIES, ...GUESTS].includes(each));
if (unknown.length > 0) {
  console.error(`Unknown: ${unknown.join(", ")}. There are ${[...GUESTS, ...LIES].join(", ")}`);
  Deno.exit(2);
}
const some = LIES.filter((each) => Deno.args.includes(each));
const chosen = some.length > 0 ? some : LIES;
const asked = GUESTS.filter((each) => Deno.args.includes(each));
const firmwares = Object.entries(FIRMWARES)
  .filter(([name]) => asked.length === 0 || asked.includes(name)).map(([, firmware]) => firmware);

/** One that goes wrong here is no reason to end. */
async function attempt<T>(what: string, act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    console.error(`${what}: ${(error as Error).message.split("\n")[0]}`);
    return undefined;
  }
}

interface Row {
  readonly id: LieId;
  readonly does: string;
  readonly verdicts: readonly Verdict[];
}

const rows: Row[] = [];
{
  await using guests = new LinuxGuests(qemu);
  for (const id of chosen) {
    const met = await attempt(`${id} Linux`, () => guests.meet(id));
    const verdicts = [met?.qemu ?? NOTHING, met?.linux ?? NOTHING];
    for (const firmware of firmwares) {
      // A device that QEMU does not take, no firmware meets.
      const meets = met?.qemu.outcome === "PASS";
      const verdict = meets &&
        await attempt(`${id} ${firmware.name}`, () => meetFirmware(qemu, firmware, id));
      verdicts.push(verdict || NOTHING);
    }
    rows.push({ id, does: lie(id).does, verdicts });
    console.log(
      `${id} ${verdicts.map(({ outcome }) => outcome).join(" ")}  ${
        verdicts.map(({ said }) => said).filter((said) => said !== "").join(" | ")
      }`,
    );
  }
}

if (some.length === 0) await Deno.writeTextFile(PAGE, await page(rows));

async function page(rows: readonly Row[]): Promise<string> {
  const { stdout } = await new Deno.Command(qemu!, { args: ["--version"] }).output();
  const [, version] = /version (\S+)/.exec(new TextDecoder().decode(stdout)) ?? [];
  const names = [
    `QEMU ${version}`,
    `Linux ${await LinuxGuests.release()}`,
    ...firmwares.map(({ name }) => name),
  ];
  const counts = names.map((_, i) => {
    const all = rows.map(({ verdicts }) => verdicts[i]!.outcome);
    return ["PASS", "REFUSED", "WEDGED", "CRASH"]
      .map((outcome) => `${all.filter((each) => each === outcome).length} ${outcome}`).join(", ");
  });
  const cell = ({ outcome, said }: Verdict) =>
    said === "" ? outcome : `${outcome}<br>\`${said.replaceAll("|", "\\|").replaceAll("`", "'")}\``;
  return [
    "# What guests make of devices that lie",
    "",
    "Made by `deno task guests`; not to be edited. Each row is a disk of ours that breaks one rule (`simulation/lies`), served by vfio-user",
    "to a guest, with the program's own line where it said something. PASS: it works with the device. REFUSED: it gives the",
    "device up and goes on. WEDGED: it waits or is busy until the time is over. CRASH: it ends. -: the device did not come so far.",
    "Linux is hot-plugged, then writes and reads 128 KiB past its cache; firmware starts a program from the disk.",
    "",
    ...names.map((name, i) => `- ${name}: ${counts[i]}`),
    "",
    `| lie | the device | ${names.join(" | ")} |`,
    `| --- | --- | ${names.map(() => "---").join(" | ")} |`,
    ...rows.map(({ id, does, verdicts }) =>
      `| ${id} | ${does} | ${verdicts.map(cell).join(" | ")} |`
    ),
    "",
  ].join("\n");
}
