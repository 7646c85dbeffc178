import fc from 'fast-check';

/** What goes wrong with bytes from outside, by accident or on purpose. */

const HUGE = Buffer.from([0xff, 0xff, 0xff, 0xff]);

/** Valid bytes, hurt in a few places. */
export function hurt(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Buffer> {
  const wound: fc.Arbitrary<Wound> = fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat(7) }),
    fc.record({ kind: fc.constant('cut' as const), at: fc.nat() }),
    fc.record({ kind: fc.constant('drop' as const), at: fc.nat(), length: fc.nat(64) }),
    fc.record({ kind: fc.constant('twice' as const), at: fc.nat(), length: fc.nat(600) }),
    fc.record({ kind: fc.constant('put' as const), at: fc.nat(), bytes: fc.uint8Array({ maxLength: 40 }) }),
    fc.record({ kind: fc.constant('huge' as const), at: fc.nat() }),
    fc.record({ kind: fc.constant('zeros' as const), at: fc.nat(), length: fc.nat(64) }),
  );
  return fc
    .tuple(valid, fc.array(wound, { minLength: 1, maxLength: 4 }))
    .map(([bytes, wounds]) => wounds.reduce<Buffer>((now, one) => strike(now, one), Buffer.from(bytes)));
}

type Wound = { kind: string; at: number; bit?: number; length?: number; bytes?: Uint8Array };

function strike(bytes: Buffer, wound: Wound): Buffer {
  const at = bytes.length === 0 ? 0 : wound.at % bytes.length;
  const to = Math.min(bytes.length, at + (wound.length ?? 0));
  const around = (inner: Uint8Array, behind: number): Buffer =>
    Buffer.concat([bytes.subarray(0, at), inner, bytes.subarray(behind)]);
  switch (wound.kind) {
    case 'flip':
      return around(Buffer.from([(bytes[at] ?? 0) ^ (1 << (wound.bit ?? 0))]), at + 1);
    case 'cut':
      return bytes.subarray(0, at);
    case 'drop':
      return around(Buffer.alloc(0), to);
    case 'twice':
      return around(bytes.subarray(at, to), at);
    case 'put':
      return around(wound.bytes ?? HUGE, at);
    case 'huge':
      return around(HUGE, Math.min(bytes.length, at + HUGE.length));
    default:
      return around(Buffer.alloc(to - at), to);
  }
}

/** Values that a parser meets where it expects something else. */
const strange: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    0.5,
    2 ** 53,
    2 ** 64,
    1e308,
    -0,
    '',
    '.',
    '..',
    '../../../../etc/passwd',
    '/etc/passwd',
    'base/../../x',
    'base//x',
    'a\0b',
    'a\nb',
    '\ud800',
    '__proto__',
    'constructor',
    'NaN',
    'x'.repeat(100_000),
    'f'.repeat(64),
    [],
    {},
    ['__proto__'],
    JSON.parse('{"__proto__":{"polluted":true}}') as unknown,
  ),
  fc.nat(200).map((depth) => nested(depth)),
  fc.string(),
  fc.double(),
  fc.bigInt({ min: 0n, max: 2n ** 70n }).map(Number),
);

function nested(depth: number): unknown {
  let value: unknown = 'deep';
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { value };
  return value;
}

/** A JSON value in which one place, or a few, holds what does not belong there, or nothing. */
export function spoiled(valid: unknown): fc.Arbitrary<unknown> {
  const change = fc.record({
    at: fc.nat(),
    how: fc.constantFrom('replace', 'replace', 'remove', 'twice', 'add'),
    value: strange,
    key: fc.constantFrom('__proto__', 'constructor', 'toString', 'extra', '', '../x'),
  });
  return fc.array(change, { minLength: 1, maxLength: 3 }).map((changes) => {
    const root = { value: structuredClone(valid) };
    for (const { at, how, value: given, key } of changes) {
      // Of its own: what is put there may be changed in its turn.
      const value: unknown = structuredClone(given);
      const places = placesOf(root);
      const place = places[at % places.length];
      if (place === undefined) continue;
      const { holder, name } = place;
      if (how === 'remove' && Array.isArray(holder)) holder.splice(Number(name), 1);
      else if (how === 'remove' && holder !== root) Reflect.deleteProperty(holder, name);
      else if (how === 'twice' && Array.isArray(holder)) holder.push(structuredClone(holder[Number(name)]));
      else if (how === 'add' && !Array.isArray(holder) && holder !== root)
        Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
      else
        Object.defineProperty(holder, name, { value, enumerable: true, configurable: true, writable: true });
    }
    return root.value;
  });
}

interface Place {
  readonly holder: Record<string, unknown> | unknown[];
  readonly name: string;
}

/** Breadth first and no more than so many: what was put there may be deep. */
function placesOf(root: Record<string, unknown>): Place[] {
  const places: Place[] = [];
  const queue: (Record<string, unknown> | unknown[])[] = [root];
  for (let holder = queue.shift(); holder !== undefined && places.length < 2000; holder = queue.shift()) {
    for (const name of Object.keys(holder)) {
      places.push({ holder, name });
      const value = (holder as Record<string, unknown>)[name];
      if (typeof value === 'object' && value !== null)
        queue.push(value as Record<string, unknown> | unknown[]);
    }
  }
  return places;
}

/** Text, as JSON would have it and as nobody would. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.json(),
  fc.nat(5000).map((depth) => '['.repeat(depth)),
  fc.nat(1000).map((depth) => '{"a":'.repeat(depth)),
  fc.constantFrom('', 'null', '0', '"', '{"__proto__":1}', '\ufeff{}', 'NaN', '1e999'),
);

export const anyBytes: fc.Arbitrary<Buffer> = fc
  .oneof(
    fc.uint8Array({ maxLength: 400 }),
    fc.uint8Array({ minLength: 4000, maxLength: 9000, size: 'max' }),
    anyText.map((text) => Buffer.from(text)),
  )
  .map((bytes) => Buffer.from(bytes));
