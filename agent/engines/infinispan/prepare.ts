import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { isThere } from '../../../shared/runtime/is-there.ts';
import type { Need, Preparation } from '../discovery.ts';
import { userOf } from '../restore/run-as.ts';
import { whyNoAdministrator } from './look/rights.ts';
import type { InfinispanSettings } from './settings.ts';

const ASK_MS = 10_000;

/**
 * What a server must be given: a user with the role admin. No file of the server is written for it: the users of all
 * servers of a cluster are to be alike, and this host knows those of one.
 */
export async function prepareInfinispan(settings: InfinispanSettings): Promise<Preparation> {
  const failure = await whyNoAdministrator(settings, AbortSignal.timeout(ASK_MS));
  if (failure === null) return { needs: [], apply: () => Promise.resolve(['it has all that it needs']) };
  const needs = OF_THE_USER.includes(failure.code) ? await needsOf(settings) : [];
  if (needs.length === 0) throw new StillpointError(failure);
  const hint = needs.map(({ where, lines }) => `${where}: ${lines.join(' ')}`).join('; ');
  return { needs, apply: () => Promise.reject(new StillpointError({ ...failure, hint })) };
}

const OF_THE_USER = ['infinispan-refused', 'infinispan-secret'];

async function needsOf(settings: InfinispanSettings): Promise<Need[]> {
  const { auth } = settings;
  if (auth === undefined) return [];
  if (auth.type === 'token')
    return [{ where: 'a token of a user with the role admin, alone, in', lines: [auth.tokenFile] }];
  return [
    {
      where: 'a user with the role admin, on every server of the cluster and with one password',
      lines: [await commandFor(settings, auth.user)],
    },
    { where: 'its password, alone, in', lines: [auth.passwordFile] },
  ];
}

/** For a server whose users are in files, as its archive has them: as the user who may write these. */
async function commandFor({ root }: InfinispanSettings, user: string): Promise<string> {
  const script = resolve(root, '../bin/cli.sh');
  const isOfIts = basename(root) === 'server' && (await isThere(script));
  const program = isOfIts ? script : 'bin/cli.sh';
  const place = isOfIts ? '' : ` --server-root=${root}`;
  const owner = await stat(join(root, 'conf')).catch(() => null);
  const name = owner === null ? null : (await userOf({ uid: owner.uid, gid: owner.gid })).name;
  const asOwner = name === null || owner?.uid === process.getuid?.() ? '' : `runuser -u ${name} -- `;
  return `${asOwner}${program} user create ${user} -g admin${place}`;
}
