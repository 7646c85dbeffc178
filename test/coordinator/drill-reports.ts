import type { DrillReport } from '../../coordinator/drill/report.ts';

/** A drill of one member that passed. */
export function reportOf(changes: Partial<DrillReport> = {}): DrillReport {
  return {
    format: 1,
    drill: '11111111-1111-4111-8111-111111111111',
    grid: 'orders',
    checkpoint: '20261120T120000.123Z_00000000_00000007_nightly',
    startedAt: '2026-11-20T13:00:00.000Z',
    outcome: 'passed',
    exitCode: 0,
    kept: false,
    rtoMs: 4000,
    rpoMs: 3_600_000,
    durationMs: 5000,
    bytes: 50_000_000,
    bytesPerSecond: 25_000_000,
    phases: [
      { phase: 'plan', startMs: 0, durationMs: 1000 },
      { phase: 'stage', startMs: 1000, durationMs: 2000 },
    ],
    hosts: [
      {
        host: 'gamma.example',
        steps: [{ member: 'orders-1a', step: 'stage', startMs: 1000, durationMs: 2000, failed: false }],
      },
    ],
    members: [
      {
        name: 'orders-1a',
        host: 'gamma.example',
        from: 'alpha.example:5432',
        to: 'gamma.example:5432',
        bytes: 50_000_000,
        bytesPerSecond: 25_000_000,
        proven: ['mark: recovered to 0/A3000188, no further'],
      },
    ],
    addresses: [],
    checks: [],
    obstacles: [],
    notProven: [],
    left: [],
    earlier: [],
    ...changes,
  };
}
