import {
  flat,
  nounsOf,
  offers,
  valued,
  type Wanted,
  type WantedOption,
  type WantedProgram,
} from "./wanted.ts";

/** Completion for zsh. */
export function zshCompletion(program: WantedProgram): string {
  const { name, commands } = program;
  const fn = `_${name.replace(/\W/g, "_")}`;
  const nouns = [
    ...new Set(commands.filter(({ words }) => words.length > 1).map(({ words }) => words[0]!)),
  ];
  return `#compdef ${name}
# Completion of ${name} for zsh. In ~/.zshrc, after compinit: source <(${name} completions zsh)
${fn}() {
  local before=\${words[CURRENT-1]} word=\${words[CURRENT]} command="" i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    case $words[i] in
      (--) _files; return ;;
      (${flat(valued(program)).join("|")}) ((i++)) ;;
      (-*) ;;
      (*) command+=" $words[i]" ;;
    esac
  done
  case $before in
${valued(program).map(({ names, value }) => branch(names.join("|"), value!)).join("\n")}
  esac
  if [[ $word == -* ]]; then
    found=(${described(program.options)})
    case "$command " in
${
    commands.filter(({ options }) => options.length > 0).map(({ words, options }) =>
      `      (" ${words.join(" ")} "*) found+=(${described(options)}) ;;`
    ).join("\n")
  }
    esac
    _describe -o option found
    return
  fi
  case "$command " in
    (" ") found=(${nounsOf(program).map(item).join(" ")}); _describe command found ;;
${
    nouns.map((noun) => {
      const own = commands.filter(({ words }) => words[0] === noun)
        .map(({ words, summary }) => item([words[1]!, summary]));
      return `    (" ${noun} ") found=(${own.join(" ")}); _describe command found ;;`;
    }).join("\n")
  }
${
    commands.filter(({ argument }) => offers(argument)).map(({ words, argument }) =>
      branch(`" ${words.join(" ")} "*`, argument)
    ).join("\n")
  }
  esac
}
(( $+functions[compdef] )) && compdef ${fn} ${name}`;
}

function described(options: readonly WantedOption[]): string {
  return options.flatMap(({ names, summary }) => names.map((name) => item([name, summary])))
    .join(" ");
}

/** A word and what it is for. */
function item([word, summary]: readonly [string, string]): string {
  return `'${word}:${summary.replaceAll("'", "'\\''")}'`;
}

/** What is offered in one case. */
function branch(pattern: string, { words, device, file, folder }: Wanted): string {
  const does = [
    ...(words.length > 0 ? [`compadd -- ${words.join(" ")}`] : []),
    ...(device ? ["compadd -- ${${(@)$(echo /sys/bus/pci/devices/*(N:t))}#0000:}"] : []),
    ...(file ? ["_files"] : folder ? ["_files -/"] : []),
  ];
  return `    (${pattern}) ${[...does, "return"].join("; ")} ;;`;
}
