import { flat, nounsOf, offers, valued, type Wanted, type WantedProgram } from "./wanted.ts";

/** Completion for bash, 4.3 or newer. */
export function bashCompletion(program: WantedProgram): string {
  const { name, commands } = program;
  const fn = `_${name.replace(/\W/g, "_")}`;
  const nouns = nounsOf(program).map(([noun]) => noun);
  const verbs = [
    ...new Set(commands.filter(({ words }) => words.length > 1).map(({ words }) => words[0]!)),
  ];
  return `# Completion of ${name} for bash. In ~/.bashrc: source <(${name} completions bash)
${fn}_devices() {
  local path
  for path in /sys/bus/pci/devices/*; do
    [[ -e $path ]] && path=\${path##*/} && printf '%s\\n' "\${path#0000:}"
  done
}
${fn}() {
  local -a words
  local line=\${COMP_LINE:0:COMP_POINT} word="" command="" found="" before i
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] || { word=\${words[-1]}; unset 'words[-1]'; }
  before=\${words[-1]}
  [[ $word == --*=* ]] && { before=\${word%%=*}; word=\${word#*=}; }
  for ((i = 1; i < \${#words[@]}; i++)); do
    case \${words[i]} in
      --) return ;;
      ${flat(valued(program)).join("|")}) ((i++)) ;;
      -*) ;;
      *) command+=" \${words[i]}" ;;
    esac
  done
  compopt +o default
  case $before in
${valued(program).map(({ names, value }) => branch(names.join("|"), fn, value!)).join("\n")}
    *)
      if [[ $word == -* ]]; then
        found=${quoted(flat(program.options))}
        case "$command " in
${
    commands.filter(({ options }) => options.length > 0).map(({ words, options }) =>
      `          " ${words.join(" ")} "*) found+=${quoted(["", ...flat(options)])} ;;`
    ).join("\n")
  }
        esac
      else
        case "$command " in
          " ") found=${quoted(nouns)} ;;
${
    verbs.map((noun) => {
      const own = commands.filter(({ words }) => words[0] === noun).map(({ words }) => words[1]!);
      return `          " ${noun} ") found=${quoted(own)} ;;`;
    }).join("\n")
  }
${
    commands.filter(({ argument }) => offers(argument)).map(({ words, argument }) =>
      branch(`" ${words.join(" ")} "*`, fn, argument, "      ")
    )
      .join("\n")
  }
        esac
      fi ;;
  esac
  COMPREPLY=($(compgen -W "$found" -- "$word"))
  # A shell that takes colons for ends of words has put in what stands before the last one.
  if [[ $COMP_WORDBREAKS == *:* && $word == *:* ]]; then
    COMPREPLY=("\${COMPREPLY[@]#"\${word%"\${word##*:}"}"}")
  fi
}
complete -o default -F ${fn} ${name}`;
}

function quoted(words: readonly string[]): string {
  return `"${words.join(" ")}"`;
}

/** What is offered in one case; nothing if nothing can be. */
function branch(pattern: string, fn: string, wanted: Wanted, indent = ""): string {
  const { words, device, file, folder } = wanted;
  const does = file
    ? "compopt -o default"
    : folder
    ? "compopt -o dirnames"
    : device
    ? `found="$(${fn}_devices) ${words.join(" ")}"`
    : `found=${quoted(words)}`;
  return `    ${indent}${pattern}) ${does} ;;`;
}
