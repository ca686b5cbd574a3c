import type { TraceEvent } from "../../../mod.ts";
import { only } from "./run.ts";
import { arrow, box, COLOURS, dashed, picture, text } from "./svg.ts";

/** What happens in each step. */
const SAYS = {
  submit: "puts the slot's number into the ring submit",
  take: "takes it out, and asks its device",
  complete: "puts the number into the ring complete",
  end: "takes it out; its promise is fulfilled",
} as const;

/** A request of a lane, on its way there and back. */
export function lane(events: readonly TraceEvent[]): string {
  const steps = only(events, "lane").slice(0, 4);
  if (steps.length < 4) throw new Error("Nothing was traced of a lane");
  const parts = [
    text(
      20,
      28,
      `The lane ${steps[0]!.lane}: slot ${steps[0]!.slot}, a write of ${steps[0]!.words[1]} bytes`,
      { weight: 600 },
    ),
    box(40, 46, 300, 46, ["client", "in the application's process"], COLOURS.client),
    box(500, 46, 300, 46, ["driver", "in a process of its own"], COLOURS.driver),
    dashed(190, 92, 190, 420),
    dashed(650, 92, 650, 420),
  ];
  steps.forEach(({ step, by, slot, words }, i) => {
    const y = 112 + 76 * i;
    const x = by === "client" ? 40 : 500;
    const meaning = step === "submit" || step === "take"
      ? `operation ${words[0]}, length ${words[1]}`
      : `status ${words[0]}, length ${words[1]}`;
    parts.push(
      box(
        x,
        y,
        300,
        60,
        [`${step} slot ${slot}`, SAYS[step], meaning],
        by === "client" ? COLOURS.client : COLOURS.driver,
      ),
    );
    if (step === "submit") {
      parts.push(
        arrow([340, y + 30], [500, y + 106]),
        text(420, y + 58, "bell", { anchor: "middle", fill: COLOURS.soft }),
      );
    }
    if (step === "complete") {
      parts.push(
        arrow([500, y + 30], [340, y + 106]),
        text(420, y + 58, "bell", { anchor: "middle", fill: COLOURS.soft }),
      );
    }
  });
  parts.push(
    text(
      20,
      446,
      "Numbers of slots, in rings in memory that both processes have. No message, and no copy of the data.",
      { fill: COLOURS.soft },
    ),
  );
  return picture(840, 464, "A request of a lane: submit, take, complete, end", parts);
}
