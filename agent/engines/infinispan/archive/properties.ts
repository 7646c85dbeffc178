/** Properties as Java writes them: a line each, with odd letters behind a backslash. */
export function readProperties(text: string): Map<string, string> {
  const lines = text.split(/\r?\n/).filter((line) => line !== '' && !/^[#!]/.test(line));
  return new Map(
    lines.map((line) => {
      const [, key = '', value = ''] = /^((?:[^\\=:]|\\.)*)[=:](.*)$/.exec(line) ?? [];
      return [unescaped(key), unescaped(value)];
    }),
  );
}

/** A list in one property; its names are not escaped where they hold commas themselves. */
export function namesIn(list: string | undefined): string[] {
  return list === undefined || list === '' ? [] : list.split(',');
}

const CONTROLS: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' };

function unescaped(text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|(.))/g, (_, code: string | undefined, letter: string) =>
    code === undefined ? (CONTROLS[letter] ?? letter) : String.fromCharCode(Number.parseInt(code, 16)),
  );
}
