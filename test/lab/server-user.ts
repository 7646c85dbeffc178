/** The user that servers run as; null when we are not root and run them as ourselves. */
export const serverUser: { uid: number; gid: number; name: string } | null =
  process.getuid?.() === 0 ? { uid: 65534, gid: 65534, name: 'nobody' } : null;
