// Bash completion, made from what the program says of its verbs.
import type { DescribedCommand } from '../src/cli/describe.ts';

/** Words for the value of an option that stand for a file. */
const fileWords: ReadonlySet<string> = new Set(['FILE', 'PATH', 'PUB', 'BUNDLE', 'REQUEST', 'KEY']);

export function bashCompletion(commands: readonly DescribedCommand[]): string {
  const verbs = Map.groupBy(commands, ({ command }) => command.split(' ')[0] ?? '');
  const withActions = [...verbs].filter(([verb, [first]]) => first?.command !== verb);
  return `# bash completion for kleidi: made from the program's own tables.
_kleidi() {
  local cur=\${COMP_WORDS[COMP_CWORD]} command=\${COMP_WORDS[1]-} words='' values=''
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W '${[...verbs.keys(), 'help', '--help'].join(' ')}' -- "$cur")
    return
  fi
  case $command in
    help)
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W '${[...verbs.keys()].join(' ')}' -- "$cur")
        return
      fi
      ;;
${withActions.map(actionCase).join('\n')}
  esac
  case "$command \${COMP_WORDS[COMP_CWORD - 1]}" in
${commands.flatMap(valueCases).join('\n')}
  esac
  case $command in
${commands.map(optionCase).join('\n')}
  esac
  case $values:$cur in
    none:*) ;;
    fingerprints:* | :[!-]* | :)
      case $values:$command in
${fingerprintCases(commands)}
      esac
      ;;
  esac
  if [ \${#COMPREPLY[@]} -gt 0 ]; then return; fi
  case $values:$cur in
    none:* | fingerprints:*) ;;
    files:* | :[!-]* | :) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    :*) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur") ;;
  esac
}
complete -o filenames -F _kleidi kleidi
`;
}

/** Root and the group kleidi read the ring; for anybody else there is nothing to offer. */
const fingerprints = `mapfile -t COMPREPLY < <(compgen -W "$(kleidi ring show --json 2>/dev/null | grep -oE '"fp": ?"[0-9a-f]{32}"' | cut -d '"' -f 4)" -- "$cur") ;;`;

function fingerprintCases(commands: readonly DescribedCommand[]): string {
  const positional = commands.filter(({ usage }) => /^kleidi [a-z ]+ FP\b/.test(usage));
  const names = positional.map(({ command }) => `':${command}'`);
  return `        ${['fingerprints:*', ...names].join(' | ')}) ${fingerprints}`;
}

/** Completes the action; later words are completed for both together. */
function actionCase([verb, commands]: [string, DescribedCommand[]]): string {
  const actions = commands.map(({ command }) => command.split(' ')[1]).join(' ');
  return `    ${verb})
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W '${actions} --help' -- "$cur")
        return
      fi
      command="$command \${COMP_WORDS[2]}"
      ;;`;
}

function valueCases({ command, options }: DescribedCommand): string[] {
  return Object.entries(options).flatMap(([name, option]) => {
    if (option.kind === 'flag') return [];
    const word = option.value.replace(/\[.*/, '');
    const values = option.choices?.join(' ') ?? kindOf(word);
    return [`    '${command} --${name}') values='${values}' ;;`];
  });
}

function kindOf(word: string): string {
  if (word === 'FP') return 'fingerprints';
  return fileWords.has(word) ? 'files' : 'none';
}

function optionCase({ command, options }: DescribedCommand): string {
  const words = Object.keys(options).map((name) => `--${name}`);
  return `    '${command}') words='${words.join(' ')}' ;;`;
}
