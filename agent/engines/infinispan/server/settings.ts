import * as z from 'zod';

const absolute = z.string().startsWith('/', 'must be an absolute path');

/** `https://grid-1.example.com:11222`; nothing behind the port. */
export const serverUrlSchema = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isServer =
    url !== null &&
    ['http:', 'https:'].includes(url.protocol) &&
    [url.username, url.password, url.search, url.hash].every((part) => part === '') &&
    url.pathname === '/';
  if (isServer) return url.origin;
  context.addIssue('must be http://host:port or https://host:port, without a user, a path or a query');
  return z.NEVER;
});

/**
 * How a server of a cluster is reached over REST: the keys that a member of the agent's file and a cluster of documents
 * have alike. No secret stands in it; each is in a file of its own, read whenever it is needed, so that a token that was
 * renewed is taken up without a restart.
 */
export const serverShape = {
  url: serverUrlSchema,
  /** The name of the cache container, which stands in archives. */
  container: z.string().min(1).default('default'),
  auth: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.enum(['digest', 'basic']), user: z.string().min(1), passwordFile: absolute }),
      z.strictObject({ type: z.literal('token'), tokenFile: absolute }),
    ])
    .optional(),
  tls: z
    .strictObject({
      /** Whose signature the server's certificate must have; else one that Node knows. */
      ca: absolute.optional(),
      cert: absolute.optional(),
      key: absolute.optional(),
      /** The name in the server's certificate, where it is another than that in `url`. */
      serverName: z.string().min(1).optional(),
    })
    .refine(({ cert, key }) => (cert === undefined) === (key === undefined), {
      path: ['key'],
      message: 'cert and key are written together',
    })
    .optional(),
} as const;

interface ServerKeys {
  readonly url: string;
  readonly auth?: { readonly type: string } | undefined;
  readonly tls?: unknown;
}

export const MUST_BE_COVERED = 'basic and token send the secret as it is: the url must be https';

/** Whether nobody on the network can read a secret that is sent there. */
export function isCovered({ url, auth }: ServerKeys): boolean {
  return auth === undefined || auth.type === 'digest' || url.startsWith('https:') || isThisHost(new URL(url));
}

/** For `refine`: what would send a secret readable over the network. */
export const secretsAreCovered: [(keys: ServerKeys) => boolean, { path: string[]; message: string }] = [
  isCovered,
  { path: ['auth'], message: MUST_BE_COVERED },
];

/** For `refine`: keys of TLS beside an address that uses none. */
export const tlsIsUsed: [(keys: ServerKeys) => boolean, { path: string[]; message: string }] = [
  ({ url, tls }) => tls === undefined || url.startsWith('https:'),
  { path: ['tls'], message: 'is for a url that begins with https' },
];

function isThisHost({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/** One server, by itself: what `serverShape` makes of the file. */
const serverSchema = z.strictObject(serverShape);
export interface ServerSettings extends z.infer<typeof serverSchema> {
  /** Where the server lies on this host, for who knows: its process then tells one run from the next. */
  readonly root?: string;
  /** As what it sees whoever asks, behind our name: so that what is left of them can be told from others. */
  readonly asker?: string;
}

/** The files in which what must stay secret stands. */
export function secretFilesOf({ auth, tls }: Pick<ServerSettings, 'auth' | 'tls'>): string[] {
  const secret = auth === undefined ? undefined : auth.type === 'token' ? auth.tokenFile : auth.passwordFile;
  return [secret, tls?.key].filter((file) => file !== undefined);
}
