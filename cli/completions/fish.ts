import { nounsOf, valued, type Wanted, type WantedOption, type WantedProgram } from "./wanted.ts";

/** Completion for fish. */
export function fishCompletion(program: WantedProgram): string {
  const { name, commands } = program;
  const fn = `__${name.replace(/\W/g, "_")}`;
  const values = valued(program).flatMap(({ names }) => names).join(" ");
  const at = (...words: readonly string[]) => `-n '${fn}_at ${words.join(" ")}'`.replace(" '", "'");
  const within = (words: readonly string[]) => `-n '${fn}_within ${words.join(" ")}'`;
  const verbs = commands.filter(({ words }) => words.length > 1);
  return [
    `# Completion of ${name} for fish. In config.fish: ${name} completions fish | source`,
    `function ${fn}_command`,
    "    set -l skip 0",
    "    for word in (commandline -opc)[2..-1]",
    "        if test $skip = 1",
    "            set skip 0",
    `        else if contains -- $word ${values}`,
    "            set skip 1",
    "        else if not string match -q -- '-*' $word",
    "            echo $word",
    "        end",
    "    end",
    "end",
    `function ${fn}_at`,
    `    test "$argv" = "$(${fn}_command | string join ' ')"`,
    "end",
    `function ${fn}_within`,
    `    string match -q -- "$argv *" "$(${fn}_command | string join ' ') "`,
    "end",
    `function ${fn}_devices`,
    "    for path in /sys/bus/pci/devices/*",
    "        string replace -r '^.*/(0000:)?' '' $path",
    "    end",
    "end",
    `complete -c ${name} -f`,
    ...nounsOf(program).map(([noun, does]) =>
      `complete -c ${name} ${at()} -a ${noun} -d ${text(does)}`
    ),
    ...verbs.map(({ words: [noun, verb], summary }) =>
      `complete -c ${name} ${at(noun!)} -a ${verb} -d ${text(summary)}`
    ),
    ...commands.flatMap(({ words, argument }) => {
      const offer = offered(argument, fn);
      return offer === "" ? [] : [`complete -c ${name} ${within(words)} ${offer}`];
    }),
    ...program.options.map((option) => `complete -c ${name} ${optionText(option, fn)}`),
    ...commands.flatMap(({ words, options }) =>
      options.map((option) => `complete -c ${name} ${within(words)} ${optionText(option, fn)}`)
    ),
  ].join("\n");
}

function optionText({ names, summary, value }: WantedOption, fn: string): string {
  const all = names.map((each) =>
    each.startsWith("--") ? `-l ${each.slice(2)}` : `-s ${each.slice(1)}`
  );
  const takes = value === undefined ? [] : ["-x", offered(value, fn)].filter((part) => part !== "");
  return [...all, ...takes, `-d ${text(summary)}`].join(" ");
}

/** What is offered where this is wanted. */
function offered({ words, device, file, folder }: Wanted, fn: string): string {
  const offers = [...words, ...(device ? [`(${fn}_devices)`] : [])];
  const all = file
    ? [...offers, "(__fish_complete_path)"]
    : folder
    ? [...offers, "(__fish_complete_directories)"]
    : offers;
  return all.length === 0 ? "" : `-a '${all.join(" ")}'`;
}

function text(summary: string): string {
  return `'${summary.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
