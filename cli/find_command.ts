import type { Command } from "./command.ts";
import { usageError } from "./exit.ts";
import { suggest } from "./suggest.ts";

/** What commands there are, and what starts the program that has them. */
export interface Program {
  readonly commands: readonly Command[];
  readonly program: string;
}

/**
 * The command that the words begin with; none if there are none, or only the noun of several.
 *
 * @throws {CliError} With status 2, if there is no such command.
 */
export function findCommand(
  { commands, program }: Program,
  [noun, verb]: readonly string[],
): Command | undefined {
  if (noun === undefined) return undefined;
  const command = commands.find(({ name }) => name === noun || name === `${noun} ${verb}`);
  const nouns = [...new Set(commands.map(({ name }) => name.split(" ")[0]!))];
  if (command || nouns.includes(noun)) return command;
  throw usageError(
    `Unknown command ${JSON.stringify(noun)}.${suggest(noun, nouns)} ` +
      `The commands are ${nouns.join(", ")}; ${program} help tells more`,
  );
}

/** The error of a noun without a verb, or with one that it does not have. */
export function verbMissing(
  { commands, program }: Program,
  [noun, verb]: readonly string[],
): Error {
  const verbs = commands.filter(({ name }) => name.startsWith(`${noun} `))
    .map(({ name }) => name.slice(noun!.length + 1));
  const found = verb === undefined
    ? `Cannot run ${noun} alone.`
    : `Unknown command ${JSON.stringify(`${noun} ${verb}`)}.${suggest(verb, verbs)}`;
  return usageError(
    `${found} What ${noun} takes is ${verbs.join(", ")}; ${program} help ${noun} tells more`,
  );
}
