/** One promise broken on purpose, and the test that has to notice. */
export interface Mutant {
  /** The requirement that is broken: docs/requirements. */
  readonly id: string;
  /** What the broken sources do, in words. */
  readonly breaks: string;
  readonly edits: readonly Edit[];
  /** The file of tests, below test/. A test in it that bears the id has to fail. */
  readonly file: string;
  /** A regular expression for the titles that are run; all of the file where it is left out. */
  readonly only?: string;
}

/** The text must be there exactly once. */
export interface Edit {
  /** Of the sources: below agent/, coordinator/ or shared/. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** With real processes, or thousands of simulated runs, it takes half a minute; the others take a second. */
export function isSlow({ file }: Mutant): boolean {
  return /^(e2e|engines\/infinispan)\//.test(file) || file.includes('checkpoint-properties');
}

export function edit(file: string, from: string, to: string): Edit {
  return { file: `${file}.ts`, from, to };
}
