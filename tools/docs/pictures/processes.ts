import type { Process } from "./run.ts";
import { arrow, box, COLOURS, picture, text } from "./svg.ts";

/** What runs in which process, and what each of them may do still. */
export function processes(all: readonly Process[]): string {
  const [core, ...drivers] = all;
  if (!core || drivers.length === 0) throw new Error("No driver has a process");
  const height = 70 + 150 * drivers.length;
  const parts = [
    text(20, 28, "What runs where, as /proc says it of a run", { weight: 600 }),
    box(20, 50, 300, height - 80, [core.name, ...facts(core)], COLOURS.core),
    box(
      40,
      height - 180,
      260,
      60,
      ["client of each device", "rings of lanes, slots"],
      COLOURS.client,
    ),
  ];
  drivers.forEach((driver, i) => {
    const y = 50 + 150 * i;
    parts.push(
      box(560, y, 320, 130, [driver.name, ...facts(driver)], COLOURS.driver),
      ...[45, 85].flatMap((at) => [
        arrow([440, y + at], [560, y + at]),
        arrow([440, y + at], [320, y + at]),
      ]),
      text(440, y + 38, "mailbox: control", { anchor: "middle", fill: COLOURS.soft }),
      text(440, y + 78, "lanes: requests", { anchor: "middle", fill: COLOURS.soft }),
    );
  });
  return picture(900, height, "The processes of a machine with two drivers", parts);
}

function facts({ status }: Process): string[] {
  const [uid] = status.Uid!.split(/\s+/);
  const none = /^0*$/.test(status.CapEff ?? "");
  return [
    `user ${uid}`,
    `capabilities of Linux: ${none ? "none" : "those of its user"}`,
    `filter over system calls: ${status.Seccomp === "2" ? "yes" : "no"}`,
    `may gain rights by what it starts: ${status.NoNewPrivs === "1" ? "no" : "yes"}`,
    status.Seccomp === "2" ? "permissions of Deno: none left" : "permissions of Deno: --allow-ffi",
  ];
}
