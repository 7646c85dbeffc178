import type { DoctorReport } from './reports.ts';
import { expiresSoon, expiryOf, loadTls, type TlsFiles } from '../shared/rpc/tls-files.ts';
import { hostOf } from './agents.ts';

/** A warning for each certificate that expires within thirty days: those of agents, as they showed them, and our own. */
export async function expiryFindings(
  tls: TlsFiles,
  agents: readonly { readonly address: string; readonly at: number }[],
): Promise<DoctorReport['findings']> {
  // Where they cannot be read no agent could be reached, and that is found already.
  const own = await loadTls(tls).then(expiryOf, () => null);
  const all = [
    ...agents.map(({ address, at }) => {
      const host = hostOf(address);
      const hint = `stillpoint pki renew DIR ${host}, copy the two files to that host; the agent takes them up within a minute`;
      return { what: `the certificate of the agent on ${host}`, at, hint, host };
    }),
    ...(own === null
      ? []
      : [
          {
            what: `the certificate of the coordinator, ${tls.cert},`,
            at: own.own,
            hint: 'stillpoint pki renew DIR coordinator, and copy the two files here',
          },
          {
            what: `the CA in ${tls.ca}`,
            at: own.ca,
            hint: 'docs/security.md says how a CA is replaced while the grid runs',
          },
        ]),
  ];
  return all.flatMap(({ what, at, hint, ...where }) => {
    const words = expiresSoon(at);
    if (words === null) return [];
    return [
      {
        level: 'warning' as const,
        failure: { code: 'certificate-expires', message: `${what} ${words}`, hint, ...where },
      },
    ];
  });
}
