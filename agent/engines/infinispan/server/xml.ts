/** Of a server's configuration, what counts: its archive has TLS, and more, as comments. */
export function withoutComments(xml: string): string {
  return xml.replaceAll(/<!--[^]*?-->/g, '');
}
