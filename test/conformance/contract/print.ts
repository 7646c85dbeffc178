import { protoName, ROLES_OF, TABLES, type CallName, type StateTable } from './table.ts';

/** The table of the contract as docs/participant-table.md has it, in Markdown. */
export function tableAsMarkdown(): string {
  return TABLES.map(oneTable).join('\n\n');
}

function oneTable({ title, about, states, calls }: StateTable): string {
  const names = Object.keys(calls) as CallName[];
  const head = ['state', ...names.map((name) => `\`${protoName(name)}\``)];
  const rows = Object.entries(states).map(([state, says]) => [
    says,
    ...names.map((name) => {
      const cell = calls[name]?.[state];
      if (cell === undefined) return '';
      return cell.says === '' ? cell.status : `${cell.status}: ${cell.says}`;
    }),
  ]);
  const roles = names.map((name) => `\`${protoName(name)}\` (${ROLES_OF[name].join(', ')})`);
  return [
    `## ${title}`,
    '',
    `The state is that ${about}. Calls: ${roles.join(', ')}.`,
    '',
    ...[head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`),
  ].join('\n');
}
