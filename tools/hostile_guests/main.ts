/**
 * What guests make of devices that lie: writes docs/hostile-guests.md. `deno task guests` asks all, which takes two hours
 * or so; `deno task guests newer-linux seabios` asks some, and `deno task guests D-01 D-41` about some lies. The page then
 * has what was seen before of the rest.
 *
 * @module
 */

import { type LieId, LIES } from "../../simulation/hostile.ts";
import { openNewerImage, openSmallImage } from "../guest/small_image.ts";
import { Unavailable } from "../packages.ts";
import { unpacked } from "../unpacked.ts";
import { meetFirmware, OVMF, SEABIOS } from "./firmware.ts";
import { LinuxGuests } from "./linux.ts";
import { PAGE, page } from "./page.ts";
import { type ColumnName, COLUMNS, keep, readSeen } from "./seen.ts";
import type { Verdict } from "./verdict.ts";

/** How many times the usual a guest may take that meets a lie for the second time: slow is not stuck. */
const PATIENT = 2;

/** What a program made of a lie, by columns: of a device that comes to Linux, QEMU has made something, too. */
type Met = Partial<Record<ColumnName, { readonly program: string; readonly verdict: Verdict }>>;

/** Something that can be asked. */
interface Guest extends AsyncDisposable {
  readonly name: ColumnName;
  /** Meets a device that lies. */
  meet(id: LieId, patience: number): Promise<Met>;
}

const found = unpacked("newer-qemu");
if (found === undefined) {
  console.error("There is no newer QEMU than the system's: deno task prepare fetches one");
  Deno.exit(1);
}
const qemu = found;
const GUESTS = COLUMNS.filter((name) => name !== "qemu");
const unknown = Deno.args.filter((each) =>
  !([...LIES, ...GUESTS] as readonly string[]).includes(each)
);
if (unknown.length > 0) {
  console.error(`Unknown: ${unknown.join(", ")}. There are ${[...GUESTS, ...LIES].join(", ")}`);
  Deno.exit(2);
}
const lies = chosen(LIES);
for (const name of chosen(GUESTS)) {
  try {
    await using guest = await open(name);
    for (const id of lies) await ask(guest, id);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.error(`${name} stays as it was: ${error.message}`);
  }
}
await Deno.writeTextFile(PAGE, page(readSeen()));

function chosen<T extends string>(all: readonly T[]): readonly T[] {
  const some = all.filter((each) => Deno.args.includes(each));
  return some.length > 0 ? some : all;
}

async function open(name: ColumnName): Promise<Guest> {
  if (name === "seabios" || name === "ovmf") return firmwareGuest(name);
  const image = await (name === "linux" ? openSmallImage() : openNewerImage());
  const guests = new LinuxGuests(qemu, image);
  const monitor = await qemuVersion();
  return {
    name,
    async meet(id, patience) {
      const met = await guests.meet(id, patience);
      return {
        qemu: { program: monitor, verdict: met.qemu },
        [name]: { program: `Linux ${image.release}`, verdict: met.linux },
      };
    },
    [Symbol.asyncDispose]: () => guests[Symbol.asyncDispose](),
  };
}

function firmwareGuest(name: "seabios" | "ovmf"): Guest {
  const firmware = { seabios: SEABIOS, ovmf: OVMF }[name];
  return {
    name,
    async meet(id, patience) {
      // A device that QEMU does not take, no firmware meets.
      const { outcome = "PASS" } = readSeen().qemu?.seen[id] ?? {};
      const verdict: Verdict = outcome === "PASS"
        ? await meetFirmware(qemu, firmware, id, patience)
        : { outcome: "-", said: "" };
      return { [name]: { program: firmware.name, verdict } };
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Asks about a lie, twice if need be, and keeps what is seen. One that goes wrong here is no reason to end. */
async function ask(guest: Guest, id: LieId): Promise<void> {
  try {
    let met = await guest.meet(id, 1);
    if (Object.values(met).some(({ verdict }) => verdict.outcome === "WEDGED")) {
      met = await guest.meet(id, PATIENT);
    }
    for (const column of COLUMNS) {
      const seen = met[column];
      if (seen === undefined) continue;
      keep(column, seen.program, id, seen.verdict);
      const { outcome, said } = seen.verdict;
      console.log(`${id} ${seen.program}: ${outcome} ${said}`.trimEnd());
    }
  } catch (error) {
    console.error(`${id} ${guest.name}: ${(error as Error).message.split("\n")[0]}`);
  }
}

async function qemuVersion(): Promise<string> {
  const { stdout } = await new Deno.Command(qemu, { args: ["--version"] }).output();
  const [, version] = /version (\S+)/.exec(new TextDecoder().decode(stdout)) ?? [];
  return `QEMU ${version}`;
}
