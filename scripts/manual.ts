import type { Command, Option } from 'commander';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createProgram } from '../coordinator/program.ts';
import { version } from '../shared/runtime/version.ts';

/**
 * Writes manual pages and completion for bash, as they are installed below share/, into a folder. All of it is made of
 * what the programs say of themselves, so it cannot say anything else than --help.
 */

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The programs whose help is one text. */
const OTHERS = [
  { name: 'stillpoint-agent', section: 8, main: 'agent/main.ts' },
  { name: 'stillpoint-conformance', section: 1, main: 'test/conformance/main.ts' },
];

const SEE_ALSO = `.SH SEE ALSO\n/usr/share/doc/stillpoint/README.md and docs beside it\n`;

async function main(share: string): Promise<void> {
  const program = await createProgram(null);
  write(join(share, 'man/man1/stillpoint.1'), manualOf(program));
  write(join(share, 'bash-completion/completions/stillpoint'), completionOf(program));
  for (const { name, section, main: source } of OTHERS) {
    const help = execFileSync(process.execPath, [join(ROOT, source), '--help'], { encoding: 'utf8' });
    write(join(share, `man/man${section}/${name}.${section}`), manualOfText(name, section, help));
    write(join(share, 'bash-completion/completions', name), completionOfText(name, help));
  }
}

function manualOf(program: Command): string {
  const commands = leavesOf(program);
  const shared = program.options;
  const isShared = (option: Option): boolean => shared.some(({ long }) => long === option.long);
  return [
    heading(program.name(), 1),
    `.SH NAME\n${roff(program.name())} \\- ${roff(program.description())}\n`,
    `.SH SYNOPSIS\n.B ${roff(program.name())}\n.I command\n[\\fIoptions\\fR]\n`,
    '.SH COMMANDS\n',
    ...commands.map((command) =>
      [
        `.SS ${roff(`${pathOf(command)} ${command.usage().replace(/^\[options\] ?/, '')}`.trim())}\n`,
        `${roff(command.description())}\n`,
        ...command.options.filter((option) => !isShared(option)).map(optionInRoff),
        ...verbatim(wordsBehindHelp(command)),
      ].join(''),
    ),
    '.SH OPTIONS OF EVERY COMMAND\n',
    ...shared.map(optionInRoff),
    SEE_ALSO,
  ].join('');
}

function manualOfText(name: string, section: number, help: string): string {
  const [first = '', ...rest] = help.split('\n');
  return [
    heading(name, section),
    `.SH NAME\n${roff(name)} \\- ${roff(first.slice(first.indexOf(': ') + 2))}\n`,
    '.SH SYNOPSIS AND OPTIONS\n',
    ...verbatim(rest.join('\n').trim()),
    SEE_ALSO,
  ].join('');
}

function heading(name: string, section: number): string {
  return `.TH ${roff(name.toUpperCase())} ${section} "" "stillpoint ${version}"\n`;
}

function optionInRoff(option: Option): string {
  return `.TP\n.B ${roff(option.flags)}\n${roff(option.description)}\n`;
}

function verbatim(text: string): string[] {
  return text === '' ? [] : [`.PP\n.nf\n${roff(text)}\n.fi\n`];
}

/** A dash that can be typed, no escapes, and no line that begins as a request of roff does. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1');
}

/** What addHelpText put behind the help of a command: notes and its example. */
function wordsBehindHelp(command: Command): string {
  let all = '';
  command.configureOutput({ writeOut: (text) => (all += text) }).outputHelp();
  return all.slice(command.helpInformation().length).trim();
}

function leavesOf(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function completionOf(program: Command): string {
  const all = everyCommand(program);
  const words = (command: Command): string[] => [
    ...command.commands.map((each) => each.name()),
    ...command.options.flatMap(({ long }) => long ?? []),
    '--help',
  ];
  const branches = all.flatMap((command) => (command === program ? [] : `'${pathOf(command)}'`));
  return `# Completion of ${program.name()} for bash; made of what its --help says.
_${program.name()}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path=${program.name()} words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path \${COMP_WORDS[i]}" in
      ${branches.join(' | ')}) path="$path \${COMP_WORDS[i]}" ;;
    esac
  done
  case $previous in
    ${optionsOfFiles(all).join(' | ')}) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
  esac
  case $path in
${all.map((command) => `    '${pathOf(command)}') words='${words(command).join(' ')}' ;;`).join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o filenames -o bashdefault -F _${program.name()} ${program.name()}
`;
}

function optionsOfFiles(commands: readonly Command[]): string[] {
  const options = commands.flatMap((command) => command.options);
  const isFile = ({ flags }: Option): boolean => /<(file|dir|location)>/i.test(flags);
  return [...new Set(options.filter(isFile).flatMap(({ long }) => long ?? []))];
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

function completionOfText(name: string, help: string): string {
  const options = [...new Set(help.match(/(?<=^|\s)--[a-z][a-z-]*/g) ?? [])];
  return `# Completion of ${name} for bash; made of what its --help says.
complete -o bashdefault -o default -W '${options.join(' ')}' ${name}
`;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

await main(process.argv[2] ?? '.');
