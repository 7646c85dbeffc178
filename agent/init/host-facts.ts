import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { X509Certificate } from 'node:crypto';
import { peerOf } from '../../shared/rpc/peer.ts';
import { isThere } from '../../shared/runtime/is-there.ts';

const run = promisify(execFile);
const ASK_MS = 10_000;

/** What this host is called, and whose certificate lies beside the agent's file. */
export interface HostFacts {
  readonly host: string;
  /** Words where it is not certain that the grid calls it so. */
  readonly doubt: string | null;
  /** In the folder of the agent's file; null where there is none for this host. */
  readonly certificate: string | null;
  /** There is a revocation list in that folder. */
  readonly hasList: boolean;
}

/** The name that the operator gave, else that of the one agent's certificate that lies there, else the host's own. */
export async function hostFacts(folder: string, given: string | null): Promise<HostFacts> {
  const certificates = await agentCertificates(folder);
  const hasList = await isThere(join(folder, 'crl.pem'));
  const own = given ?? (await ownName());
  const ours = certificates.find(({ host }) => host === own);
  if (given !== null || ours !== undefined) {
    const doubt = ours === undefined ? `there is no certificate for ${own} in ${folder}` : null;
    return { host: own, doubt, certificate: ours?.file ?? null, hasList };
  }
  const [only, ...others] = certificates;
  if (only !== undefined && others.length === 0)
    return { host: only.host, doubt: null, certificate: only.file, hasList };
  return {
    host: own,
    doubt: `this host calls itself so; there is no certificate for it in ${folder}, where agents have theirs`,
    certificate: null,
    hasList,
  };
}

/** Certificates of agents, with the first name that each was issued for. */
async function agentCertificates(folder: string): Promise<{ host: string; file: string }[]> {
  const names = await readdir(folder).catch(() => []);
  const found = [];
  for (const file of names.filter((name) => name.endsWith('.pem')).sort()) {
    try {
      const peer = peerOf(new X509Certificate(await readFile(join(folder, file))).raw);
      if (peer.role === 'agent') found.push({ host: peer.name, file });
    } catch {
      // A key, or no certificate at all.
    }
  }
  return found;
}

/** With its domain, where the host knows that. */
async function ownName(): Promise<string> {
  const name = hostname();
  if (name.includes('.')) return name;
  try {
    const { stdout } = await run('hostname', ['--fqdn'], { timeout: ASK_MS });
    return stdout.trim() || name;
  } catch {
    return name;
  }
}
