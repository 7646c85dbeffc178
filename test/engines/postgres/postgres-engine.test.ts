import { engineSuite } from '../engine-suite.ts';
import { versions } from './lab.ts';
import { postgresSubject } from './subject.ts';

for (const version of versions) {
  engineSuite(`PostgreSQL ${version}`, () => postgresSubject(version, []));
}
