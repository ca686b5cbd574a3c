import { lie, type LieId, LIES } from "../../../simulation/mod.ts";
import { RESPONSES } from "../../../tests/support/responses.ts";
import { code, table } from "../markdown.ts";

/** The catalogue of lies: what each is, where the specification speaks of it, and how it ends for our drivers. */
export function lies(): string {
  return table(
    ["lie", "the device", "section", "how it ends here"],
    LIES.map((id) => {
      const { does, section = "" } = lie(id);
      return [code(id), does, section, end(id)];
    }),
  );
}

/** How it must end, by the table that the tests hold it to. */
function end(id: LieId): string {
  const response = RESPONSES[id]!;
  if (response instanceof RegExp) return words(response);
  const [split, packed] = response.map(words);
  return split === packed ? split! : `${split}; on a packed ring: ${packed}`;
}

/** What the beginnings of outcomes mean, in the order in which they are told. */
const ENDS: readonly (readonly [begins: string, words: string])[] = [
  ["attach: DriverGone", "refused by the driver"],
  ["attach: PlanError", "refused: the driver cannot have what it wants"],
  ["attach: ", "refused before the driver is asked"],
  ["gone: ", "put out of work, and started anew as often as that is allowed"],
  ["request: ", "that request fails"],
  ["wrong bytes", "bytes may be wrong: nothing tells them from right ones"],
  ["served", "served all the same"],
];

function words({ source }: RegExp): string {
  const found = source.split(/[|(^]/).flatMap((part) =>
    ENDS.filter(([begins]) => part.startsWith(begins)).slice(0, 1)
  );
  if (found.length === 0) throw new Error(`No words for ${source}`);
  return [...new Set(found.map(([, text]) => text))].join(", or ");
}
