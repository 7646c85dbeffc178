import type { Command } from 'commander';
import type * as Pki from '../../shared/rpc/pki.ts';
import { withSession } from '../session.ts';

/** What makes certificates takes longer to load than all the rest, and no other command needs it. */
const loadPki = (): Promise<typeof Pki> => import('../../shared/rpc/pki.ts');

export function registerPki(program: Command): Command[] {
  const pki = program.command('pki').description("make, renew and revoke the grid's certificates");
  const init = pki
    .command('init <dir>')
    .description('make a CA and the certificate of the coordinator')
    .option('--for <grid>', "bind the coordinator's certificate to this grid")
    .addHelpText('after', '\nExample: stillpoint pki init /etc/stillpoint/pki --for orders')
    .action((dir: string, options: { for?: string }, command: Command) =>
      withSession(command, async ({ printer }) => {
        const { initializePki } = await loadPki();
        const files = await initializePki(dir, options.for === undefined ? {} : { grid: options.for });
        printer.result({ files }, [...files, 'keep ca-key.pem off the hosts of the grid'].join('\n'));
      }),
    );
  const issue = pki
    .command('issue <dir> <hosts...>')
    .description('make the certificate of the agent on each host; a host may be name,address')
    .option('--force', 'replace certificates that are there')
    .addHelpText(
      'after',
      '\nExample: stillpoint pki issue /etc/stillpoint/pki alpha.example beta.example,10.0.0.7',
    )
    .action((dir: string, hosts: string[], options: { force?: boolean }, command: Command) =>
      withSession(command, async ({ printer }) => {
        const { issueAgentCertificates } = await loadPki();
        const certificates = await issueAgentCertificates(dir, hosts, { force: options.force ?? false });
        printer.result(
          { certificates },
          certificates.map(({ host, cert, key }) => `${host}: ${cert} ${key}`).join('\n'),
        );
      }),
    );
  return [pki, init, issue, registerRenew(pki), registerRevoke(pki)];
}

function registerRenew(pki: Command): Command {
  return pki
    .command('renew <dir> [hosts...]')
    .description(
      'make new keys and certificates with the names of the present ones (default: all but the revoked)',
    )
    .addHelpText('after', '\nExample: stillpoint pki renew /etc/stillpoint/pki alpha.example coordinator')
    .action((dir: string, hosts: string[], _options: unknown, command: Command) =>
      withSession(command, async ({ printer }) => {
        const { renewCertificates } = await loadPki();
        const certificates = await renewCertificates(dir, hosts);
        printer.result(
          { certificates },
          [
            ...certificates.map(({ host, cert, key }) => `${host}: ${cert} ${key}`),
            'copy each to its host; an agent takes up its new one within a minute, or at once: systemctl reload stillpoint-agent',
          ].join('\n'),
        );
      }),
    );
}

function registerRevoke(pki: Command): Command {
  return pki
    .command('revoke <dir> <hosts...>')
    .description('turn away every certificate that these hosts, or `coordinator`, ever had')
    .addHelpText('after', '\nExample: stillpoint pki revoke /etc/stillpoint/pki beta.example')
    .action((dir: string, hosts: string[], _options: unknown, command: Command) =>
      withSession(command, async ({ printer }) => {
        const { revokeCertificates } = await loadPki();
        const { list, revoked } = await revokeCertificates(dir, hosts);
        printer.result(
          { list, revoked },
          [
            ...revoked.map(({ host, serialNumber }) => `${host}: ${serialNumber} revoked`),
            `copy ${list} to every host and coordinator, where \`crl\` in \`tls\` of agent.yaml and grid.yaml names it`,
          ].join('\n'),
        );
      }),
    );
}
